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
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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
    /// The last embedding failed because of the model, which is left to the embedding's own jobs until one succeeds.
    model_fails: AtomicBool,
    ending: AtomicBool,
}

/// Chunks of a document at the most that whoever processed it embeds at once: so short documents do not wait for the jobs of
/// long ones, and need no second claim.
const EMBED_AT_ONCE: usize = 32;

/// A job that was claimed with the commit of the one before.
struct Claimed {
    lease: Lease,
    /// Its lease does not begin before this.
    since: Instant,
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
        Self { ports, settings, scratch, model_fails: AtomicBool::new(false), ending: AtomicBool::new(false) }
    }

    /// Claims the fairest ready job of these stages.
    pub async fn claim(&self, stages: &[Stage], worker: &WorkerId, lease_for: Duration) -> Result<Option<Lease>> {
        self.ports.jobs.claim(stages, worker, lease_for).await
    }

    /// From now on no job is claimed with the commit of another, because this process is ending.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Works on a claimed job until it is committed, put off or given up, keeping the lease alive meanwhile; and goes on
    /// with the job that follows if it claimed that one with the commit, as it does for short documents: `lease` is that
    /// job's then. `jitter` in 0 to 1 spreads the delay of a retry. An error means that not even the outcome could be
    /// written: the lease runs out and the job comes back. Dropping the future leaves the lease to be released by
    /// [`Stages::release`].
    ///
    /// A permanent error, or the last of the job's tries, gives the job up with a dead letter. A transient one is tried
    /// again after [`IngestSettings::retry_delay`]. What no document is to blame for costs no tries, and the job waits until
    /// it is over: a full disk; a database that is away or whose row somebody else holds; an index or object store that is
    /// found at the beginning to be away or to refuse; a model that, once it has failed, does not answer a short question
    /// either. A deletion waits for what is away at any point. Either wait is as long as the service asks for, up to ten
    /// minutes. A lease that was lost ends the work at once, and nothing is written.
    pub async fn run(&self, lease: &mut Lease, lease_for: Duration, jitter: f64) -> Result<()> {
        let mut since = Instant::now();
        loop {
            let job = &lease.job;
            let span = tracing::info_span!("job", job_id = %job.id, stage = job.payload.stage().as_str(),
                document_id = %job.document, tenant_id = %job.tenant, trace_id = job.trace_id);
            match self.run_one(lease, since, lease_for, jitter).instrument(span).await? {
                Some(next) => (*lease, since) = (next.lease, next.since),
                None => return Ok(()),
            }
        }
    }

    /// Gives a job back because this process is ending.
    pub async fn release(&self, lease: &Lease) -> Result<()> {
        self.ports.jobs.release(lease).await
    }

    /// Works on one job whose lease was taken at some time; the next one, if it was claimed with the commit.
    async fn run_one(
        &self,
        lease: &Lease,
        since: Instant,
        lease_for: Duration,
        jitter: f64,
    ) -> Result<Option<Claimed>> {
        let stage = lease.job.payload.stage();
        let began = Instant::now();
        let heart = Heartbeat::start(Arc::clone(&self.ports.jobs), lease.clone(), since, lease_for);
        let prepared = tokio::select! {
            biased;
            error = heart.interrupted() => Err(error),
            prepared = unpanicked(self.prepare(lease, heart.hold())) => prepared,
        };
        let prepared = heart.stop().await.and(prepared);
        let blame = if stage == Stage::DeleteDocument { Blame::Deletion } else { Blame::Document };
        let (result, blame) = match prepared {
            Ok(Done::NotNow(error)) => (Err(error), Blame::Service),
            Ok(done) => (unpanicked(self.commit(lease, done, lease_for)).await, blame),
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

    fn goes_on(&self, chunks: usize) -> bool {
        let waits = self.model_fails.load(Ordering::Relaxed) || self.ending.load(Ordering::Relaxed);
        chunks <= EMBED_AT_ONCE && !waits
    }

    /// Commits what was prepared; what came of it, and the next job if it was claimed with it.
    async fn commit(&self, lease: &Lease, done: Done, lease_for: Duration) -> Result<(Outcome, Option<Claimed>)> {
        let jobs = &self.ports.jobs;
        match done {
            Done::Processed(processed) => {
                let next = NextJob {
                    max_attempts: self.settings.attempts(Stage::EmbedDocument),
                    claim_for: self.goes_on(processed.chunks.len()).then_some(lease_for),
                };
                let since = Instant::now();
                let claimed = jobs.finish_processing(lease, processed, next).await?;
                step!("process::committed");
                if claimed.is_none() {
                    self.ports.wake(Stage::EmbedDocument).await;
                }
                return Ok((Outcome::Succeeded, claimed.map(|lease| Claimed { lease, since })));
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
