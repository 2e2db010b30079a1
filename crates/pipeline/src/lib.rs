//! The use cases of Vectrion: ingest, retrieve, answer, administer; ports only.
//!
//! Each use case is a struct over [`Ports`]. Nothing in here knows SQL, AMQP or protobuf. Every method that serves a call
//! takes its [`CallContext`](vectrion_core::tenancy::CallContext) first and works within the tenant of its principal.

pub mod administration;
mod chores;
pub mod faults;
pub mod generations;
pub mod housekeeping;
pub mod idempotency;
pub mod identity;
pub mod ingestion;
pub mod lifecycle;
pub mod query;
mod receipts;
pub mod reconcile;
pub mod settings;
pub mod stages;

use std::sync::Arc;

pub use vectrion_core::tenancy::CollectionRef;
use vectrion_core::{
    ports::{
        Answers, Cache, Catalog, ChatModel, Directory, DocumentParser, Embedder, Idempotency, Jobs, ObjectStore,
        Upkeep, Uploads, VectorIndex, Wakeups,
        vectors::{Generation, VectorScope},
    },
    time::Clock,
};

/// What the use cases need from the outside.
pub struct Ports {
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Tenants, collections, keys.
    pub directory: Arc<dyn Directory>,
    /// Documents.
    pub catalog: Arc<dyn Catalog>,
    /// Jobs.
    pub jobs: Arc<dyn Jobs>,
    /// What keeps all in order.
    pub upkeep: Arc<dyn Upkeep>,
    /// Uploads in progress.
    pub uploads: Arc<dyn Uploads>,
    /// Stored answers.
    pub answers: Arc<dyn Answers>,
    /// Replay of mutations.
    pub idempotency: Arc<dyn Idempotency>,
    /// Bytes.
    pub objects: Arc<dyn ObjectStore>,
    /// Vectors.
    pub vectors: Arc<dyn VectorIndex>,
    /// Parsers and chunker.
    pub parser: Arc<dyn DocumentParser>,
    /// Embedding model.
    pub embedder: Arc<dyn Embedder>,
    /// Chat model; without one, answers are extractive.
    pub chat: Option<Arc<dyn ChatModel>>,
    /// Wake-ups of workers.
    pub wakeups: Arc<dyn Wakeups>,
    /// What may be forgotten at any time.
    pub cache: Arc<dyn Cache>,
}

impl Ports {
    /// The vectors of a tenant in the generation that is written and searched.
    #[must_use]
    pub fn vector_scope(&self, tenant: vectrion_core::ids::TenantId) -> VectorScope {
        VectorScope {
            generation: Generation {
                model: self.embedder.model().to_owned(),
                dimension: self.embedder.dimension(),
                chunker: self.parser.chunker_version().to_owned(),
            },
            tenant,
        }
    }

    /// Says that a job became ready. A lost wake-up only delays the work until the next look, so a failure is no error.
    pub(crate) async fn wake(&self, stage: vectrion_core::job::Stage) {
        if let Err(error) = self.wakeups.notify(stage).await {
            tracing::warn!(stage = stage.as_str(), reason = error.reason(), %error, "cannot wake the workers");
        }
    }
}
