//! The use cases of ingestion over the real database, object store and vector index of the embedded profile.

mod administration;
mod cache;
mod generations;
mod housekeeping;
mod idempotency;
mod identity;
mod lifecycle;
mod meddling;
mod objects;
mod pieces;
mod reconcile;
mod stages;
mod uploads;
mod watch;
#[path = "../world/mod.rs"]
mod world;
