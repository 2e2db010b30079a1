//! Documents, versions, pages and chunks.

use async_trait::async_trait;

use crate::{
    Result,
    chunk::Chunk,
    deletion::DeletionOrder,
    document::{Document, DocumentFilter, DocumentOrder},
    ids::{ChunkId, DocumentId, JobId, TenantId, UploadId, VersionId},
    metadata::Metadata,
    page::{Page, PageRequest},
    search::SearchFilter,
};

use super::uploads::{UploadHeader, UploadOutcome};

/// Bytes that are stored and checked, to become a version.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Owner.
    pub tenant: TenantId,
    /// What the caller said.
    pub header: UploadHeader,
    /// The upload that ends with this. Its row goes in the same transaction if a version is made; otherwise it stays, as
    /// expired, until the caller has removed the bytes that nobody needs, so that a crash in between leaves no orphan.
    pub upload: UploadId,
    /// Token of the claim under which an upload in pieces ends; 0 for one in one call.
    pub claim: i64,
    /// Id of the version, if one is made.
    pub version_id: VersionId,
    /// Id of the document, if one is made.
    pub document: DocumentId,
    /// Media type, sniffed.
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: [u8; 32],
    /// Tries that the first job may make.
    pub max_attempts: u32,
    /// Trace of the call.
    pub trace_id: String,
}

/// What became of an admission.
#[derive(Clone, Debug, PartialEq)]
pub enum Admitted {
    /// A new document.
    Created(Document),
    /// A new version of an existing document.
    NewVersion(Document),
    /// The newest version of this external id has these bytes: nothing changed but the metadata, if given.
    Unchanged(Document),
    /// The newest version of another document of the collection has these bytes: that document (the oldest, if there are
    /// several), unchanged.
    Duplicate(Document),
}

impl Admitted {
    /// The document.
    #[must_use]
    pub fn document(&self) -> &Document {
        match self {
            Self::Created(document)
            | Self::NewVersion(document)
            | Self::Unchanged(document)
            | Self::Duplicate(document) => document,
        }
    }

    /// The admission that led to this document.
    #[must_use]
    pub fn of(outcome: UploadOutcome, document: Document) -> Self {
        match outcome {
            UploadOutcome::Created => Self::Created(document),
            UploadOutcome::NewVersion => Self::NewVersion(document),
            UploadOutcome::Unchanged => Self::Unchanged(document),
            UploadOutcome::Duplicate => Self::Duplicate(document),
        }
    }

    /// What it came to.
    #[must_use]
    pub fn outcome(&self) -> UploadOutcome {
        match self {
            Self::Created(_) => UploadOutcome::Created,
            Self::NewVersion(_) => UploadOutcome::NewVersion,
            Self::Unchanged(_) => UploadOutcome::Unchanged,
            Self::Duplicate(_) => UploadOutcome::Duplicate,
        }
    }

    /// Whether a version was made, so that its object is needed and a job waits.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self, Self::Created(_) | Self::NewVersion(_))
    }
}

/// A page of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct PageInfo {
    /// Counted from 1.
    pub number: u32,
    /// Points, as displayed.
    pub width: f32,
    /// Points, as displayed.
    pub height: f32,
    /// Clockwise degrees.
    pub rotation: u16,
    /// Start of its text in the document's extracted text, in Unicode scalar values.
    pub char_start: u32,
    /// End, exclusive.
    pub char_end: u32,
}

/// Changes since a revision.
#[derive(Clone, Debug, PartialEq)]
pub enum Changes {
    /// Documents changed since, oldest change first (each once, as it is now), and documents that are gone.
    Since {
        /// Changed documents.
        changed: Vec<Document>,
        /// Documents that are gone, with the revision of their end.
        removed: Vec<(DocumentId, i64)>,
        /// Where to go on.
        revision: i64,
        /// Whether there is more right now.
        more: bool,
    },
    /// The history since that revision is no longer whole: list again, then go on from `revision`.
    Resync {
        /// Where to go on.
        revision: i64,
    },
}

/// A chunk that a search may show, with its document.
#[derive(Clone, Debug, PartialEq)]
pub struct VisibleChunk {
    /// The chunk.
    pub chunk: Chunk,
    /// File name.
    pub filename: String,
    /// Title.
    pub title: Option<String>,
}

/// Keeps documents. Every method works within one tenant; what belongs to another is as if it were missing.
///
/// Every change of a document gives it a new, larger `revision` within its tenant, in order of commit.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Decides what an upload becomes (see "Documents" in `proto/vectrion/v1/ingestion.proto`) and writes document,
    /// version, metadata and first job in one transaction, which also ends the upload ([`Admission::upload`]). Two calls
    /// at once for the same external id, or with the same bytes, come one after the other. A missing collection is
    /// `NOT_FOUND`, reason `COLLECTION_NOT_FOUND`; an upload that has no row (any more) or has expired is `NOT_FOUND`,
    /// reason `UPLOAD_NOT_FOUND`, so that an upload that was given up, or has ended already, is never admitted; one that
    /// somebody has claimed since is `ABORTED`, reason `UPLOAD_CLAIM_LOST`. What became of an upload in pieces is kept for
    /// [`Uploads::claim_upload`](super::uploads::Uploads::claim_upload). On an error nothing is changed.
    async fn admit(&self, admission: Admission) -> Result<Admitted>;

    /// A document through its newest version.
    async fn document(&self, tenant: TenantId, id: DocumentId) -> Result<Option<Document>>;

    /// A document through one of its versions.
    async fn document_version(&self, tenant: TenantId, id: DocumentId, version: u32) -> Result<Option<Document>>;

    /// Documents, each through its newest version.
    async fn list_documents(
        &self,
        tenant: TenantId,
        filter: &DocumentFilter,
        order: DocumentOrder,
        page: &PageRequest,
    ) -> Result<Page<Document>>;

    /// Versions of a document, newest first. A missing document is `NOT_FOUND`, reason `DOCUMENT_NOT_FOUND`.
    async fn list_versions(&self, tenant: TenantId, id: DocumentId, page: &PageRequest) -> Result<Page<Document>>;

    /// Replaces the metadata. Missing or being deleted is `DOCUMENT_NOT_FOUND`.
    async fn update_metadata(&self, tenant: TenantId, id: DocumentId, metadata: Metadata) -> Result<Document>;

    /// Hides the document from every search and list of indexed documents, cancels its waiting jobs, leaves a tombstone
    /// ([`super::Upkeep::deletion_receipt`]), and queues its removal, in one transaction. A document that is being deleted
    /// is given back as it is. Missing is `DOCUMENT_NOT_FOUND`; one that has changed since
    /// [`DeletionOrder::at_revision`] is `ABORTED`, reason `DOCUMENT_CHANGED`.
    async fn begin_delete(&self, tenant: TenantId, id: DocumentId, order: &DeletionOrder) -> Result<Document>;

    /// Queues the failed stage of the newest version again with fresh tries, and removes its dead letters. Without chunks
    /// to embed, because they were removed or are about to be, that is `process_document`. A document that has not failed is `FAILED_PRECONDITION`, reason `DOCUMENT_NOT_FAILED`.
    async fn retry(&self, tenant: TenantId, id: DocumentId, job: JobId, trace_id: &str) -> Result<Document>;

    /// Calls off the work on a document that is neither indexed nor failed: those of its versions that nobody works on
    /// have failed with reason `CANCELLED` at once, without a dead letter; a worker that has one in hand learns of it
    /// ([`Jobs::check_work`](super::Jobs::check_work)) and no commit of it succeeds any more. Chunks and vectors of what
    /// was called off are removed by jobs that this queues. The version that searches see stays. A document without work
    /// is `FAILED_PRECONDITION`, reason `DOCUMENT_NOT_UNDER_WAY`; a missing one `DOCUMENT_NOT_FOUND`.
    async fn cancel_work(&self, tenant: TenantId, id: DocumentId) -> Result<Document>;

    /// Chunks of a version in order. A missing document or version is `DOCUMENT_NOT_FOUND`.
    async fn list_chunks(
        &self,
        tenant: TenantId,
        id: DocumentId,
        version: Option<u32>,
        page: &PageRequest,
    ) -> Result<Page<Chunk>>;

    /// Pages of a version in order. A missing document or version is `DOCUMENT_NOT_FOUND`.
    async fn list_pages(
        &self,
        tenant: TenantId,
        id: DocumentId,
        version: Option<u32>,
        page: &PageRequest,
    ) -> Result<Page<PageInfo>>;

    /// Up to `limit` chunks of a version from `ordinal` on, for embedding.
    async fn chunks_from(&self, tenant: TenantId, version: VersionId, ordinal: u32, limit: u32) -> Result<Vec<Chunk>>;

    /// Of these chunks, those that a search may show now: of the indexed version of a document of this tenant that is
    /// not being deleted and that meets the filter. In any order.
    async fn visible_chunks(
        &self,
        tenant: TenantId,
        ids: &[ChunkId],
        filter: &SearchFilter,
    ) -> Result<Vec<VisibleChunk>>;

    /// Ids of the documents that are searchable and meet the filter, up to `limit` + 1 of them, so that the caller sees
    /// whether there are more.
    async fn matching_documents(&self, tenant: TenantId, filter: &SearchFilter, limit: u32) -> Result<Vec<DocumentId>>;

    /// Changes after a revision (0: from the beginning of what is kept), at most `limit`. `first_look`: the caller has
    /// begun at 0 and has not come to the end yet, so that an end of a document that was forgotten is of none that it was
    /// told of, and calls for no resync.
    async fn changes(
        &self,
        tenant: TenantId,
        filter: &DocumentFilter,
        after: i64,
        first_look: bool,
        limit: u32,
    ) -> Result<Changes>;

    /// The newest revision of the tenant.
    async fn revision(&self, tenant: TenantId) -> Result<i64>;

    /// Forgets ends of documents older than `keep_ms` milliseconds; watches from before get a resync.
    async fn trim_history(&self, keep_ms: i64) -> Result<u64>;

    /// Documents by state over all tenants, for the metrics.
    async fn count_by_state(&self) -> Result<Vec<(crate::document::DocumentState, u64)>>;
}
