//! The vector index.

use async_trait::async_trait;

use crate::{
    Result,
    ids::{ChunkId, CollectionId, DocumentId, TenantId, VersionId},
};

/// Vectors that can be compared with each other: one embedding model, one dimension, one chunker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Generation {
    /// Name of the embedding model, with its variant.
    pub model: String,
    /// Length of its vectors.
    pub dimension: usize,
    /// Version of the chunker.
    pub chunker: String,
}

/// Which vectors a call touches: one generation, one tenant. There is no call without it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VectorScope {
    /// Generation.
    pub generation: Generation,
    /// Tenant.
    pub tenant: TenantId,
}

/// A chunk as the index holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Id.
    pub id: ChunkId,
    /// Document.
    pub document: DocumentId,
    /// Version.
    pub version_id: VersionId,
    /// Collection.
    pub collection: CollectionId,
    /// Embedding of unit length.
    pub dense: Vec<f32>,
    /// Words for BM25; the index makes the sparse vector of them.
    pub text: String,
}

/// What to look for.
#[derive(Clone, Debug, PartialEq)]
pub enum VectorQuery {
    /// Nearest by cosine; a vector of unit length.
    Dense(Vec<f32>),
    /// Best by BM25 for these words. Inverse document frequencies are those of the scope alone: another tenant's
    /// documents change no score and no rank.
    Sparse(String),
}

/// Where to look. An empty list means any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorFilter {
    /// In one of these collections.
    pub collections: Vec<CollectionId>,
    /// In one of these documents.
    pub documents: Vec<DocumentId>,
}

/// A point that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Chunk.
    pub id: ChunkId,
    /// Document.
    pub document: DocumentId,
    /// Version. The index may hold versions that are not, or no longer, visible: the caller checks with the database.
    pub version_id: VersionId,
    /// Cosine in -1 to 1 for a dense query, the BM25 sum for a sparse one. Higher is better.
    pub score: f32,
}

/// A point as a walk finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoredPoint {
    /// Chunk.
    pub id: ChunkId,
    /// Document.
    pub document: DocumentId,
    /// Version.
    pub version_id: VersionId,
    /// Collection.
    pub collection: CollectionId,
}

/// Some of the points of a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointPage {
    /// The points.
    pub points: Vec<StoredPoint>,
    /// Where to go on; none at the end. Means something to the index that made it alone.
    pub next: Option<String>,
}

/// Finds chunks by vector and by words.
///
/// - `upsert` and the deletions are idempotent. Their effect is seen by later searches of the same process at once and
///   survives a crash after the next successful `flush` of the scope.
/// - A scope that was never written behaves as an empty one.
/// - A query vector or point of another length than the generation's is `INVALID_ARGUMENT`, reason `DIMENSION_MISMATCH`.
/// - Below its floor of free disk space an index refuses writes: `RESOURCE_EXHAUSTED`, reason `STORAGE_FULL`.
#[async_trait]
pub trait VectorIndex: Send + Sync {
    /// Writes points, replacing those of the same id.
    async fn upsert(&self, scope: &VectorScope, points: Vec<Point>) -> Result<()>;

    /// Removes every point of a version.
    async fn delete_version(&self, scope: &VectorScope, version: VersionId) -> Result<()>;

    /// Removes every point of a document.
    async fn delete_document(&self, scope: &VectorScope, document: DocumentId) -> Result<()>;

    /// Makes earlier writes durable.
    async fn flush(&self, scope: &VectorScope) -> Result<()>;

    /// Counts the points of each version, exactly, in the order asked.
    async fn count(&self, scope: &VectorScope, versions: &[VersionId]) -> Result<Vec<u64>>;

    /// The best `limit` points, best first. Points that share no word with a sparse query are not found.
    async fn search(
        &self,
        scope: &VectorScope,
        query: &VectorQuery,
        filter: &VectorFilter,
        limit: usize,
    ) -> Result<Vec<Hit>>;

    /// The ids of every point of a document, for checks and repairs.
    async fn point_ids(&self, scope: &VectorScope, document: DocumentId) -> Result<Vec<ChunkId>>;

    /// Up to `limit` points of a scope, those from `from` on (`next` of the page before). A walk to the end sees every point
    /// once that is there from its beginning to its end, whatever is written or removed meanwhile.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, reason `INVALID_CURSOR`, for a `from` that no page gave.
    async fn walk(&self, scope: &VectorScope, from: Option<&str>, limit: usize) -> Result<PointPage>;

    /// Tenants that have points, whatever the generation, in no order. One whose points were all removed may be among
    /// them, and of a very large number some may be missing until others are gone.
    async fn tenants(&self) -> Result<Vec<TenantId>>;

    /// The generations in which the tenant has points, in no order. One whose points were all removed may be among them.
    async fn generations(&self, tenant: TenantId) -> Result<Vec<Generation>>;

    /// Removes all of a tenant's points in one generation, at once and for good.
    async fn drop_scope(&self, scope: &VectorScope) -> Result<()>;

    /// Removes all of a tenant's points in every generation.
    async fn drop_tenant(&self, tenant: TenantId) -> Result<()>;

    /// Whether the index can be used now.
    async fn check(&self) -> Result<()>;
}
