//! Uploads in progress.

use async_trait::async_trait;

use crate::{
    Result,
    document::{ExternalId, Filename},
    ids::{CollectionId, TenantId, UploadId, VersionId},
    metadata::Metadata,
    time::Timestamp,
};

/// What a caller says before the bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct UploadHeader {
    /// Where the document goes.
    pub collection: CollectionId,
    /// The caller's name for it.
    pub external_id: ExternalId,
    /// File name.
    pub filename: Filename,
    /// Bytes, if the caller knows.
    pub size: Option<u64>,
    /// SHA-256, if the caller knows.
    pub sha256: Option<[u8; 32]>,
    /// Metadata; none leaves that of an existing document as it is.
    pub metadata: Option<Metadata>,
    /// Makes a document of its own even if another document has the same bytes.
    pub allow_duplicate: bool,
}

/// An upload in progress.
#[derive(Clone, Debug, PartialEq)]
pub struct Upload {
    /// Id.
    pub id: UploadId,
    /// Owner.
    pub tenant: TenantId,
    /// Version that the bytes will become; names their object.
    pub version_id: VersionId,
    /// What the caller said.
    pub header: UploadHeader,
    /// Bytes stored so far.
    pub committed: u64,
    /// Whether bytes come in one call (and an upload left over by a dead process cannot go on).
    pub one_call: bool,
    /// When it was begun.
    pub create_time: Timestamp,
    /// When it is given up.
    pub expire_time: Timestamp,
}

/// Keeps uploads in progress. A row is written before the first byte, so that bytes of an upload that never ended are
/// found and removed.
#[async_trait]
pub trait Uploads: Send + Sync {
    /// Begins an upload that expires `ttl_ms` milliseconds from now.
    async fn create_upload(
        &self,
        tenant: TenantId,
        id: UploadId,
        version_id: VersionId,
        header: UploadHeader,
        one_call: bool,
        ttl_ms: i64,
    ) -> Result<Upload>;

    /// An upload of this tenant; none if missing, ended or expired.
    async fn upload(&self, tenant: TenantId, id: UploadId) -> Result<Option<Upload>>;

    /// Moves the committed size from `from` to `to` and puts off the expiry. If it is not at `from` (another call was
    /// faster) it is `ABORTED`, reason `UPLOAD_CONFLICT`; missing is `NOT_FOUND`, reason `UPLOAD_NOT_FOUND`.
    async fn advance_upload(&self, tenant: TenantId, id: UploadId, from: u64, to: u64, ttl_ms: i64) -> Result<()>;

    /// Forgets an upload; a missing one is no error.
    async fn remove_upload(&self, tenant: TenantId, id: UploadId) -> Result<()>;

    /// Up to `limit` uploads, of any tenant, that have expired; with `left_over`, also those of one call (for a process
    /// that knows that it is the only one and has just started).
    async fn expired_uploads(&self, left_over: bool, limit: u32) -> Result<Vec<Upload>>;
}
