//! The pool of children.

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OnceCell, Semaphore},
    time::timeout,
};
use vectrion_core::{Error, Result, extraction::Extracted, ports::documents::ParseProgress};

use super::{
    error,
    protocol::Confinement,
    settings::PdfSettings,
    spawner::Spawner,
    validate::is_sound,
    worker::{Outcome, Worker},
};

/// Reads PDF files, several at a time, each in a process that can be lost.
///
/// Children are started when they are first needed and kept for the next document. A child is ended after a failure of any
/// kind, after a number of documents, when it has grown large, when its document takes too long, and when the future that
/// waits for it is dropped. All of them end with this process, however it ends.
#[derive(Debug)]
pub struct PdfExtractor {
    settings: PdfSettings,
    slots: Semaphore,
    idle: Mutex<Vec<Worker>>,
    spawner: OnceCell<Spawner>,
    announced: AtomicBool,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("documents", &self.documents).finish_non_exhaustive()
    }
}

impl PdfExtractor {
    /// Time for a child to start and load pdfium.
    const START: Duration = Duration::from_secs(8);

    /// An extractor without children yet.
    #[must_use]
    pub fn new(settings: PdfSettings) -> Self {
        Self {
            slots: Semaphore::new(settings.processes.get().min(Semaphore::MAX_PERMITS)),
            settings,
            idle: Mutex::default(),
            spawner: OnceCell::new(),
            announced: AtomicBool::new(false),
        }
    }

    /// Reads a file. `progress` hears of pages now and then, and of the last one.
    ///
    /// # Errors
    /// Permanent, with the reason `PDF_PASSWORD_REQUIRED`, `PDF_ENCRYPTION_UNSUPPORTED`, `PDF_MALFORMED`, `PDF_NO_PAGES`,
    /// `PDF_NO_TEXT`, `EXTRACTION_LIMIT` (memory, pages, characters), `EXTRACTION_TIMEOUT` or `EXTRACTION_CRASHED`.
    /// Transient: `EXTRACTOR_UNAVAILABLE` when no child can be started, `DOCUMENT_UNREADABLE` when the file cannot be
    /// opened, `EXTRACTION_CRASHED` when the child was killed from outside.
    pub async fn extract(&self, file: &Path, progress: ParseProgress<'_>) -> Result<Extracted> {
        let file = tokio::fs::File::open(file).await.map_err(error::unreadable)?.into_std().await;
        // Nobody closes the semaphore.
        let _slot =
            self.slots.acquire().await.map_err(|error| Error::internal("EXTRACTOR_CLOSED", error.to_string()))?;
        let mut worker = self.worker().await?;
        let limit = self.settings.timeout;
        // Past the limit, as on every way out but the last, the worker is dropped, and that kills its process.
        let outcome = timeout(limit, worker.read(&file, &self.settings, progress))
            .await
            .map_err(|_| error::timed_out(limit))??;
        match outcome {
            Outcome::Failed(failure) => Err(failure.into()),
            Outcome::Read(extracted) if is_sound(&extracted, &self.settings) => {
                self.keep(worker);
                Ok(*extracted)
            }
            Outcome::Read(_) => Err(error::bad_answer()),
        }
    }

    /// Starts a child, unless one is there, and tells what keeps it confined.
    ///
    /// # Errors
    /// `EXTRACTOR_UNAVAILABLE`, transient, naming what is missing.
    pub async fn check(&self) -> Result<Confinement> {
        let worker = self.worker().await?;
        let confinement = worker.confinement;
        self.keep(worker);
        Ok(confinement)
    }

    /// Ends the children that are idle and waits until they are gone. Those in use end when their document does.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut *self.lock());
        for worker in idle {
            worker.end().await;
        }
    }

    async fn worker(&self) -> Result<Worker> {
        while let Some(mut worker) = self.lock().pop() {
            if worker.is_alive() {
                return Ok(worker);
            }
        }
        let program = self.program()?;
        let failed = |error: std::io::Error| error::unavailable(&program, &error.to_string()).with_source(error);
        let spawner = self.spawner.get_or_try_init(|| async { Spawner::start() }).await.map_err(failed)?;
        let arguments = vec![
            "--parent".to_owned(),
            std::process::id().to_string(),
            "--pdfium".to_owned(),
            self.settings.pdfium.display().to_string(),
            "--memory".to_owned(),
            self.settings.memory_bytes.to_string(),
        ];
        let start = async { Worker::greet(spawner.spawn(program.clone(), arguments).await?).await };
        let worker = timeout(Self::START, start)
            .await
            .unwrap_or_else(|_| Err(std::io::Error::other("it did not answer in time")))
            .map_err(failed)?;
        if !self.announced.swap(true, Ordering::Relaxed) {
            let Confinement { network_namespace, file_system, system_calls } = worker.confinement;
            if (network_namespace || system_calls) && file_system {
                tracing::debug!(network_namespace, file_system, system_calls, "pdf reader started");
            } else {
                tracing::warn!(
                    network_namespace,
                    file_system,
                    system_calls,
                    "pdf reader is confined by resource limits alone where a value is false: the kernel refuses more"
                );
            }
        }
        Ok(worker)
    }

    fn keep(&self, worker: Worker) {
        // A child that grew large gives its memory back by ending.
        let large = worker.peak_bytes > self.settings.memory_bytes / 2;
        if worker.documents < self.settings.documents_per_process && !large {
            self.lock().push(worker);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Worker>> {
        // A list of workers cannot be left half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn program(&self) -> Result<PathBuf> {
        const NAME: &str = "vectrion-extract";
        if let Some(program) = &self.settings.program {
            return Ok(program.clone());
        }
        let own = std::env::current_exe().map_err(|error| {
            error::unavailable(Path::new(NAME), "the running program is not known").with_source(error)
        })?;
        // Tests run in a directory below the one with the programs.
        let beside = own.ancestors().skip(1).take(2).map(|dir| dir.join(NAME)).find(|path| path.is_file());
        beside.ok_or_else(|| error::unavailable(&own.with_file_name(NAME), "there is no such program"))
    }
}
