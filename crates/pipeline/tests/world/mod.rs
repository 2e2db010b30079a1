//! An installation in a directory: database, objects and vectors are real, parser and model are steerable.

mod invariants;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use vectrion_backends::{
    cache::{CacheBackend, CacheSettings},
    objects::{ObjectBackend, ObjectSettings},
    vectors::{VectorBackend, VectorSettings},
    wakeups::{WakeupBackend, WakeupSettings},
};
use vectrion_core::{
    Result,
    document::{Document, Filename},
    ids::{KeyId, TenantId, WorkerId},
    job::{Lease, Stage},
    ports::catalog::Admitted,
    tenancy::{CallContext, Principal, Role},
    time::Timestamp,
};
use vectrion_pipeline::{
    CollectionRef, Ports,
    administration::Administration,
    housekeeping::Housekeeping,
    identity::Identity,
    ingestion::{DocumentView, Ingestion, UploadPart, UploadSpec},
    settings::{AnswerSettings, HousekeepingSettings, IngestSettings},
    stages::{Claimed, Stages},
};
use vectrion_store::{Store, StoreSettings};
use vectrion_testkit::{
    fakes::{ManualClock, ParagraphParser, WordEmbedder},
    temporary_directory,
};

/// Lease of the jobs that [`World::work`] runs.
pub const LEASE: Duration = Duration::from_secs(30);
/// Bytes of a document at the most.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// The use cases, and what they stand on.
pub struct World {
    pub ports: Arc<Ports>,
    pub identity: Arc<Identity>,
    pub administration: Administration,
    pub ingestion: Ingestion,
    pub stages: Arc<Stages>,
    pub housekeeping: Housekeeping,
    pub parser: Arc<ParagraphParser>,
    pub embedder: Arc<WordEmbedder>,
    pub clock: Arc<ManualClock>,
    pub tenant: TenantId,
    store: Store,
    vectors: Arc<VectorBackend>,
    directory: Option<TempDir>,
}

impl World {
    /// A new installation in a directory of its own, with the tenant `default`.
    pub async fn new() -> Self {
        let directory = temporary_directory();
        let world = Self::open(directory.path()).await;
        Self { directory: Some(directory), ..world }
    }

    /// An installation whose object store wants more free space than there is.
    pub async fn without_room() -> Self {
        let directory = temporary_directory();
        let world = Self::open_with(directory.path(), u64::MAX, ingest_settings()).await;
        Self { directory: Some(directory), ..world }
    }

    /// The installation in `path`, as a process that starts there finds it.
    pub async fn open(path: &Path) -> Self {
        Self::open_with(path, 0, ingest_settings()).await
    }

    /// The same, with this floor of free space for objects and these settings.
    pub async fn open_with(path: &Path, min_free_bytes: u64, ingest: IngestSettings) -> Self {
        Self::open_as(path, min_free_bytes, ingest, "words").await
    }

    /// The same, with an embedding model of this name.
    pub async fn open_as(path: &Path, min_free_bytes: u64, ingest: IngestSettings, model: &str) -> Self {
        let objects = local_objects(path, min_free_bytes).await;
        Self::open_over(path, objects, memory().await, ingest, model).await
    }

    /// A new installation over this object store.
    pub async fn with_objects(objects: ObjectBackend) -> Self {
        let directory = temporary_directory();
        let world = Self::open_over(directory.path(), objects, memory().await, ingest_settings(), "words").await;
        Self { directory: Some(directory), ..world }
    }

    /// A new installation over this cache.
    pub async fn with_cache(cache: CacheBackend) -> Self {
        let directory = temporary_directory();
        let objects = local_objects(directory.path(), 0).await;
        let world = Self::open_over(directory.path(), objects, cache, ingest_settings(), "words").await;
        Self { directory: Some(directory), ..world }
    }

    async fn open_over(
        path: &Path,
        objects: ObjectBackend,
        cache: CacheBackend,
        ingest: IngestSettings,
        model: &str,
    ) -> Self {
        let store = Store::connect(&format!("sqlite://{}", path.join("test.db").display()), &StoreSettings::default())
            .await
            .expect("the database");
        store.migrate().await.expect("the tables");
        let mut settings = VectorSettings::default();
        settings.edge.min_free_bytes = 0;
        settings.edge.read_threads = 2;
        let url = format!("edge://{}", path.join("vectors").display());
        let vectors =
            tokio::task::spawn_blocking(move || VectorBackend::open(&url, &settings)).await.expect("no panic");
        let vectors = Arc::new(vectors.expect("the index"));
        let parser = Arc::new(ParagraphParser::default());
        let embedder = Arc::new(WordEmbedder::new(model, 4));
        let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
        let shared = Arc::new(store.clone());
        let ports = Arc::new(Ports {
            clock: Arc::clone(&clock) as _,
            directory: Arc::clone(&shared) as _,
            catalog: Arc::clone(&shared) as _,
            jobs: Arc::clone(&shared) as _,
            upkeep: Arc::clone(&shared) as _,
            uploads: Arc::clone(&shared) as _,
            answers: Arc::clone(&shared) as _,
            idempotency: shared,
            objects: Arc::new(objects),
            vectors: Arc::clone(&vectors) as _,
            parser: Arc::clone(&parser) as _,
            embedder: Arc::clone(&embedder) as _,
            chat: None,
            wakeups: Arc::new(WakeupBackend::open("db:", &WakeupSettings::default()).await.expect("wake-ups")),
            cache: Arc::new(cache),
        });
        let identity = Arc::new(Identity::new(Arc::clone(&ports), b"a pepper of at least 32 bytes....".to_vec()));
        let tenant = match ports.directory.tenant_by_name("default").await.expect("a look-up") {
            Some(tenant) => tenant.id,
            None => ports.directory.create_tenant(TenantId::new(), "default").await.expect("a tenant").id,
        };
        let scratch = path.join("scratch");
        Self {
            administration: Administration::new(
                Arc::clone(&ports),
                Arc::clone(&identity),
                ingest.clone(),
                housekeeping_settings(),
            ),
            ingestion: Ingestion::new(Arc::clone(&ports), ingest.clone()),
            stages: Arc::new(Stages::new(Arc::clone(&ports), ingest.clone(), scratch.clone())),
            housekeeping: Housekeeping::new(
                Arc::clone(&ports),
                ingest,
                answer_settings(),
                housekeeping_settings(),
                scratch,
            ),
            identity,
            parser,
            embedder,
            clock,
            tenant,
            store,
            vectors,
            ports,
            directory: None,
        }
    }

    /// Where everything is.
    pub fn path(&self) -> &Path {
        self.directory.as_ref().expect("made by `new`").path()
    }

    /// Ends the process in an orderly way, and keeps the directory.
    pub async fn close(mut self) -> Option<TempDir> {
        self.vectors.close().await.expect("closed");
        self.store.close().await.expect("closed");
        self.directory.take()
    }

    /// A caller of the tenant `default`.
    pub fn context(&self) -> CallContext {
        self.context_of(self.tenant, Role::Editor)
    }

    /// A caller of this tenant and role.
    pub fn context_of(&self, tenant: TenantId, role: Role) -> CallContext {
        CallContext {
            principal: Principal { key: KeyId::new(), tenant, role },
            deadline: None,
            trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        }
    }

    /// Uploads a text in one call.
    pub async fn upload(&self, name: &str, text: &str) -> Result<(DocumentView, Admitted)> {
        self.upload_as(spec(name), text.as_bytes()).await
    }

    /// Uploads bytes in one call, in messages of 1000 bytes.
    pub async fn upload_as(&self, spec: UploadSpec, bytes: &[u8]) -> Result<(DocumentView, Admitted)> {
        self.ingestion.upload(&self.context(), spec, parts(bytes)).await
    }

    /// Uploads a text and works until nothing is left to do.
    pub async fn ingest(&self, name: &str, text: &str) -> DocumentView {
        let (view, _) = self.upload(name, text).await.expect("an upload");
        self.work().await;
        self.document(&view.document).await
    }

    /// The document as it is now.
    pub async fn document(&self, document: &Document) -> DocumentView {
        self.ingestion.get_document(&self.context(), document.id).await.expect("the document")
    }

    /// The next job, claimed.
    pub async fn claim(&self, lease_for: Duration) -> Option<Lease> {
        let worker = WorkerId("test:1:0".to_owned());
        let claimed = self.stages.claim(&Stage::ALL, &worker, lease_for).await.expect("a claim");
        claimed.map(|claimed| claimed.lease)
    }

    /// Works on a job, and on what is claimed with its commit.
    pub async fn run(&self, lease: &Lease, lease_for: Duration) -> Result<()> {
        let mut claimed = Claimed { lease: lease.clone(), since: Instant::now() };
        while let Some((next, ())) = self.stages.run(&claimed, lease_for, 0.0, || Some(())).await? {
            claimed = next;
        }
        Ok(())
    }

    /// Runs the next job, and what is claimed with its commit; false if there is none.
    pub async fn step(&self) -> bool {
        let Some(lease) = self.claim(LEASE).await else { return false };
        self.run(&lease, LEASE).await.expect("the outcome is written");
        true
    }

    /// Runs jobs until none is left, waiting for those that are to be tried again.
    pub async fn work(&self) {
        loop {
            while self.step().await {}
            match self.ports.jobs.next_ready_in(&Stage::ALL).await.expect("a look") {
                Some(wait) => tokio::time::sleep(wait + Duration::from_millis(2)).await,
                // A job whose time came between the two looks is neither claimed nor waited for.
                None if self.step().await => {}
                None => return,
            }
        }
    }
}

async fn local_objects(path: &Path, min_free_bytes: u64) -> ObjectBackend {
    let mut settings = ObjectSettings::default();
    settings.local.min_free_bytes = min_free_bytes;
    let url = format!("file://{}", path.join("objects").display());
    ObjectBackend::open(&url, &settings).await.expect("the objects")
}

async fn memory() -> CacheBackend {
    CacheBackend::open("memory:", &CacheSettings::default()).await.expect("a cache")
}

pub fn housekeeping_settings() -> HousekeepingSettings {
    HousekeepingSettings { sweep_s: 300, orphan_min_age_s: 3600, receipt_days: 365 }
}

pub fn ingest_settings() -> IngestSettings {
    IngestSettings {
        max_document_bytes: MAX_BYTES,
        upload_ttl_s: 600,
        process_attempts: 3,
        embed_attempts: 3,
        delete_attempts: 3,
        retry_base_ms: 10,
        retry_max_ms: 40,
        max_interruptions: 50,
    }
}

pub fn answer_settings() -> AnswerSettings {
    AnswerSettings {
        max_question_chars: 1000,
        max_tokens: 100,
        max_context_tokens: 1000,
        min_dense_score: 0.3,
        min_dense_score_with_words: 0.1,
        timeout_s: 10,
        resume_grace_s: 1,
        retention_days: 1,
        prompt_price_micros: 0,
        completion_price_micros: 0,
    }
}

/// An upload to the collection `default` under this name.
pub fn spec(name: &str) -> UploadSpec {
    UploadSpec {
        collection: CollectionRef::parse(""),
        external_id: None,
        filename: Filename::new(name).expect("a file name"),
        size: None,
        sha256: None,
        metadata: None,
        allow_duplicate: false,
    }
}

/// The messages of an upload in one call.
pub fn parts(bytes: &[u8]) -> stream::BoxStream<'static, Result<UploadPart>> {
    let parts: Vec<_> = bytes.chunks(1000).map(|part| Ok(UploadPart::Bytes(Bytes::copy_from_slice(part)))).collect();
    stream::iter(parts).boxed()
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A text of this many paragraphs, each unlike the others.
pub fn paragraphs(count: usize) -> String {
    (0..count).map(|n| format!("Paragraph number {n} speaks of subject{n} and of nothing else.\n\n")).collect()
}
