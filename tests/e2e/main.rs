//! What users do, end to end: through the generated stubs against a server with everything real behind it.
//!
//! One binary, because each links everything.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod answers;
mod cancel;
mod command_line;
mod database;
mod disk_full;
mod documents;
mod examples;
mod identity;
mod lifecycle;
mod model_limits;
mod operations;
mod processes;
mod queue;
mod receipts;
mod reconcile;
mod servers;
mod support;
mod transport;
mod uploads;
mod vector_server;
