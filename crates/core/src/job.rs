//! Background work: stages, jobs, leases, dead letters.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    ids::{DeadLetterId, DocumentId, JobId, TenantId, VersionId, WorkerId},
    time::Timestamp,
};

/// A stage of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Bytes to text to chunks.
    ProcessDocument,
    /// Chunks to vectors in the index.
    EmbedDocument,
    /// Removal of a document, or of a replaced version.
    DeleteDocument,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 3] = [Self::ProcessDocument, Self::EmbedDocument, Self::DeleteDocument];

    /// The name in the database, in messages and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProcessDocument => "process_document",
            Self::EmbedDocument => "embed_document",
            Self::DeleteDocument => "delete_document",
        }
    }
}

impl FromStr for Stage {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text).ok_or_else(|| {
            Error::invalid_field("stage", "must be one of process_document, embed_document, delete_document")
        })
    }
}

/// What a job does, with the version of its form. Stored as JSON; a reader keeps reading the forms of earlier releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum JobPayload {
    /// Extract and chunk a version.
    ProcessV1 {
        /// The version.
        version_id: VersionId,
    },
    /// Embed and index a version.
    EmbedV1 {
        /// The version.
        version_id: VersionId,
    },
    /// Remove the chunks and vectors of a version that another one replaced.
    DeleteVersionV1 {
        /// The version.
        version_id: VersionId,
    },
    /// Remove a version with everything that belongs to it, its bytes included.
    PurgeVersionV1 {
        /// The version.
        version_id: VersionId,
    },
    /// Remove a document with everything that belongs to it.
    DeleteDocumentV1 {},
}

impl JobPayload {
    /// The stage that does it.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Self::ProcessV1 { .. } => Stage::ProcessDocument,
            Self::EmbedV1 { .. } => Stage::EmbedDocument,
            Self::DeleteVersionV1 { .. } | Self::PurgeVersionV1 { .. } | Self::DeleteDocumentV1 {} => {
                Stage::DeleteDocument
            }
        }
    }

    /// The version it works on; none for a whole document.
    #[must_use]
    pub fn version_id(&self) -> Option<VersionId> {
        match self {
            Self::ProcessV1 { version_id }
            | Self::EmbedV1 { version_id }
            | Self::DeleteVersionV1 { version_id }
            | Self::PurgeVersionV1 { version_id } => Some(*version_id),
            Self::DeleteDocumentV1 {} => None,
        }
    }
}

/// State of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its time and a worker.
    Pending,
    /// A worker holds its lease.
    Running,
    /// Done.
    Succeeded,
    /// Given up; a dead letter says why.
    Failed,
    /// Called off, because its document was deleted or it was superseded.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A unit of background work. Its row is the truth; a message only says that there is something to claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Id.
    pub id: JobId,
    /// Owner of the document.
    pub tenant: TenantId,
    /// Document.
    pub document: DocumentId,
    /// What to do.
    pub payload: JobPayload,
    /// State.
    pub state: JobState,
    /// Tries begun, the running one included; tries cut off by the death of a process are not counted.
    pub attempts: u32,
    /// Tries at the most.
    pub max_attempts: u32,
    /// Tries cut off by the death of a process.
    pub interruptions: u32,
    /// Not before this moment.
    pub run_time: Timestamp,
    /// Who holds the lease.
    pub worker: Option<WorkerId>,
    /// When the lease runs out, by the database's clock.
    pub lease_expire_time: Option<Timestamp>,
    /// Reason and message of the last try that failed.
    pub last_error: Option<String>,
    /// Trace of the call that caused it.
    pub trace_id: String,
    /// When it was created.
    pub create_time: Timestamp,
    /// When the last try began.
    pub start_time: Option<Timestamp>,
    /// When it reached a final state.
    pub end_time: Option<Timestamp>,
    /// The tries that have ended, oldest first; the last [`JobTry::KEPT`] of them.
    pub history: Vec<JobTry>,
}

/// A try of a job that has ended. Stored as JSON with its job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobTry {
    /// Who made it.
    pub worker: WorkerId,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended, or was found to have ended.
    pub end_time: Timestamp,
    /// How it ended.
    pub outcome: TryOutcome,
    /// Stable reason, if it was no success.
    pub reason: Option<String>,
}

impl JobTry {
    /// Tries of a job that are remembered.
    pub const KEPT: usize = 20;
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TryOutcome {
    /// The job is done.
    Succeeded,
    /// It failed, and another follows.
    Retried,
    /// Something kept it from being done, such as a full disk; another follows.
    PutOff,
    /// Its process was ending; another follows.
    Released,
    /// Its process died; another follows.
    Interrupted,
    /// It failed, and the job was given up.
    Failed,
    /// The job was called off.
    Cancelled,
}

/// The right to work on a job until it expires. Every write made under it is refused once another worker has claimed
/// the job since (fencing).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job as claimed.
    pub job: Job,
    /// Fencing token; grows with every claim of the job.
    pub token: i64,
}

/// A job that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Id.
    pub id: DeadLetterId,
    /// Owner.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// Its document.
    pub document: DocumentId,
    /// Stage that failed.
    pub stage: Stage,
    /// Stable reason.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Tries made.
    pub attempts: u32,
    /// Trace of the call that caused the job.
    pub trace_id: String,
    /// When the job was given up.
    pub create_time: Timestamp,
}

/// Why jobs were given up: stage and reason, with those that ended so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterCause {
    /// Stage that failed.
    pub stage: Stage,
    /// Stable reason.
    pub reason: String,
    /// Dead letters of it.
    pub count: u64,
    /// When the first of them was written.
    pub first_time: Timestamp,
    /// When the last one was.
    pub last_time: Timestamp,
    /// The last one.
    pub example: DeadLetter,
}

/// A process that runs jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Id.
    pub id: WorkerId,
    /// Host it runs on.
    pub host: String,
    /// Stages it serves.
    pub stages: Vec<Stage>,
    /// Whether it is winding down.
    pub draining: bool,
    /// Jobs whose lease it holds.
    pub current_jobs: Vec<CurrentJob>,
    /// When it started.
    pub start_time: Timestamp,
    /// When it was last heard of.
    pub heartbeat_time: Timestamp,
}

/// A job that a worker has in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentJob {
    /// Job.
    pub id: JobId,
    /// Owner of the document.
    pub tenant: TenantId,
    /// Document.
    pub document: DocumentId,
    /// Stage.
    pub stage: Stage,
    /// When the try began.
    pub start_time: Timestamp,
}
