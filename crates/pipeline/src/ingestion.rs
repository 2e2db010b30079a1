//! Documents in: upload, read, change, watch, delete.

mod content;
mod documents;
mod upload;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use vectrion_core::{
    Result,
    document::{Document, ExternalId, Filename},
    ids::DocumentId,
    metadata::Metadata,
    ports::objects::ByteStream,
};

use crate::{CollectionRef, Ports, settings::IngestSettings};

/// What a caller says before the bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct UploadSpec {
    /// Where the document goes.
    pub collection: CollectionRef,
    /// The caller's name for it; none: the file name.
    pub external_id: Option<ExternalId>,
    /// File name.
    pub filename: Filename,
    /// Bytes, if known.
    pub size: Option<u64>,
    /// SHA-256, if known.
    pub sha256: Option<[u8; 32]>,
    /// Metadata.
    pub metadata: Option<Metadata>,
    /// A document of its own whatever the bytes.
    pub allow_duplicate: bool,
}

/// A part of an upload in one call, after the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadPart {
    /// The next bytes.
    Bytes(Bytes),
    /// SHA-256 of all bytes; the last part.
    Checksum([u8; 32]),
}

/// A document with what only the vector index knows.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentView {
    /// The document.
    pub document: Document,
    /// Points of the version shown, counted in the index.
    pub vector_count: u64,
}

/// An event of a watch.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchEvent {
    /// Where to go on after it.
    pub revision: i64,
    /// What happened.
    pub kind: WatchEventKind,
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEventKind {
    /// A document as it is after a change.
    Changed(Box<DocumentView>),
    /// A document is gone.
    Removed(DocumentId),
    /// The stream is alive.
    Heartbeat,
    /// The history is gone: list again.
    Resync,
}

/// A stream of a watch. Ends when the server winds down.
pub type WatchStream = BoxStream<'static, Result<WatchEvent>>;

/// Which content of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// The bytes as uploaded.
    Original,
    /// The extracted text as UTF-8.
    Text,
}

/// Content of a document.
pub struct Content {
    /// Media type.
    pub content_type: String,
    /// Bytes of the whole content.
    pub size: u64,
    /// Its bytes from the offset asked for.
    pub stream: ByteStream,
}

/// Takes documents in and looks after them.
pub struct Ingestion {
    ports: Arc<Ports>,
    settings: IngestSettings,
}

impl Ingestion {
    /// Over these ports.
    #[must_use]
    pub fn new(ports: Arc<Ports>, settings: IngestSettings) -> Self {
        Self { ports, settings }
    }

    /// Bytes of a document at the most.
    #[must_use]
    pub fn max_document_bytes(&self) -> u64 {
        self.settings.max_document_bytes
    }
}
