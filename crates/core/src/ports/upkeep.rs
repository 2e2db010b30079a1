//! What keeps an installation in order: what should be where, work that is done again, and chores that one process does
//! at a time.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Result,
    deletion::{DeletionReceipt, Left, Removed},
    document::DocumentState,
    ids::{ChunkId, CollectionId, DocumentId, JobId, TenantId, UploadId, VersionId},
    job::JobPayload,
    lifecycle::{LifecycleCandidate, LifecyclePolicy, LifecycleRule, LifecycleRules},
    page::{Page, PageRequest},
};

/// What the database says of a version: what has to be found in the vector index and in the object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRecord {
    /// Id.
    pub id: VersionId,
    /// Its document.
    pub document: DocumentId,
    /// Collection of the document.
    pub collection: CollectionId,
    /// Number of the version.
    pub number: u32,
    /// State of the version; `deleting` or `failed` of the document while that is being deleted.
    pub state: DocumentState,
    /// Whether the document is being deleted, or that has failed.
    pub deleting: bool,
    /// Whether searches see this version.
    pub searched: bool,
    /// Whether searches see a higher version.
    pub replaced: bool,
    /// Whether a job of the document waits or runs.
    pub busy: bool,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Chunks that the version says it has.
    pub chunk_count: u32,
    /// Chunks that there are.
    pub chunks: u64,
}

/// Looks over everything that an installation keeps.
///
/// - Time is the database's.
/// - What belongs to another tenant is as if it were missing.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Up to `limit` versions of a tenant (in this collection) in order of their ids, those after `after`.
    async fn walk_versions(
        &self,
        tenant: TenantId,
        collection: Option<CollectionId>,
        after: Option<VersionId>,
        limit: u32,
    ) -> Result<Vec<VersionRecord>>;

    /// What the database says of a version now.
    async fn version_record(&self, tenant: TenantId, version: VersionId) -> Result<Option<VersionRecord>>;

    /// Of these versions, those that there are and those that an upload will become which goes on or has yet to be cleared
    /// away, as one moment saw them: an upload that becomes a version is one or the other. In any order.
    async fn known_versions(&self, tenant: TenantId, versions: &[VersionId]) -> Result<Vec<VersionId>>;

    /// Of these uploads, those that go on or have yet to be cleared away.
    async fn known_uploads(&self, tenant: TenantId, uploads: &[UploadId]) -> Result<Vec<UploadId>>;

    /// Of these chunks, those that there are.
    async fn known_chunks(&self, tenant: TenantId, chunks: &[ChunkId]) -> Result<Vec<ChunkId>>;

    /// Queues work on a document again, unless a job of it waits or runs, or it is gone, or what is asked for makes no
    /// sense any more: then nothing is changed, and it says `false`. The version that searches see stays the one that they
    /// see.
    ///
    /// - `process` and `embed` take a version that no higher one has replaced, of a document that is not being deleted, and
    ///   move it back to `uploaded` or `processed`; its dead letter goes.
    /// - The removal of a version, or of its chunks alone, takes one that searches do not see and that is not the newest, of
    ///   such a document. The removal of a version takes the place of those of it that were given up: their dead letters go.
    /// - The removal of a document takes one that is being deleted and has not failed to be.
    async fn requeue(
        &self,
        tenant: TenantId,
        document: DocumentId,
        payload: JobPayload,
        job: JobId,
        max_attempts: u32,
        trace_id: &str,
    ) -> Result<bool>;

    /// What is kept of a document that was, or is being, deleted.
    async fn deletion_receipt(&self, tenant: TenantId, document: DocumentId) -> Result<Option<DeletionReceipt>>;

    /// Receipts and tombstones of a tenant, newest request first.
    async fn list_deletion_receipts(&self, tenant: TenantId, page: &PageRequest) -> Result<Page<DeletionReceipt>>;

    /// Notes what the deletion of a document is about to remove; of several tries, the most counts.
    async fn note_removal(&self, tenant: TenantId, document: DocumentId, removed: Removed) -> Result<()>;

    /// Up to `limit` receipts, of any tenant, of deletions that have ended and were not verified, longest ended first, those
    /// after `after`.
    async fn unverified_receipts(&self, after: Option<&DeletionReceipt>, limit: u32) -> Result<Vec<DeletionReceipt>>;

    /// Rows that the database still has of a deleted document.
    async fn rows_left(&self, receipt: &DeletionReceipt) -> Result<u64>;

    /// Notes what was found of a deleted document. Nothing makes it verified.
    async fn note_left(&self, tenant: TenantId, document: DocumentId, left: Left) -> Result<()>;

    /// Forgets receipts of deletions that ended more than `keep_ms` milliseconds ago and were verified. Returns how many.
    async fn purge_receipts(&self, keep_ms: i64) -> Result<u64>;

    /// The lifecycle policy of a collection; one without rules if none was set. A missing collection is `NOT_FOUND`, reason
    /// `COLLECTION_NOT_FOUND`.
    async fn lifecycle_policy(&self, tenant: TenantId, collection: CollectionId) -> Result<LifecyclePolicy>;

    /// Sets the lifecycle policy of a collection, all of it. A missing collection is `NOT_FOUND`, reason
    /// `COLLECTION_NOT_FOUND`.
    async fn set_lifecycle_policy(
        &self,
        tenant: TenantId,
        collection: CollectionId,
        rules: LifecycleRules,
    ) -> Result<LifecyclePolicy>;

    /// Up to `limit` policies with rules, of any tenant, in order of their collections' ids, those after `after`.
    async fn walk_lifecycle_policies(&self, after: Option<CollectionId>, limit: u32) -> Result<Vec<LifecyclePolicy>>;

    /// Says whether at least `every` has passed since this policy's orphans were last looked for, and notes that they are
    /// now.
    async fn begin_orphans(&self, tenant: TenantId, collection: CollectionId, every: Duration) -> Result<bool>;

    /// Up to `limit` documents or versions of a collection that a rule would remove, in order of the version's id, those
    /// after `after`. None of a document that is being deleted.
    async fn lifecycle_candidates(
        &self,
        tenant: TenantId,
        collection: CollectionId,
        rule: LifecycleRule,
        after: Option<VersionId>,
        limit: u32,
    ) -> Result<Vec<LifecycleCandidate>>;

    /// Takes a chore for `hold_for`, or holds on to it if this holder has it. Says whether it has it now: nobody else does
    /// then, until the time is over or it is given back.
    async fn hold_chore(&self, chore: &str, holder: &str, hold_for: Duration) -> Result<bool>;

    /// Gives a chore back; one that somebody else holds stays theirs.
    async fn release_chore(&self, chore: &str, holder: &str) -> Result<()>;
}
