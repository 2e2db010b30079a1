//! Keeping a lease while its job is worked on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use vectrion_core::{Error, ErrorKind, Result, document::Progress, job::Lease, ports::Jobs};

/// How often progress is written at the most.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How often is looked whether somebody has called the work off: often enough that it ends within a second.
const LOOK_EVERY: Duration = Duration::from_millis(400);

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
    Cancelled,
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
            Self::Cancelled => {
                Error::new(ErrorKind::Aborted, "JOB_CANCELLED", "the work on the document was cancelled")
            }
        }
    }

    /// What an answer of the store says about the work: an interruption, nothing new, or that it could not be had.
    fn of(answer: Result<()>) -> Result<Option<Self>> {
        match answer {
            Ok(()) => Ok(None),
            Err(error) => match error.reason() {
                "LEASE_LOST" => Ok(Some(Self::LeaseLost)),
                "DOCUMENT_DELETING" => Ok(Some(Self::DocumentDeleting)),
                "JOB_CANCELLED" => Ok(Some(Self::Cancelled)),
                _ => Err(error),
            },
        }
    }
}

impl Heartbeat {
    /// Begins with a lease that was taken at this time, or later.
    pub(super) fn start(jobs: Arc<dyn Jobs>, lease: Lease, since: Instant, lease_for: Duration) -> Self {
        let stop = CancellationToken::new();
        let (told, interruption) = watch::channel(None);
        let hold = Arc::new(Hold::new(since + lease_for));
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
        let look_every = LOOK_EVERY.min(extend_every);
        // The claim may have taken a while to come back, so the first extension is not counted from the lease's start.
        let mut extended = Instant::now();
        let mut noted = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(look_every) => {}
            }
            let progress = *self.progress.borrow_and_update();
            let changed = (progress != self.written && noted.elapsed() >= PROGRESS_EVERY).then_some(progress);
            let due = extended.elapsed() >= extend_every;
            let began = Instant::now();
            let answer = if due || changed.is_some() { self.beat(changed).await } else { self.look().await };
            match answer {
                Ok(None) if due || changed.is_some() => {
                    extended = began;
                    self.hold.extend(began + self.lease_for);
                    if let Some(progress) = changed {
                        (self.written, noted) = (progress, began);
                    }
                }
                Ok(None) => {}
                Ok(Some(interruption)) => return Some(interruption),
                Err(error) => {
                    tracing::warn!(reason = error.reason(), ?error, "cannot keep a lease");
                    if extended.elapsed() >= self.lease_for {
                        return Some(Interruption::LeaseLost);
                    }
                }
            }
        }
    }

    async fn beat(&self, progress: Option<Progress>) -> Result<Option<Interruption>> {
        let answer = self.jobs.heartbeat(&self.lease, self.lease_for, progress).await;
        match Interruption::of(answer)? {
            None => self.look().await,
            told => Ok(told),
        }
    }

    /// A deletion waits for the work in hand, and so does whoever cancels it: see whether there is one.
    async fn look(&self) -> Result<Option<Interruption>> {
        Interruption::of(self.jobs.check_work(&self.lease).await)
    }
}
