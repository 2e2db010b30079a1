//! Situations that the suites of the database's ports begin with.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use vectrion_core::{
    ErrorKind, Result,
    chunk::{Chunk, ChunkDraft, PageBox},
    deletion::{DeletionCause, DeletionOrder},
    document::{Document, ExternalId, Filename, Warning},
    extraction::Rect,
    ids::{ChunkId, CollectionId, DocumentId, JobId, TenantId, UploadId, VersionId, WorkerId},
    job::{Lease, Stage},
    metadata::{Metadata, MetadataValue},
    page::{Page, PageRequest},
    ports::{
        Answers, Catalog, Directory, Idempotency, Jobs, Upkeep, Uploads,
        catalog::{Admission, Admitted, PageInfo},
        jobs::{NextJob, ProcessedVersion},
        uploads::UploadHeader,
    },
    tenancy::DEFAULT_NAME,
};

/// All ports of the database, as one adapter.
pub trait Database: Directory + Catalog + Jobs + Uploads + Answers + Idempotency + Upkeep {}

impl<S: Directory + Catalog + Jobs + Uploads + Answers + Idempotency + Upkeep> Database for S {}

/// A lease that no test outlives.
pub const LONG: Duration = Duration::from_secs(600);
/// Tries of the jobs that these situations queue.
pub const TRIES: u32 = 3;
/// Trace id of the calls that these situations make.
pub const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Waits until a moment by the database's clock is surely over.
pub async fn pass() {
    tokio::time::sleep(Duration::from_millis(25)).await;
}

/// A worker of this name.
#[must_use]
pub fn worker(name: &str) -> WorkerId {
    WorkerId(format!("host:1:{name}"))
}

/// A name that no other test uses.
#[must_use]
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Metadata of these entries.
#[must_use]
pub fn metadata(entries: &[(&str, MetadataValue)]) -> Metadata {
    let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    Metadata::new(entries.collect()).expect("within the rules")
}

/// A deletion that somebody asked for.
#[must_use]
pub fn deletion() -> DeletionOrder {
    DeletionOrder {
        job: JobId::new(),
        max_attempts: TRIES,
        trace_id: TRACE.to_owned(),
        cause: DeletionCause::Request,
        key: None,
        at_revision: None,
    }
}

/// Asserts that a call was refused like this.
pub fn refused<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind, reason: &str) {
    let error = result.expect_err(reason);
    assert_eq!((error.kind(), error.reason()), (kind, reason), "{error:?}");
}

/// Walks all pages of a list, `size` rows each.
pub async fn walk<T>(size: u32, list: impl AsyncFn(PageRequest) -> Result<Page<T>>) -> Vec<T> {
    let mut all = Vec::new();
    let mut token = None;
    loop {
        let page = list(PageRequest { size, token }).await.expect("a page");
        assert!(page.items.len() <= size as usize, "a page holds no more than asked for");
        assert!(page.next.is_none() || page.items.len() == size as usize, "a page before the last is full");
        all.extend(page.items);
        token = page.next;
        if token.is_none() {
            return all;
        }
    }
}

/// A file to upload.
#[derive(Clone, Debug)]
pub struct File {
    /// What is said before the bytes.
    pub header: UploadHeader,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
}

impl File {
    /// With this metadata.
    #[must_use]
    pub fn with(mut self, metadata: Metadata) -> Self {
        self.header.metadata = Some(metadata);
        self
    }

    /// Under this file name.
    #[must_use]
    pub fn named(mut self, filename: &str) -> Self {
        self.header.filename = Filename::new(filename).expect("a file name");
        self
    }

    /// In this collection.
    #[must_use]
    pub fn into_collection(mut self, collection: CollectionId) -> Self {
        self.header.collection = collection;
        self
    }
}

/// A tenant in a database.
#[derive(Debug)]
pub struct Scenario<'a, S> {
    /// The database.
    pub store: &'a S,
    /// The tenant.
    pub tenant: TenantId,
    /// Its collection `default`.
    pub collection: CollectionId,
}

impl<'a, S: Database> Scenario<'a, S> {
    /// A new tenant.
    pub async fn new(store: &'a S) -> Self {
        let tenant = store.create_tenant(TenantId::new(), &unique("tenant")).await.expect("a tenant").id;
        let collection = store.collection_by_name(tenant, DEFAULT_NAME).await.expect("a look").expect("its collection");
        Self { store, tenant, collection: collection.id }
    }

    /// A file. Equal `content`, equal bytes.
    #[must_use]
    pub fn file(&self, external_id: &str, content: &str) -> File {
        let mut sha256 = [0; 32];
        for (i, byte) in content.bytes().enumerate() {
            sha256[i % 32] ^= byte.wrapping_add(i as u8);
        }
        File {
            header: UploadHeader {
                collection: self.collection,
                external_id: ExternalId::new(external_id).expect("an external id"),
                filename: Filename::new(format!("{}.pdf", external_id.replace('/', "_"))).expect("a file name"),
                size: None,
                sha256: None,
                metadata: None,
                allow_duplicate: false,
            },
            sha256,
        }
    }

    /// Begins an upload of a file.
    pub async fn begin_upload(&self, file: &File) -> Admission {
        let (upload, version_id) = (UploadId::new(), VersionId::new());
        self.store
            .create_upload(self.tenant, upload, version_id, file.header.clone(), true, 600_000)
            .await
            .expect("an upload");
        Admission {
            tenant: self.tenant,
            header: file.header.clone(),
            upload,
            claim: 0,
            version_id,
            document: DocumentId::new(),
            content_type: "application/pdf".to_owned(),
            size: 1234,
            sha256: file.sha256,
            max_attempts: TRIES,
            trace_id: TRACE.to_owned(),
        }
    }

    /// Uploads a file.
    pub async fn admit(&self, file: &File) -> Admitted {
        let admission = self.begin_upload(file).await;
        self.store.admit(admission).await.expect("admitted")
    }

    /// Uploads a file that makes a version.
    pub async fn uploaded(&self, external_id: &str, content: &str) -> Document {
        let admitted = self.admit(&self.file(external_id, content)).await;
        assert!(admitted.is_new(), "{admitted:?}");
        admitted.document().clone()
    }

    /// The document as it is now.
    pub async fn now(&self, document: DocumentId) -> Document {
        self.store.document(self.tenant, document).await.expect("a look").expect("the document")
    }

    /// Claims a job of this stage, which must be there.
    pub async fn claim(&self, stage: Stage) -> Lease {
        let lease = self.store.claim(&[stage], &worker("w"), LONG).await.expect("a claim").expect("a job");
        assert_eq!(lease.job.tenant, self.tenant);
        lease
    }

    /// Claims the processing of a document and commits one chunk for each text.
    pub async fn process(&self, texts: &[&str]) -> Lease {
        let lease = self.claim(Stage::ProcessDocument).await;
        self.store
            .finish_processing(&lease, processed(&lease, texts), NextJob::queued(TRIES))
            .await
            .expect("processed");
        lease
    }

    /// Claims the embedding of a document and commits it.
    pub async fn embed(&self) -> Lease {
        let lease = self.claim(Stage::EmbedDocument).await;
        self.store.finish_embedding(&lease).await.expect("indexed");
        lease
    }

    /// A document that is searchable, one chunk for each text. No other job may wait.
    pub async fn indexed(&self, external_id: &str, content: &str, texts: &[&str]) -> Document {
        self.index(&self.file(external_id, content), texts).await
    }

    /// Uploads a file and makes it searchable. No other job may wait.
    pub async fn index(&self, file: &File, texts: &[&str]) -> Document {
        let admitted = self.admit(file).await;
        assert!(admitted.is_new(), "{admitted:?}");
        self.process(texts).await;
        self.embed().await;
        self.now(admitted.document().id).await
    }

    /// Begins the deletion of a document.
    pub async fn begin_delete(&self, document: DocumentId) -> Document {
        self.store.begin_delete(self.tenant, document, &deletion()).await.expect("being deleted")
    }

    /// Claims the deletion that waits, and commits it.
    pub async fn finish_delete(&self) -> Lease {
        let lease = self.claim(Stage::DeleteDocument).await;
        self.store.finish_deletion(&lease).await.expect("deleted");
        lease
    }

    /// Deletes a document from beginning to end.
    pub async fn delete(&self, document: DocumentId) {
        self.begin_delete(document).await;
        self.finish_delete().await;
    }

    /// Claims and at once loses a job: its lease has run out.
    pub async fn expired(&self, stage: Stage) -> Lease {
        let lease = self.store.claim(&[stage], &worker("dead"), Duration::from_millis(1)).await;
        let lease = lease.expect("a claim").expect("a job");
        pass().await;
        lease
    }
}

/// What `process_document` would have found: pages and chunks, one for each text.
#[must_use]
pub fn processed(lease: &Lease, texts: &[&str]) -> ProcessedVersion {
    let version = lease.job.payload.version_id().expect("a job of a version");
    ProcessedVersion {
        title: Some("A Title".to_owned()),
        pages: (1..=2)
            .map(|number| PageInfo {
                number,
                width: 595.25,
                height: 842.0,
                rotation: 90,
                char_start: (number - 1) * 100,
                char_end: number * 100,
            })
            .collect(),
        chunks: chunks(lease.job.document, version, texts),
        warnings: vec![Warning {
            reason: "HIDDEN_TEXT_DROPPED".to_owned(),
            message: "some text was hidden".to_owned(),
        }],
    }
}

/// Chunks of these texts.
#[must_use]
pub fn chunks(document: DocumentId, version: VersionId, texts: &[&str]) -> Vec<Chunk> {
    (0..)
        .zip(texts)
        .map(|(ordinal, text)| Chunk {
            id: ChunkId::derive(version, ordinal, text.as_bytes(), "c1"),
            document,
            version_id: version,
            version: 1,
            ordinal,
            draft: ChunkDraft {
                text: (*text).to_owned(),
                char_start: ordinal * 10,
                char_end: ordinal * 10 + 9,
                page_start: 1,
                page_end: 2,
                boxes: vec![
                    PageBox { page: 1, rect: Rect { x0: 72.1, y0: 90.25, x1: 523.3, y1: 104.0 } },
                    PageBox { page: 2, rect: Rect { x0: 0.0, y0: 0.125, x1: 1.0e-3, y1: 1.0 / 3.0 } },
                ],
                heading_path: vec!["Über \"alles\"".to_owned(), "1.1".to_owned()],
                token_ids: vec![0, 101, 30_521, 65_535, 70_000 * (ordinal % 2)],
            },
        })
        .collect()
}

/// The failure that these situations fail with.
#[must_use]
pub fn failure(lease: &Lease, reason: &str) -> vectrion_core::document::Failure {
    vectrion_core::document::Failure {
        stage: lease.job.payload.stage().as_str().to_owned(),
        reason: reason.to_owned(),
        message: format!("it ended with {reason}"),
        attempts: lease.job.attempts,
    }
}
