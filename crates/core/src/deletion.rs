//! Deletions: who asked for one, and the receipt of what was removed.

use crate::{
    ids::{CollectionId, DocumentId, JobId, KeyId, TenantId, VersionId},
    time::Timestamp,
};

/// Why a document is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeletionCause {
    /// Somebody asked for it.
    Request,
    /// The lifecycle policy of its collection: it has been kept for long enough.
    Retention,
    /// The lifecycle policy of its collection: it failed, and nobody did anything about it.
    Failed,
}

impl DeletionCause {
    /// Every cause.
    pub const ALL: [Self; 3] = [Self::Request, Self::Retention, Self::Failed];

    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Retention => "retention",
            Self::Failed => "failed",
        }
    }
}

/// A deletion to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionOrder {
    /// The job that is to do it.
    pub job: JobId,
    /// Tries that it may make.
    pub max_attempts: u32,
    /// Trace of the call.
    pub trace_id: String,
    /// Why.
    pub cause: DeletionCause,
    /// The key with which it was asked for; none for a policy.
    pub key: Option<KeyId>,
    /// Only if the document has not changed since it had this revision.
    pub at_revision: Option<i64>,
}

/// What a deletion has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Versions.
    pub versions: u64,
    /// Chunks in the database.
    pub chunks: u64,
    /// Points in the vector index.
    pub points: u64,
    /// Objects.
    pub objects: u64,
    /// Bytes of the objects.
    pub bytes: u64,
}

/// What was found of a document after its deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Rows in the database: the document, its versions, pages, chunks, metadata.
    pub rows: u64,
    /// Points in the vector index.
    pub points: u64,
    /// Objects.
    pub objects: u64,
}

impl Left {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// What is kept of a document when it is deleted: the tombstone while it is being removed, the receipt afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionReceipt {
    /// The document.
    pub document: DocumentId,
    /// Its owner.
    pub tenant: TenantId,
    /// The collection that it was in.
    pub collection: CollectionId,
    /// SHA-256 of its external id, by which who knows that id finds the receipt; the id itself is not kept.
    pub external_id_sha256: [u8; 32],
    /// Why.
    pub cause: DeletionCause,
    /// The key with which it was asked for; none for a policy.
    pub key: Option<KeyId>,
    /// Trace of the call.
    pub trace_id: String,
    /// Its versions, by which is looked whether anything is left.
    pub versions: Vec<VersionId>,
    /// What was removed.
    pub removed: Removed,
    /// When it was asked for.
    pub request_time: Timestamp,
    /// When the last of it was removed from the database.
    pub end_time: Option<Timestamp>,
    /// When index, object store and database were asked anew, and nothing was left.
    pub verify_time: Option<Timestamp>,
    /// What was found at the last look.
    pub left: Left,
}
