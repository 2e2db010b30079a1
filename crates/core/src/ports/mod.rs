//! The ports: what the use cases need from the outside. Adapters implement them; `vectrion-testkit` holds a
//! conformance suite for each.

pub mod answers;
pub mod cache;
pub mod catalog;
pub mod directory;
pub mod documents;
pub mod idempotency;
pub mod jobs;
pub mod models;
pub mod objects;
pub mod outbox;
pub mod upkeep;
pub mod uploads;
pub mod vectors;
pub mod wakeups;

pub use self::{
    answers::Answers,
    cache::Cache,
    catalog::Catalog,
    directory::Directory,
    documents::DocumentParser,
    idempotency::Idempotency,
    jobs::Jobs,
    models::{ChatModel, Embedder, Tokenizer},
    objects::ObjectStore,
    outbox::Outbox,
    upkeep::Upkeep,
    uploads::Uploads,
    vectors::VectorIndex,
    wakeups::Wakeups,
};
