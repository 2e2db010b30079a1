//! Configuration, wiring, telemetry, shutdown and the job loop.
//!
//! [`App::start`] opens the backends that the configuration names and wires them into the use cases; the command line
//! hands those to the server. Nothing here asks which profile it runs in: the scheme of each URL picks the backend.

mod allocator;
pub mod app;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod doctor;
mod engine;
pub mod job_loop;
pub mod monitor;
pub mod relay;
pub mod shutdown;
pub mod telemetry;
mod wiring;
pub mod worker;

pub use app::{App, StartError};
pub use config::{Config, ConfigError, Sources};
pub use vectrion_pipeline::faults;
pub use wiring::{check, check_worker, migrate};
pub use worker::Worker;
