//! Documents in: upload, read, change, watch, delete.

mod completion;
mod content;
mod discard;
mod documents;
mod intake;
mod pieces;
mod upload;
mod watch;

pub(crate) use self::discard::remove_dead;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use vectrion_core::{
    Error, Result,
    document::{Document, ExternalId, Filename, Warning},
    ids::{DocumentId, TenantId},
    metadata::Metadata,
    ports::objects::ByteStream,
};

use crate::{CollectionRef, Ports, settings::IngestSettings};

/// How long the vector index may take to count the points of documents that are shown.
const COUNT_PATIENCE: Duration = Duration::from_secs(2);

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
    /// Points of the version shown, counted in the index; 0, with a warning `VECTOR_COUNT_UNKNOWN`, when that is out of
    /// reach.
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
    watching: watch::Watching,
    text_reads: Arc<Semaphore>,
}

impl Ingestion {
    /// Over these ports.
    #[must_use]
    pub fn new(ports: Arc<Ports>, settings: IngestSettings) -> Self {
        Self {
            ports,
            settings,
            watching: watch::Watching::default(),
            text_reads: Arc::new(Semaphore::new(content::TEXT_READS)),
        }
    }

    /// The same, with watches that end when `shutdown` is cancelled.
    #[must_use]
    pub fn with_shutdown(self, shutdown: CancellationToken) -> Self {
        Self { watching: watch::Watching::until(shutdown), ..self }
    }

    /// Bytes of a document at the most.
    #[must_use]
    pub fn max_document_bytes(&self) -> u64 {
        self.settings.max_document_bytes
    }

    /// The documents with their points, counted by one call. An index that is out of reach keeps nobody from the documents:
    /// they come without a count then, and say so.
    async fn views(ports: &Ports, tenant: TenantId, documents: Vec<Document>) -> Result<Vec<DocumentView>> {
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let versions: Vec<_> = documents.iter().map(|document| document.version_id).collect();
        let scope = ports.vector_scope(tenant);
        let counting = tokio::time::timeout(COUNT_PATIENCE, ports.vectors.count(&scope, &versions));
        let late = || Error::unavailable("VECTOR_INDEX_TIMEOUT", "the vector index took too long to count");
        let counts = match counting.await.unwrap_or_else(|_| Err(late())) {
            Ok(counts) => counts,
            Err(error) => {
                tracing::warn!(reason = error.reason(), ?error, "documents are shown without their vectors counted");
                return Ok(documents.into_iter().map(uncounted).collect());
            }
        };
        if counts.len() != versions.len() {
            return Err(Error::internal(
                "INDEX_MISCOUNT",
                "the vector index gave another number of counts than was asked",
            ));
        }
        let view = |(document, vector_count)| DocumentView { document, vector_count };
        Ok(documents.into_iter().zip(counts).map(view).collect())
    }

    async fn view(&self, tenant: TenantId, document: Document) -> Result<DocumentView> {
        let mut views = Self::views(&self.ports, tenant, vec![document]).await?;
        views.pop().ok_or_else(|| Error::internal("INDEX_MISCOUNT", "the vector index gave no count"))
    }
}

/// A document whose points could not be counted.
fn uncounted(mut document: Document) -> DocumentView {
    document.warnings.push(Warning {
        reason: "VECTOR_COUNT_UNKNOWN".to_owned(),
        message: "the vector index is out of reach, so its vectors could not be counted".to_owned(),
    });
    DocumentView { document, vector_count: 0 }
}

/// The answer for a document that is missing or another tenant's.
fn document_not_found(id: DocumentId) -> Error {
    Error::not_found("DOCUMENT_NOT_FOUND", format!("there is no document {id}"))
        .with_metadata("document_id", id.to_string())
}
