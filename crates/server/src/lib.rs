//! The gRPC server: decode, call a use case, encode; and around every call authentication, limits, deadlines, records.
//!
//! [`Server::bind`] takes the use cases and the section `[server]`; [`Server::serve`] serves until it is told to stop.

mod call;
mod connection;
mod cors;
mod decode;
mod encode;
mod error;
mod health;
mod roles;
mod server;
mod services;
mod settings;
mod status;
#[cfg(test)]
mod tests;

pub use self::{
    error::ServeError,
    health::{Probe, Readiness, probe_ports},
    server::{Server, ServerInfo, UseCases},
    settings::ServerSettings,
};
