//! What the faults are injected into: services, and an installation of two servers and two workers on them.

pub mod installation;
pub mod process;
pub mod services;

pub use self::{
    installation::{Installation, WORKERS},
    process::{Kind, Process},
    services::Services,
};
