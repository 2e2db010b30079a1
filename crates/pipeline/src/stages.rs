//! What the stages do: `process_document`, `embed_document`, `delete_document`.
//!
//! Each stage prepares without changing what anybody sees, then commits in one transaction under its lease. Whatever was
//! prepared before a crash is made again, in the same place, by the next try; [`crate::faults::FAILPOINTS`] names the
//! steps between which that is tested.

mod delete;
mod embed;
mod heartbeat;
mod outcome;
mod process;
mod scratch;

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use tracing::Instrument as _;
use vectrion_core::{
    Error, ErrorKind, Result,
    document::Document,
    ids::WorkerId,
    job::{JobPayload, Lease, Stage},
    ports::jobs::{NextJob, ProcessedVersion},
};

use self::{
    heartbeat::{Heartbeat, Hold},
    outcome::{Blame, Outcome},
};
use crate::{Ports, faults::step, receipts, settings::IngestSettings};

/// Runs jobs. The job loop of the runtime claims and calls [`Stages::run`]; everything that a job commits is committed in
/// here, under its lease.
pub struct Stages {
    ports: Arc<Ports>,
    settings: IngestSettings,
    scratch: PathBuf,
}

/// Chunks of a document at the most whose embedding can be claimed with the commit of its processing. A longer one waits for its
/// turn among all that wait.
const EMBED_AT_ONCE: usize = 32;

/// A job that was claimed.
pub struct Claimed {
    /// The right to work on it.
    pub lease: Lease,
    /// The lease began then, or later.
    pub since: Instant,
}

/// What a stage has prepared, to be committed.
enum Done {
    Processed(ProcessedVersion),
    Embedded,
    Deleted,
    /// The document is being deleted, its work was called off, or searches see a higher version: there is nothing left
    /// to do.
    Gone,
    /// What the stage needs cannot be used now, whatever the document.
    NotNow(Error),
}

impl Stages {
    /// `scratch`: a directory for temporary copies; what is in it at the start is removed.
    #[must_use]
    pub fn new(ports: Arc<Ports>, settings: IngestSettings, scratch: PathBuf) -> Self {
        Self { ports, settings, scratch }
    }

    /// Claims the fairest ready job of these stages.
    pub async fn claim(&self, stages: &[Stage], worker: &WorkerId, lease_for: Duration) -> Result<Option<Claimed>> {
        let since = Instant::now();
        let lease = self.ports.jobs.claim(stages, worker, lease_for).await?;
        Ok(lease.map(|lease| Claimed { lease, since }))
    }

    /// Works on a claimed job until it is committed, put off or given up, keeping the lease alive meanwhile. `jitter` in
    /// 0 to 1 spreads the delay of a retry. An error means that not even the outcome could be written: the lease runs
    /// out and the job comes back. Dropping the future leaves the lease to be released by [`Stages::release`].
    ///
    /// When a short document was processed, `place` is asked for a place to embed it in. With one, that job is claimed within
    /// the commit, and the caller goes on with what is returned, in that place; without, it is queued.
    ///
    /// A permanent error, or the last of the job's tries, gives the job up with a dead letter. A transient one is tried
    /// again after [`IngestSettings::retry_delay`]. What no document is to blame for costs no tries, and the job waits until
    /// it is over: a full disk; a database that is away or whose row somebody else holds; an index or object store that is
    /// found at the beginning to be away or to refuse; a model that, once it has failed, does not answer a short question
    /// either. A deletion waits for what is away at any point. Either wait is as long as the service asks for, up to ten
    /// minutes. A lease that was lost ends the work at once, and nothing is written.
    pub async fn run<P>(
        &self,
        claimed: &Claimed,
        lease_for: Duration,
        jitter: f64,
        place: impl FnOnce() -> Option<P>,
    ) -> Result<Option<(Claimed, P)>> {
        let job = &claimed.lease.job;
        let span = tracing::info_span!("job", job_id = %job.id, stage = job.payload.stage().as_str(),
            document_id = %job.document, tenant_id = %job.tenant, trace_id = job.trace_id);
        self.run_in_span(claimed, lease_for, jitter, place).instrument(span).await
    }

    /// Gives a job back because this process is ending.
    pub async fn release(&self, lease: &Lease) -> Result<()> {
        self.ports.jobs.release(lease).await
    }

    async fn run_in_span<P>(
        &self,
        claimed: &Claimed,
        lease_for: Duration,
        jitter: f64,
        place: impl FnOnce() -> Option<P>,
    ) -> Result<Option<(Claimed, P)>> {
        let lease = &claimed.lease;
        let stage = lease.job.payload.stage();
        let began = Instant::now();
        let heart = Heartbeat::start(Arc::clone(&self.ports.jobs), lease.clone(), claimed.since, lease_for);
        let prepared = tokio::select! {
            biased;
            error = heart.interrupted() => Err(error),
            prepared = unpanicked(self.prepare(lease, heart.hold())) => prepared,
        };
        let prepared = heart.stop().await.and(prepared);
        let blame = if stage == Stage::DeleteDocument { Blame::Deletion } else { Blame::Document };
        let (result, blame) = match prepared {
            Ok(Done::NotNow(error)) => (Err(error), Blame::Service),
            Ok(done) => (unpanicked(self.commit(lease, done, lease_for, place)).await, blame),
            Err(error) => (Err(error), blame),
        };
        let took = began.elapsed();
        metrics::histogram!("vectrion_stage_duration_seconds", "stage" => stage.as_str()).record(took.as_secs_f64());
        let (result, next) = match result {
            Ok((outcome, next)) => (Ok(outcome), next),
            Err(error) => (Err(error), None),
        };
        let outcome = self.settle(lease, result, blame, jitter).await;
        let label = outcome.as_ref().map_or("unknown", Outcome::as_str);
        metrics::counter!("vectrion_jobs_total", "stage" => stage.as_str(), "outcome" => label).increment(1);
        tracing::info!(
            stage = stage.as_str(),
            job_id = %lease.job.id,
            document_id = %lease.job.document,
            outcome = label,
            attempt = lease.job.attempts,
            duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "worked on a job"
        );
        outcome.map(|_| next)
    }

    async fn prepare(&self, lease: &Lease, hold: &Hold) -> Result<Done> {
        match lease.job.payload.stage() {
            Stage::ProcessDocument => self.process(lease, hold).await,
            Stage::EmbedDocument => self.embed(lease, hold).await,
            // Not asked before: that a disk is full must not keep anything from being removed.
            Stage::DeleteDocument => match self.delete(lease, hold).await {
                Err(error) if error.kind() == ErrorKind::FailedPrecondition && self.check_stores().await.is_err() => {
                    Ok(Done::NotNow(error))
                }
                done => done,
            },
        }
    }

    async fn check_stores(&self) -> Result<()> {
        self.ports.objects.check().await.and(self.ports.vectors.check().await)
    }

    /// Commits what was prepared; what came of it, and the next job if it was claimed with it.
    async fn commit<P>(
        &self,
        lease: &Lease,
        done: Done,
        lease_for: Duration,
        place: impl FnOnce() -> Option<P>,
    ) -> Result<(Outcome, Option<(Claimed, P)>)> {
        let jobs = &self.ports.jobs;
        match done {
            Done::Processed(processed) => {
                let place = if processed.chunks.len() <= EMBED_AT_ONCE { place() } else { None };
                let next = NextJob {
                    max_attempts: self.settings.attempts(Stage::EmbedDocument),
                    claim_for: place.is_some().then_some(lease_for),
                };
                let since = Instant::now();
                let claimed = jobs.finish_processing(lease, processed, next).await?;
                step!("process::committed");
                if claimed.is_none() {
                    self.ports.wake(Stage::EmbedDocument).await;
                }
                let claimed = claimed.map(|lease| Claimed { lease, since });
                return Ok((Outcome::Succeeded, claimed.zip(place)));
            }
            Done::Embedded => {
                jobs.finish_embedding(lease).await?;
                step!("embed::committed");
                // The version that this one replaced, if any, is to be removed.
                self.ports.wake(Stage::DeleteDocument).await;
            }
            Done::Deleted => {
                jobs.finish_deletion(lease).await?;
                step!("delete::committed");
                if matches!(lease.job.payload, JobPayload::DeleteDocumentV1 {}) {
                    receipts::verify_now(&self.ports, lease.job.tenant, lease.job.document).await;
                }
            }
            Done::Gone => {
                jobs.cancel(lease).await?;
                return Ok((Outcome::Cancelled, None));
            }
            Done::NotNow(error) => return Err(error),
        }
        Ok((Outcome::Succeeded, None))
    }
}

/// Whether searches see a higher version of the document than the one that is worked on.
fn is_superseded(document: &Document) -> bool {
    document.indexed_version.is_some_and(|indexed| indexed > document.version)
}

/// The work, with a panic turned into an error: a defect costs a try of one job, not the loop. What the panic said is on
/// standard error and is not kept, because it may quote the document.
async fn unpanicked<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_panic| {
        Err(Error::internal("STAGE_PANICKED", "the stage stopped because of a defect of the program; the log has more"))
    })
}
