//! Jobs, leases and what a stage commits.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Error, Result,
    chunk::Chunk,
    document::{Document, Failure, Progress, Warning},
    ids::{CollectionId, DeadLetterId, DocumentId, JobId, TenantId, VersionId, WorkerId},
    job::{DeadLetter, DeadLetterCause, Job, JobState, Lease, Stage, Worker},
    page::{Page, PageRequest},
};

use super::catalog::PageInfo;

/// What `process_document` found.
#[derive(Clone, Debug)]
pub struct ProcessedVersion {
    /// Title.
    pub title: Option<String>,
    /// The pages.
    pub pages: Vec<PageInfo>,
    /// The chunks, in order.
    pub chunks: Vec<Chunk>,
    /// What is worth knowing.
    pub warnings: Vec<Warning>,
}

/// The job that follows from one that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextJob {
    /// Its tries.
    pub max_attempts: u32,
    /// For how long the worker who ends the one claims the other at once; none: it is queued, for whoever claims it.
    pub claim_for: Option<Duration>,
}

impl NextJob {
    /// One that is queued.
    #[must_use]
    pub fn queued(max_attempts: u32) -> Self {
        Self { max_attempts, claim_for: None }
    }
}

/// Which jobs a list shows. All conditions must hold; an empty list means any.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Of this document.
    pub document: Option<DocumentId>,
    /// In these stages.
    pub stages: Vec<Stage>,
    /// In these states.
    pub states: Vec<JobState>,
}

/// Which dead letters are meant. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeadLetterFilter {
    /// Of documents in this collection.
    pub collection: Option<CollectionId>,
    /// Of this stage.
    pub stage: Option<Stage>,
    /// With this reason.
    pub reason: Option<String>,
    /// At least so old, by the database's clock.
    pub min_age: Option<Duration>,
}

/// Dead letters that are replayed or removed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetterSelection {
    /// These.
    Ids(Vec<DeadLetterId>),
    /// All that match.
    Matching(DeadLetterFilter),
}

/// Minutes over which the rates of a queue are counted.
pub const RATE_MINUTES: [u32; 3] = [1, 5, 15];

/// A stage's queue, and how fast it moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStatus {
    /// What waits and runs.
    pub depth: QueueDepth,
    /// Dead letters of the stage.
    pub dead: u64,
    /// Jobs that ended in the last [`RATE_MINUTES`], in the same order.
    pub ended: [EndedJobs; RATE_MINUTES.len()],
}

/// Jobs that ended within some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedJobs {
    /// Done.
    pub succeeded: u64,
    /// Given up.
    pub failed: u64,
    /// Called off.
    pub cancelled: u64,
}

/// Jobs that wait or run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    /// Stage.
    pub stage: Stage,
    /// Jobs whose time has come and that nobody works on.
    pub ready: u64,
    /// Jobs that wait for their time after a failed try.
    pub delayed: u64,
    /// Jobs that somebody works on.
    pub running: u64,
    /// Age of the oldest ready job in milliseconds.
    pub oldest_ms: u64,
}

/// Keeps jobs and commits what the stages do.
///
/// - Every method that takes a lease checks, within its transaction, that the lease is still the job's newest and has
///   not expired; if not it is `ABORTED`, reason `LEASE_LOST`, and nothing is changed.
/// - Time is the database's.
/// - While somebody works on a job of a document, no other job of that document is claimed: a deletion waits for the
///   work in hand, and versions of a document do not overtake each other within a stage.
/// - A commit that finds its document being deleted is `ABORTED`, reason `DOCUMENT_DELETING`, and cancels the job.
/// - A commit of a job that a caller has called off is `ABORTED`, reason `JOB_CANCELLED`, and ends it as [`Jobs::cancel`]
///   does.
/// - A commit of another stage than the job's is `INTERNAL`, reason `WRONG_STAGE`.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Claims the fairest ready job of these stages: of the tenant with the fewest running jobs, the one that has waited
    /// longest. Moves its version on (`processing`, `embedding`). None if there is none.
    async fn claim(&self, stages: &[Stage], worker: &WorkerId, lease_for: Duration) -> Result<Option<Lease>>;

    /// Puts off the lease's end, and notes progress if that can be done without waiting for others.
    async fn heartbeat(&self, lease: &Lease, lease_for: Duration, progress: Option<Progress>) -> Result<()>;

    /// Whether the work is to go on. Changes nothing, takes no lock and is cheap: asked about twice a second for each
    /// running job.
    ///
    /// # Errors
    /// `ABORTED`: `LEASE_LOST`, `DOCUMENT_DELETING` (and the job is not the deletion), `JOB_CANCELLED`.
    async fn check_work(&self, lease: &Lease) -> Result<()>;

    /// The document and version that the job works on. None if the document is being deleted (and the job is not its
    /// deletion), or a caller has called the job off.
    async fn job_document(&self, lease: &Lease) -> Result<Option<Document>>;

    /// Stores pages and chunks in place of any from before, ends the job and queues `embed_document` as the next one, in one
    /// transaction. The version is `processed` then; or `embedding`, if the worker has claimed the next job with it, whose
    /// lease is returned.
    async fn finish_processing(
        &self,
        lease: &Lease,
        processed: ProcessedVersion,
        next: NextJob,
    ) -> Result<Option<Lease>>;

    /// Moves the version to `indexed` and ends the job. If no higher version is indexed, this version becomes the one
    /// that searches see and the removal of the one before is queued, and that of lower versions that failed with chunks;
    /// otherwise its own removal is queued. One transaction. Called when the points are flushed.
    async fn finish_embedding(&self, lease: &Lease) -> Result<()>;

    /// Versions that the deletion job removes: one, or all of the document.
    async fn versions_to_delete(&self, lease: &Lease) -> Result<Vec<VersionId>>;

    /// Removes the rows that the deletion job is about, and ends the job: the chunks of a version, or the whole document
    /// with chunks, pages, metadata, jobs, dead letters and its text in stored answers. One transaction. Called when
    /// vectors and objects are gone.
    async fn finish_deletion(&self, lease: &Lease) -> Result<()>;

    /// Gives the job back because this process is ending; the try does not count.
    async fn release(&self, lease: &Lease) -> Result<()>;

    /// Ends a job that has nothing left to do. A version that it leaves between states has failed then, without a dead
    /// letter: with reason `SUPERSEDED` if a higher version is indexed, else `CANCELLED`. The removal of its chunks is
    /// queued if it has any.
    async fn cancel(&self, lease: &Lease) -> Result<()>;

    /// Notes a failed try: waits `delay` and tries again, as long as tries are left; without any, gives the job up as
    /// [`Jobs::fail`] does.
    async fn retry_later(&self, lease: &Lease, error: &Error, delay: Duration) -> Result<()>;

    /// Notes what keeps the job from being done now, such as a full disk: waits `delay` and tries again. The try does not
    /// count.
    async fn put_off(&self, lease: &Lease, error: &Error, delay: Duration) -> Result<()>;

    /// Gives the job up: its version is `failed` with this failure, and a dead letter says so. One transaction.
    async fn fail(&self, lease: &Lease, failure: Failure) -> Result<DeadLetter>;

    /// Takes back jobs whose lease has expired: each is ready again with one more interruption, or given up with reason
    /// `INTERRUPTED_TOO_OFTEN` beyond `max_interruptions`. Jobs that wait only because the database's clock has gone back
    /// are ready again, too. Returns how many.
    async fn reap(&self, max_interruptions: u32) -> Result<u64>;

    /// Takes back every running job at once. For a process that knows that it is the only one and has just started.
    async fn reap_all(&self, max_interruptions: u32) -> Result<u64>;

    /// Milliseconds until the next delayed job of these stages is ready; none if there is none.
    async fn next_ready_in(&self, stages: &[Stage]) -> Result<Option<Duration>>;

    /// Jobs of a tenant, newest first.
    async fn list_jobs(&self, tenant: TenantId, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>>;

    /// A job of a tenant.
    async fn job(&self, tenant: TenantId, id: JobId) -> Result<Option<Job>>;

    /// Dead letters of a tenant, newest first.
    async fn list_dead_letters(
        &self,
        tenant: TenantId,
        filter: &DeadLetterFilter,
        page: &PageRequest,
    ) -> Result<Page<DeadLetter>>;

    /// Why jobs of a tenant were given up, the most frequent cause first, at most `limit`.
    async fn dead_letter_causes(
        &self,
        tenant: TenantId,
        filter: &DeadLetterFilter,
        limit: u32,
    ) -> Result<Vec<DeadLetterCause>>;

    /// Ids of the selected dead letters that are there, oldest first, at most `limit`, and how many are selected in all.
    async fn select_dead_letters(
        &self,
        tenant: TenantId,
        selection: &DeadLetterSelection,
        limit: u32,
    ) -> Result<(Vec<DeadLetterId>, u64)>;

    /// Removes these dead letters. What had failed stays failed, and can be retried through its document. Those that are
    /// not there are no error. Returns how many were removed.
    async fn purge_dead_letters(&self, tenant: TenantId, ids: &[DeadLetterId]) -> Result<u64>;

    /// A dead letter of a tenant.
    async fn dead_letter(&self, tenant: TenantId, id: DeadLetterId) -> Result<Option<DeadLetter>>;

    /// Queues the job of a dead letter again with fresh tries, and removes the dead letter. Missing is `NOT_FOUND`,
    /// reason `DEAD_LETTER_NOT_FOUND`.
    async fn replay_dead_letter(&self, tenant: TenantId, id: DeadLetterId, trace_id: &str) -> Result<Job>;

    /// Notes that a worker lives.
    async fn worker_heartbeat(&self, worker: &WorkerId, host: &str, stages: &[Stage], draining: bool) -> Result<()>;

    /// Forgets a worker that ended.
    async fn remove_worker(&self, worker: &WorkerId) -> Result<()>;

    /// Workers heard of within `within`, with the jobs they hold.
    async fn list_workers(&self, within: Duration) -> Result<Vec<Worker>>;

    /// Depth of each stage's queue over all tenants, every stage once.
    async fn queue_depths(&self) -> Result<Vec<QueueDepth>>;

    /// Depth of each stage's queue as far as it is this tenant's, every stage once.
    async fn tenant_queue_depths(&self, tenant: TenantId) -> Result<Vec<QueueDepth>>;

    /// The queue of each stage with its dead letters and what has ended of late, every stage once: of one tenant, or of all.
    /// It costs the more, the more waits and the more has ended in the last quarter of an hour: not more than once a
    /// second for whoever watches.
    async fn queue_statuses(&self, tenant: Option<TenantId>) -> Result<Vec<QueueStatus>>;

    /// Removes ended jobs older than `keep_ms` milliseconds that have no dead letter, and forgets workers not heard of for
    /// as long. Returns how many jobs.
    async fn purge_jobs(&self, keep_ms: i64) -> Result<u64>;
}
