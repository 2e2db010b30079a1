//! What every adapter of a port must do: one suite per port, run against each adapter.

pub mod objects;
pub mod vectors;
pub mod wakeups;
