//! Uploads in progress.

use async_trait::async_trait;

use crate::{
    Result,
    document::{ExternalId, Filename},
    ids::{CollectionId, DocumentId, TenantId, UploadId, VersionId},
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

/// What became of an upload in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadOutcome {
    /// A new document.
    Created,
    /// A new version of an existing document.
    NewVersion,
    /// The newest version has these bytes already.
    Unchanged,
    /// Another document has these bytes.
    Duplicate,
}

/// An upload in pieces that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedUpload {
    /// The document that it led to.
    pub document: DocumentId,
    /// The version of that document.
    pub version: u32,
    /// How.
    pub outcome: UploadOutcome,
}

/// Whose turn it is to end an upload in pieces.
#[derive(Clone, Debug, PartialEq)]
pub enum UploadTurn {
    /// This call's, until the claim runs out. No more bytes are taken.
    Taken {
        /// The upload as it is to be ended.
        upload: Box<Upload>,
        /// Fencing token; grows with every claim of the upload.
        token: i64,
    },
    /// Another call's.
    Busy,
    /// It has ended.
    Completed(CompletedUpload),
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
    /// faster), or was claimed and not given back, it is `ABORTED`, reason `UPLOAD_CONFLICT`; missing is `NOT_FOUND`, reason
    /// `UPLOAD_NOT_FOUND`.
    async fn advance_upload(&self, tenant: TenantId, id: UploadId, from: u64, to: u64, ttl_ms: i64) -> Result<()>;

    /// Takes the right to end an upload in pieces for `claim_ms` milliseconds, and puts off its expiry. Missing, expired
    /// and not completed, or of one call is `NOT_FOUND`, reason `UPLOAD_NOT_FOUND`.
    async fn claim_upload(&self, tenant: TenantId, id: UploadId, claim_ms: i64, ttl_ms: i64) -> Result<UploadTurn>;

    /// Puts off the end of a claim. If somebody has claimed the upload since, or it has ended, it is `ABORTED`, reason
    /// `UPLOAD_CLAIM_LOST`.
    async fn renew_upload_claim(&self, tenant: TenantId, id: UploadId, token: i64, claim_ms: i64) -> Result<()>;

    /// Gives a claim back, so that the upload can go on; one that was lost is no error. Only for who writes nothing more
    /// under it.
    async fn release_upload_claim(&self, tenant: TenantId, id: UploadId, token: i64) -> Result<()>;

    /// Expires an upload, so that it can never be admitted, if nobody has claimed it since this token was given (0: an
    /// upload in one call). Says whether it did; not so if it has ended or expired already.
    async fn expire_upload(&self, tenant: TenantId, id: UploadId, token: i64) -> Result<bool>;

    /// Forgets what became of uploads that ended more than `keep_ms` milliseconds ago. Returns how many.
    async fn purge_completed_uploads(&self, keep_ms: i64) -> Result<u64>;

    /// Forgets an upload; a missing one is no error.
    async fn remove_upload(&self, tenant: TenantId, id: UploadId) -> Result<()>;

    /// Up to `limit` uploads, of any tenant, that have expired; with `left_over`, also those of one call (for a process
    /// that knows that it is the only one and has just started), and every claim is given back.
    async fn expired_uploads(&self, left_over: bool, limit: u32) -> Result<Vec<Upload>>;
}
