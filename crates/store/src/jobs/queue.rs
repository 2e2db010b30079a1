//! New jobs, and jobs as rows.

use std::time::Duration;

use sea_orm::DatabaseTransaction;
use vectrion_core::{
    ids::{DocumentId, JobId, TenantId, WorkerId},
    job::{Job, JobPayload, JobState, Lease},
    time::Timestamp,
};

use super::{history, millis};
use crate::{
    failure::{Outcome, damaged},
    outbox::Announcer,
    rows::{column, jobs, number},
};

/// A job that is to be done.
pub(crate) struct NewJob<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) document: DocumentId,
    pub(crate) payload: JobPayload,
    pub(crate) max_attempts: u32,
    pub(crate) trace_id: &'a str,
    pub(crate) announcer: Announcer,
}

/// Queues a job, ready at once. Called with its document held.
pub(crate) async fn add(tx: &DatabaseTransaction, job: NewJob<'_>, now: i64) -> Outcome<()> {
    add_as(tx, JobId::new(), job, now).await
}

/// Queues a job under this id.
pub(crate) async fn add_as(tx: &DatabaseTransaction, id: JobId, job: NewJob<'_>, now: i64) -> Outcome<()> {
    let row = waiting(id, &job, now)?;
    job.announcer.ready(tx, row.id, &row.stage, now, job.trace_id).await?;
    Ok(jobs::insert(tx, row).await?)
}

/// Adds a job that this worker has claimed at once. Called with its document held, of which nobody works on another job;
/// its version is the caller's to move on.
pub(super) async fn add_claimed(
    tx: &DatabaseTransaction,
    job: NewJob<'_>,
    worker: &str,
    claim_for: Duration,
    now: i64,
) -> Outcome<Lease> {
    let row = jobs::Model {
        state: JobState::Running.as_str().to_owned(),
        attempts: 1,
        worker_id: Some(worker.to_owned()),
        lease_token: 1,
        lease_expire_time: Some(now.saturating_add(millis(claim_for))),
        start_time: Some(now),
        ..waiting(JobId::new(), &job, now)?
    };
    let token = row.lease_token;
    jobs::insert(tx, row.clone()).await?;
    Ok(Lease { job: job_of(row)?, token })
}

/// The row of a job that is ready and that nobody has worked on.
fn waiting(id: JobId, job: &NewJob<'_>, now: i64) -> Outcome<jobs::Model> {
    Ok(jobs::Model {
        id: id.0,
        tenant_id: job.tenant.0,
        document_id: job.document.0,
        version_id: job.payload.version_id().map(|version| version.0),
        stage: job.payload.stage().as_str().to_owned(),
        payload: serde_json::to_string(&job.payload)?,
        state: JobState::Pending.as_str().to_owned(),
        attempts: 0,
        max_attempts: column(job.max_attempts.max(1)),
        interruptions: 0,
        run_time: now,
        worker_id: None,
        lease_token: 0,
        lease_expire_time: None,
        last_error: None,
        trace_id: job.trace_id.to_owned(),
        create_time: now,
        start_time: None,
        end_time: None,
        cancel_time: None,
        history: "[]".to_owned(),
    })
}

/// The job of a row.
pub(super) fn job_of(row: jobs::Model) -> Outcome<Job> {
    let history = history::of(&row);
    let state = JobState::ALL.into_iter().find(|state| state.as_str() == row.state);
    Ok(Job {
        id: JobId(row.id),
        tenant: TenantId(row.tenant_id),
        document: DocumentId(row.document_id),
        payload: serde_json::from_str(&row.payload)?,
        state: state.ok_or_else(|| damaged("a job has an unknown state"))?,
        attempts: number(row.attempts),
        max_attempts: number(row.max_attempts),
        interruptions: number(row.interruptions),
        run_time: Timestamp(row.run_time),
        worker: row.worker_id.map(WorkerId),
        lease_expire_time: row.lease_expire_time.map(Timestamp),
        last_error: row.last_error,
        trace_id: row.trace_id,
        create_time: Timestamp(row.create_time),
        start_time: row.start_time.map(Timestamp),
        end_time: row.end_time.map(Timestamp),
        history,
    })
}
