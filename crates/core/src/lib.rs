//! Domain types, ids, ports, error kinds and versioned job payloads of Vectrion.
//!
//! Nothing in here performs I/O. A port's documentation is its contract: what is atomic, what is idempotent, what a
//! missing key does. Each port has a conformance suite in `vectrion-testkit` that every adapter runs.

pub mod answer;
pub mod chunk;
pub mod deletion;
pub mod document;
pub mod error;
pub mod extraction;
pub mod ids;
pub mod job;
pub mod lifecycle;
pub mod metadata;
pub mod page;
pub mod ports;
pub mod search;
pub mod tenancy;
pub mod text;
pub mod time;

pub use error::{Error, ErrorKind, Result, Violation};
