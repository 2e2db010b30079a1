//! The job loop: claims jobs and runs them, a fixed number at once per stage.
//!
//! A wake-up only says when to look; what is claimed is the stage's fairest ready job. So that wake-ups are used up as fast
//! as jobs are, one is taken with each job, if there is one, and settled when the job's outcome is written. Without any,
//! because the carrier is out of reach or lost some, the database is looked at from time to time.
//!
//! Who has processed a short document while a place for embedding is free claims that job with the commit, and hands it on to
//! that place.

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use rand::RngExt as _;
use serde::Deserialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use vectrion_core::{
    ids::WorkerId,
    job::Stage,
    ports::{
        Jobs, Wakeups,
        wakeups::{Delivery, HOLD_DELIVERY_AT_MOST},
    },
};
use vectrion_pipeline::stages::{Claimed, Stages};

/// `[worker]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSettings {
    /// Whether the server's process runs jobs.
    pub in_process: bool,
    /// `process_document` jobs at once; 0: as many as there are cores.
    pub process_concurrency: usize,
    /// `embed_document` jobs at once; 0: one.
    pub embed_concurrency: usize,
    /// `delete_document` jobs at once; 0: one.
    pub delete_concurrency: usize,
    /// Seconds of a lease.
    pub lease_s: u64,
    /// Milliseconds between looks for jobs.
    pub poll_ms: u64,
    /// Seconds that jobs in hand may take to end.
    pub drain_s: u64,
}

impl WorkerSettings {
    /// Jobs of a stage at once.
    #[must_use]
    pub fn concurrency(&self, stage: Stage) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        match stage {
            Stage::ProcessDocument if self.process_concurrency == 0 => cores,
            Stage::ProcessDocument => self.process_concurrency,
            Stage::EmbedDocument => self.embed_concurrency.max(1),
            Stage::DeleteDocument => self.delete_concurrency.max(1),
        }
    }
}

/// How often a worker says that it lives.
const WORKER_HEARTBEAT: Duration = Duration::from_secs(10);
/// Wait after the store failed, before the next look.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// Runs jobs until it is told to stop.
pub struct JobLoop {
    stages: Arc<Stages>,
    jobs: Arc<dyn Jobs>,
    wakeups: Arc<dyn Wakeups>,
    settings: WorkerSettings,
    worker: WorkerId,
    host: String,
    /// Places for jobs of embedding, whoever claimed them.
    embedding: Arc<Semaphore>,
    /// Jobs that were claimed with the commit of another.
    handed_on: TaskTracker,
}

impl JobLoop {
    /// A loop under this worker's name.
    #[must_use]
    pub fn new(
        stages: Arc<Stages>,
        jobs: Arc<dyn Jobs>,
        wakeups: Arc<dyn Wakeups>,
        settings: WorkerSettings,
        worker: WorkerId,
        host: String,
    ) -> Self {
        let embedding = Arc::new(Semaphore::new(settings.concurrency(Stage::EmbedDocument)));
        Self { stages, jobs, wakeups, settings, worker, host, embedding, handed_on: TaskTracker::new() }
    }

    /// Runs jobs until `stop`; then claims no more, lets those in hand end within the drain time, and gives the rest
    /// back.
    pub async fn run(self, stop: CancellationToken) {
        let this = Arc::new(self);
        let abandon = CancellationToken::new();
        let mut slots = JoinSet::new();
        for stage in Stage::ALL {
            for _ in 0..this.settings.concurrency(stage) {
                slots.spawn(Arc::clone(&this).slot(stage, stop.clone(), abandon.clone()));
            }
        }
        tracing::info!(worker = %this.worker, slots = slots.len(), "running jobs");
        let heart = tokio::spawn(Arc::clone(&this).heart(stop.clone()));

        stop.cancelled().await;
        this.handed_on.close();
        let drained = async {
            while slots.join_next().await.is_some() {}
            this.handed_on.wait().await;
        };
        if tokio::time::timeout(Duration::from_secs(this.settings.drain_s), drained).await.is_err() {
            abandon.cancel();
            while slots.join_next().await.is_some() {}
            this.handed_on.wait().await;
        }
        heart.abort();
        if let Err(error) = this.jobs.remove_worker(&this.worker).await {
            tracing::warn!(%error, "cannot sign off as a worker");
        }
    }

    async fn slot(self: Arc<Self>, stage: Stage, stop: CancellationToken, abandon: CancellationToken) {
        let mut held = None;
        while !stop.is_cancelled() {
            let place = match stage {
                Stage::EmbedDocument => tokio::select! {
                    () = stop.cancelled() => return,
                    place = Arc::clone(&self.embedding).acquire_owned() => place.ok(),
                },
                Stage::ProcessDocument | Stage::DeleteDocument => None,
            };
            match self.stages.claim(&[stage], &self.worker, self.lease_for()).await {
                Ok(Some(claimed)) => {
                    self.work(claimed, held.take(), &stop, &abandon).await;
                    drop(place);
                    held = self.wait(stage, Duration::ZERO).await;
                }
                Ok(None) => {
                    drop(place);
                    // There was nothing to do.
                    settle(held.take()).await;
                    held = tokio::select! {
                        () = stop.cancelled() => None,
                        held = self.rest(stage) => held,
                    };
                }
                Err(error) => {
                    drop(place);
                    tracing::warn!(stage = stage.as_str(), reason = error.reason(), %error, "cannot look for jobs");
                    // Dropped, it goes to somebody who can.
                    held = None;
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(STORE_PAUSE) => {}
                    }
                }
            }
        }
    }

    async fn work(
        self: &Arc<Self>,
        claimed: Claimed,
        mut held: Option<Held>,
        stop: &CancellationToken,
        abandon: &CancellationToken,
    ) {
        // A short document goes on to a free place, if there is one; who processed it goes on to the next document.
        let place = || Arc::clone(&self.embedding).try_acquire_owned().ok().filter(|_| !stop.is_cancelled());
        let jitter = rand::rng().random::<f64>();
        let ended = {
            let mut run = std::pin::pin!(self.stages.run(&claimed, self.lease_for(), jitter, place));
            loop {
                let settle_at = held.as_ref().map_or_else(Instant::now, |held| held.settle_at);
                tokio::select! {
                    outcome = &mut run => break Some(outcome),
                    () = abandon.cancelled() => break None,
                    () = tokio::time::sleep_until(settle_at), if held.is_some() => settle(held.take()).await,
                }
            }
        };
        let job = claimed.lease.job.id;
        let written = match ended {
            Some(outcome) => outcome.map(|next| self.hand_on(next, stop, abandon)).inspect_err(|error| {
                tracing::warn!(job_id = %job, reason = error.reason(), ?error, "the outcome of a job was not written");
            }),
            None => self.stages.release(&claimed.lease).await.inspect_err(|error| {
                tracing::warn!(job_id = %job, reason = error.reason(), %error, "cannot give a job back");
            }),
        };
        if written.is_ok() {
            settle(held).await;
        }
    }

    /// Begins with a job that was claimed with the commit of another, in the place that was found for it.
    fn hand_on(
        self: &Arc<Self>,
        next: Option<(Claimed, OwnedSemaphorePermit)>,
        stop: &CancellationToken,
        abandon: &CancellationToken,
    ) {
        let Some((claimed, place)) = next else { return };
        let (this, stop, abandon) = (Arc::clone(self), stop.clone(), abandon.clone());
        let work = async move {
            this.work(claimed, None, &stop, &abandon).await;
            drop(place);
        };
        // Boxed, because that work could hand something on, too.
        self.handed_on.spawn(work.boxed());
    }

    /// Waits for a wake-up, the next job's time, or the next look.
    async fn rest(&self, stage: Stage) -> Option<Held> {
        let poll = Duration::from_millis(self.settings.poll_ms);
        let next = match self.jobs.next_ready_in(&[stage]).await {
            Ok(next) => next.unwrap_or(poll).min(poll),
            Err(_) => poll,
        };
        self.wait(stage, next).await
    }

    async fn wait(&self, stage: Stage, at_most: Duration) -> Option<Held> {
        match self.wakeups.wait(stage, at_most).await {
            Ok(delivery) => {
                delivery.map(|delivery| Held { delivery, settle_at: Instant::now() + HOLD_DELIVERY_AT_MOST })
            }
            Err(error) => {
                tracing::warn!(stage = stage.as_str(), reason = error.reason(), %error, "cannot wait for wake-ups");
                tokio::time::sleep(at_most).await;
                None
            }
        }
    }

    async fn heart(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let draining = stop.is_cancelled();
            if let Err(error) = self.jobs.worker_heartbeat(&self.worker, &self.host, &Stage::ALL, draining).await {
                tracing::warn!(reason = error.reason(), %error, "cannot sign in as a worker");
            }
            if draining {
                tokio::time::sleep(WORKER_HEARTBEAT).await;
            } else {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(WORKER_HEARTBEAT) => {}
                }
            }
        }
    }

    fn lease_for(&self) -> Duration {
        Duration::from_secs(self.settings.lease_s)
    }
}

/// A wake-up that was taken.
struct Held {
    delivery: Box<dyn Delivery>,
    /// The lease keeps the job; the carrier takes a wake-up back that nobody settles for long.
    settle_at: Instant,
}

async fn settle(held: Option<Held>) {
    let Some(held) = held else { return };
    if let Err(error) = held.delivery.settle().await {
        tracing::debug!(reason = error.reason(), %error, "a wake-up was not settled; it comes again");
    }
}
