//! Keeping a lease while its job is worked on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use vectrion_core::{
    Error, ErrorKind, Result,
    document::Progress,
    job::{Lease, Stage},
    ports::Jobs,
};

/// How often progress is written at the most.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// What the work on a job needs of its lease.
pub(super) struct Hold {
    progress: watch::Sender<Progress>,
    until: Mutex<Instant>,
}

impl Hold {
    fn new(until: Instant) -> Self {
        Self { progress: watch::Sender::new(Progress::default()), until: Mutex::new(until) }
    }

    /// Says how far the work has come.
    pub(super) fn progress(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// Asked before each write that is not fenced by the database: a process that stood still (stopped, suspended, out of
    /// processor time) for longer than its lease must not go on writing.
    ///
    /// # Errors
    /// `ABORTED`, reason `LEASE_LOST`, when the lease has run out by this process's own clock.
    pub(super) fn check(&self) -> Result<()> {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() < until { Ok(()) } else { Err(Interruption::LeaseLost.error()) }
    }

    fn extend(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// Puts off the end of a lease and writes progress, on a task of its own, until it is stopped or dropped.
pub(super) struct Heartbeat {
    task: JoinHandle<()>,
    stop: CancellationToken,
    interruption: watch::Receiver<Option<Interruption>>,
    hold: Arc<Hold>,
}

/// Why the work must end at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interruption {
    LeaseLost,
    DocumentDeleting,
}

impl Interruption {
    fn error(self) -> Error {
        match self {
            Self::LeaseLost => {
                Error::new(ErrorKind::Aborted, "LEASE_LOST", "the lease of the job ran out, or another worker has it")
            }
            Self::DocumentDeleting => {
                Error::new(ErrorKind::Aborted, "DOCUMENT_DELETING", "the document is being deleted")
            }
        }
    }
}

impl Heartbeat {
    /// Begins with a lease that was taken just now.
    pub(super) fn start(jobs: Arc<dyn Jobs>, lease: Lease, lease_for: Duration) -> Self {
        let stop = CancellationToken::new();
        let (told, interruption) = watch::channel(None);
        let hold = Arc::new(Hold::new(Instant::now() + lease_for));
        let progress = hold.progress.subscribe();
        let beat = Beat { jobs, lease, lease_for, hold: Arc::clone(&hold), progress, written: Progress::default() };
        let stopped = stop.clone();
        let beating = async move {
            if let Some(interruption) = beat.run(&stopped).await {
                told.send_replace(Some(interruption));
            }
        };
        let task = tokio::spawn(beating.in_current_span());
        Self { task, stop, interruption, hold }
    }

    /// What the work needs of the lease.
    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// Returns when the work must end at once.
    pub(super) async fn interrupted(&self) -> Error {
        let mut interruption = self.interruption.clone();
        let told = interruption.wait_for(Option::is_some).await.map(|told| *told);
        match told {
            Ok(interruption) => interruption.unwrap_or(Interruption::LeaseLost).error(),
            // The task ended without a word: it was stopped, or it panicked and nobody keeps the lease any more.
            Err(_) if self.stop.is_cancelled() => std::future::pending().await,
            Err(_) => Interruption::LeaseLost.error(),
        }
    }

    /// Stops, and returns when no heartbeat is under way any more, so that none crosses the commit that ends the lease.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        // A panic of the task has been told as a lost lease, or no longer matters.
        let _ended = (&mut self.task).await;
        match *self.interruption.borrow() {
            Some(interruption) => Err(interruption.error()),
            None => Ok(()),
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Beat {
    jobs: Arc<dyn Jobs>,
    lease: Lease,
    lease_for: Duration,
    hold: Arc<Hold>,
    progress: watch::Receiver<Progress>,
    written: Progress,
}

impl Beat {
    async fn run(mut self, stop: &CancellationToken) -> Option<Interruption> {
        let extend_every = self.lease_for / 3;
        let look_every = PROGRESS_EVERY.min(extend_every);
        // The claim may have taken a while to come back, so the first extension is not counted from the lease's start.
        let mut extended = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(look_every) => {}
            }
            let progress = *self.progress.borrow_and_update();
            let changed = (progress != self.written).then_some(progress);
            let due = extended.elapsed() >= extend_every;
            if !due && changed.is_none() {
                continue;
            }
            let began = Instant::now();
            match self.beat(changed, due).await {
                Ok(None) => {
                    extended = began;
                    self.hold.extend(began + self.lease_for);
                    self.written = progress;
                }
                Ok(Some(interruption)) => return Some(interruption),
                Err(error) => {
                    tracing::warn!(reason = error.reason(), ?error, "cannot put off the end of a lease");
                    if extended.elapsed() >= self.lease_for {
                        return Some(Interruption::LeaseLost);
                    }
                }
            }
        }
    }

    async fn beat(&self, progress: Option<Progress>, due: bool) -> Result<Option<Interruption>> {
        match self.jobs.heartbeat(&self.lease, self.lease_for, progress).await {
            Ok(()) => {}
            Err(error) if error.reason() == "LEASE_LOST" => return Ok(Some(Interruption::LeaseLost)),
            Err(error) if error.reason() == "DOCUMENT_DELETING" => return Ok(Some(Interruption::DocumentDeleting)),
            Err(error) => return Err(error),
        }
        // A deletion waits for the work in hand: see now and then whether there is one.
        let deletion = self.lease.job.payload.stage() == Stage::DeleteDocument;
        if due && !deletion && self.jobs.job_document(&self.lease).await?.is_none() {
            return Ok(Some(Interruption::DocumentDeleting));
        }
        Ok(None)
    }
}
