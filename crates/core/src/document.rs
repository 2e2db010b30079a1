//! Documents and their versions, as callers see them.

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    ids::{CollectionId, DocumentId, TenantId, VersionId},
    metadata::{Metadata, MetadataCondition},
    time::Timestamp,
};

/// State of a document's newest version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentState {
    /// The bytes are stored; nothing has been read yet.
    Uploaded,
    /// Text is being extracted and chunked.
    Processing,
    /// Chunks are stored; embedding has not begun.
    Processed,
    /// Chunks are being embedded and indexed.
    Embedding,
    /// Searchable. Terminal.
    Indexed,
    /// Given up, with a reason. Terminal until it is retried.
    Failed,
    /// Being deleted; nobody finds it any more.
    Deleting,
}

impl DocumentState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Uploaded,
        Self::Processing,
        Self::Processed,
        Self::Embedding,
        Self::Indexed,
        Self::Failed,
        Self::Deleting,
    ];

    /// The name in the database and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uploaded => "uploaded",
            Self::Processing => "processing",
            Self::Processed => "processed",
            Self::Embedding => "embedding",
            Self::Indexed => "indexed",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
        }
    }

    /// Whether nothing more happens by itself.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Indexed | Self::Failed)
    }
}

/// How far the work on a version has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Pages of the document, 0 until known.
    pub pages_total: u32,
    /// Pages read.
    pub pages_done: u32,
    /// Chunks of the document, 0 until known.
    pub chunks_total: u32,
    /// Chunks embedded and indexed.
    pub chunks_done: u32,
}

/// Why a version failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stage that failed: `upload`, `process_document`, `embed_document`, `delete_document`.
    pub stage: String,
    /// Stable reason, such as `PDF_PASSWORD_REQUIRED`.
    pub reason: String,
    /// What happened and what to do, for people.
    pub message: String,
    /// Tries made.
    pub attempts: u32,
}

/// Something worth knowing about a version that was indexed all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Stable reason, such as `HIDDEN_TEXT_DROPPED`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// A document shown through one of its versions (the newest, unless a list of versions was asked for).
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Id, the same for all versions.
    pub id: DocumentId,
    /// Owner.
    pub tenant: TenantId,
    /// Collection it is in.
    pub collection: CollectionId,
    /// The caller's name for it, unique in its collection.
    pub external_id: String,
    /// The version shown.
    pub version_id: VersionId,
    /// Its number, counted from 1.
    pub version: u32,
    /// Number of the version that searches see; none before the first is indexed.
    pub indexed_version: Option<u32>,
    /// File name as uploaded, without directories.
    pub filename: String,
    /// Title found in the file.
    pub title: Option<String>,
    /// Media type sniffed from the content.
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes, lower-case hex.
    pub sha256: String,
    /// State of this version.
    pub state: DocumentState,
    /// Progress of this version.
    pub progress: Progress,
    /// Pages read (1 for formats without pages).
    pub page_count: u32,
    /// Chunk rows in the database.
    pub chunk_count: u32,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What is worth knowing.
    pub warnings: Vec<Warning>,
    /// The caller's metadata; belongs to the document, not to a version.
    pub metadata: Metadata,
    /// When the document (in a list of versions: the version) was created.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
    /// Position in the tenant's history of changes; grows with every change.
    pub revision: i64,
}

/// Which documents a list or a watch shows. All conditions must hold; an empty list means any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DocumentFilter {
    /// In this collection.
    pub collection: Option<CollectionId>,
    /// One of these documents.
    pub documents: Vec<DocumentId>,
    /// In one of these states.
    pub states: Vec<DocumentState>,
    /// With exactly this external id.
    pub external_id: Option<String>,
    /// File name contains this text, ignoring ASCII case.
    pub filename_contains: Option<String>,
    /// Metadata conditions.
    pub metadata: Vec<MetadataCondition>,
}

/// Order of a list of documents; ties are broken by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DocumentOrder {
    /// By which field.
    pub by: DocumentOrderField,
    /// Largest first.
    pub descending: bool,
}

/// A field that documents can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DocumentOrderField {
    /// Creation.
    #[default]
    CreateTime,
    /// Last change.
    UpdateTime,
    /// File name.
    Filename,
}

/// The caller's name for a document: 1 to 1024 bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExternalId(String);

impl ExternalId {
    /// Bytes at the most.
    pub const MAX_BYTES: usize = 1024;

    /// Checks the rules.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming `external_id`.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        if text.is_empty() || text.len() > Self::MAX_BYTES || text.chars().any(char::is_control) {
            return Err(Error::invalid_field(
                "external_id",
                format!("has 1 to {} bytes and no control characters", Self::MAX_BYTES),
            ));
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A file name without directories: 1 to 255 bytes, no slash, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filename(String);

impl Filename {
    /// Bytes at the most.
    pub const MAX_BYTES: usize = 255;

    /// Checks the rules.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming `filename`.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let bad = text.is_empty()
            || text.len() > Self::MAX_BYTES
            || text == "."
            || text == ".."
            || text.chars().any(|c| c == '/' || c == '\\' || c.is_control());
        if bad {
            return Err(Error::invalid_field(
                "filename",
                format!("has 1 to {} bytes, no slash or backslash and no control characters", Self::MAX_BYTES),
            ));
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
