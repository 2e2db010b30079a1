//! Leases: the right to work on a job, for a while.

use std::time::Duration;

use sea_orm::{ColumnTrait as _, ConnectionTrait, DatabaseTransaction, FromQueryResult, QueryFilter as _};
use vectrion_core::{
    Error, ErrorKind,
    document::{Document, Progress},
    ids::{DocumentId, JobId, TenantId, VersionId},
    job::{JobPayload, JobState, Lease, TryOutcome},
};

use super::{ending, history, millis, queue::NewJob};
use crate::{
    Store,
    catalog::{
        change,
        view::{self, View},
    },
    failure::{Outcome, is_conflict},
    outbox::Announcer,
    rows::{column, documents, jobs},
    sql,
    time::{self, Timed},
};

/// A job whose lease was checked, and which nobody else changes before the transaction ends.
pub(crate) struct Held {
    pub(crate) row: jobs::Model,
    pub(crate) tenant: TenantId,
    pub(crate) document: DocumentId,
    pub(crate) payload: JobPayload,
    pub(crate) now: i64,
    pub(crate) announcer: Announcer,
}

/// Locks the job of a lease and checks the lease. Of the locks, this comes first.
pub(super) async fn hold(store: &Store, tx: &DatabaseTransaction, lease: &Lease) -> Outcome<Held> {
    let tenant = lease.job.tenant;
    let found = time::lock_row(tx, tenant, "jobs", lease.job.id.0, " FOR UPDATE").await?;
    let Timed { row, now } = found.ok_or_else(lost)?;
    if !is_current(&row, lease, now) {
        return Err(lost().into());
    }
    Ok(Held {
        tenant,
        document: DocumentId(row.document_id),
        payload: serde_json::from_str(&row.payload)?,
        row,
        now,
        announcer: store.announcer(),
    })
}

impl Held {
    /// A job that follows from this one.
    pub(super) fn next(&self, payload: JobPayload, max_attempts: u32) -> NewJob<'_> {
        NewJob {
            tenant: self.tenant,
            document: self.document,
            payload,
            max_attempts,
            trace_id: &self.row.trace_id,
            announcer: self.announcer,
        }
    }

    /// The document of the job, held; none if the job is to be withdrawn: the document is being deleted and the job is not
    /// its deletion, or a caller has called the job off.
    pub(super) async fn document(&self, tx: &DatabaseTransaction) -> Outcome<Option<Timed<documents::Model>>> {
        let known = self.living_document(tx).await?;
        Ok(known.filter(|_| self.row.cancel_time.is_none()))
    }

    /// The document, held, unless it is being deleted and the job is not its deletion.
    async fn living_document(&self, tx: &DatabaseTransaction) -> Outcome<Option<Timed<documents::Model>>> {
        let deletes = self.payload == JobPayload::DeleteDocumentV1 {};
        let known = change::hold_document(tx, self.tenant, self.document).await?;
        Ok(known.filter(|known| known.row.deleting == deletes))
    }
}

/// Withdraws the job in place of what its worker wanted to commit, and says why.
pub(super) async fn call_off(tx: DatabaseTransaction, held: &Held) -> Outcome<Error> {
    let why = withdraw(&tx, held).await?;
    tx.commit().await?;
    Ok(why)
}

/// Ends a job that is not to be done. Its version is not left between states, unless it goes with its document.
pub(crate) async fn withdraw(tx: &DatabaseTransaction, held: &Held) -> Outcome<Error> {
    let why = match held.living_document(tx).await? {
        Some(Timed { row: document, .. }) => {
            if let JobPayload::ProcessV1 { version_id } | JobPayload::EmbedV1 { version_id } = held.payload {
                ending::leave_unfinished(tx, held, &document, version_id).await?;
            }
            cancelled()
        }
        None => deleting(),
    };
    end(tx, &held.row, JobState::Cancelled, Some(why.reason()), held.now).await?;
    Ok(why)
}

/// Puts off the end of a lease that is held, by the time for which it was taken.
pub(super) async fn renew(tx: &DatabaseTransaction, lease: &Lease) -> Outcome<()> {
    let job = &lease.job;
    let (Some(begin), Some(end)) = (job.start_time, job.lease_expire_time) else { return Ok(()) };
    let expire_time = time::now(tx).await?.saturating_add(millis(end.since(begin)));
    sql::for_tenant(
        job.tenant,
        "UPDATE jobs SET lease_expire_time = $3 WHERE tenant_id = $1 AND id = $2",
        [job.id.0.into(), expire_time.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends a job, and notes how its try ended if somebody had it in hand.
pub(super) async fn end(
    tx: &DatabaseTransaction,
    row: &jobs::Model,
    state: JobState,
    reason: Option<&str>,
    now: i64,
) -> Outcome<()> {
    let outcome = match state {
        JobState::Succeeded => TryOutcome::Succeeded,
        JobState::Failed => TryOutcome::Failed,
        JobState::Pending | JobState::Running | JobState::Cancelled => TryOutcome::Cancelled,
    };
    sql::for_tenant(
        TenantId(row.tenant_id),
        "UPDATE jobs SET state = $3, end_time = $4, history = $5, worker_id = NULL, lease_expire_time = NULL
            WHERE tenant_id = $1 AND id = $2",
        [row.id.into(), state.as_str().into(), now.into(), history::with(row, outcome, reason, now)?.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A job's row.
pub(super) async fn row<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    id: JobId,
) -> Outcome<Option<jobs::Model>> {
    Ok(jobs::for_tenant(tenant).filter(jobs::Column::Id.eq(id.0)).one(connection).await?)
}

/// Whether the work under a lease is to go on; one look that takes no lock.
pub(super) async fn check_work<C: ConnectionTrait>(connection: &C, lease: &Lease) -> Outcome<()> {
    #[derive(FromQueryResult)]
    struct Look {
        held: bool,
        cancelled: bool,
        deleting: Option<bool>,
    }
    let job = &lease.job;
    let now = time::now_expression(connection.get_database_backend());
    let look: Option<Look> = sql::for_tenant(
        job.tenant,
        format!(
            "SELECT (j.state = 'running' AND j.lease_token = $3 AND j.lease_expire_time > {now}) AS held,
                    j.cancel_time IS NOT NULL AS cancelled, d.deleting AS deleting
                FROM jobs j LEFT JOIN documents d ON d.id = j.document_id AND d.tenant_id = $1
                WHERE j.tenant_id = $1 AND j.id = $2"
        ),
        [job.id.0.into(), lease.token.into()],
    )
    .one(connection)
    .await?;
    let deletes = job.payload == JobPayload::DeleteDocumentV1 {};
    match look {
        Some(look) if look.held => match look.deleting {
            Some(deleting) if deleting == deletes && !look.cancelled => Ok(()),
            Some(deleting) if deleting == deletes => Err(cancelled().into()),
            _ => Err(deleting().into()),
        },
        _ => Err(lost().into()),
    }
}

/// Checks a lease for a read.
pub(super) async fn check(tx: &DatabaseTransaction, lease: &Lease) -> Outcome<jobs::Model> {
    let row = row(tx, lease.job.tenant, lease.job.id).await?.ok_or_else(lost)?;
    let now = time::now(tx).await?;
    if is_current(&row, lease, now) { Ok(row) } else { Err(lost().into()) }
}

/// The document of a job that is to go on, in one look. None: its work is called off, or there is nothing to work on.
pub(super) async fn document<C: ConnectionTrait>(connection: &C, lease: &Lease) -> Outcome<Option<Document>> {
    let job = &lease.job;
    let mut query = match job.payload.version_id() {
        Some(version) => {
            let mut query = view::versions_of(job.tenant);
            query.push(" AND v.id = ").bind(version.0);
            query
        }
        None => view::newest_of(job.tenant),
    };
    query.push(" AND d.id = ").bind(job.document.0);
    query.push(" AND d.deleting = ").bind(job.payload == JobPayload::DeleteDocumentV1 {});
    query.push(" AND EXISTS (SELECT 1 FROM jobs j WHERE j.tenant_id = $1 AND j.state = 'running' AND j.id = ");
    query.bind(job.id.0).push(" AND j.lease_token = ").bind(lease.token).push(" AND j.cancel_time IS NULL");
    query.push(" AND j.lease_expire_time > ").push(time::now_expression(connection.get_database_backend())).push(")");
    let found: Option<View> = query.one(connection).await?;
    match found {
        Some(view) if job.payload.version_id().is_some() => view.into_version().map(Some),
        Some(view) => view.into_newest().map(Some),
        None => {
            // Why not: the lease may be lost, which is an error.
            let why = check_work(connection, lease).await.err().map(Error::from);
            why.filter(|error| error.reason() == "LEASE_LOST").map_or(Ok(None), |error| Err(error.into()))
        }
    }
}

/// Puts off the end of a lease, and then notes progress, if nobody else changes the document or its tenant just now: for
/// that, nobody's lease is to run out.
pub(super) async fn extend(
    store: &Store,
    lease: &Lease,
    lease_for: Duration,
    progress: Option<Progress>,
) -> Outcome<()> {
    let tenant = lease.job.tenant;
    let now = time::now_expression(store.backend());
    let extended = sql::for_tenant(
        tenant,
        format!(
            "UPDATE jobs SET lease_expire_time = {now} + $4
                WHERE tenant_id = $1 AND id = $2 AND lease_token = $3 AND state = 'running' AND lease_expire_time > {now}"
        ),
        [lease.job.id.0.into(), lease.token.into(), millis(lease_for).into()],
    )
    .execute(store.writer())
    .await?;
    if extended != 1 {
        return Err(lost().into());
    }
    let (Some(progress), Some(version)) = (progress, lease.job.payload.version_id()) else { return Ok(()) };
    match note_progress(store, lease, version, progress).await {
        Err(failure) if is_conflict(&failure) => Ok(()),
        noted => noted,
    }
}

async fn note_progress(store: &Store, lease: &Lease, version: VersionId, progress: Progress) -> Outcome<()> {
    let tenant = lease.job.tenant;
    let tx = store.begin().await?;
    if change::try_hold_document(&tx, tenant, lease.job.document).await?.is_none() {
        return Ok(());
    }
    let Some(now) = time::try_lock_tenant(&tx, tenant).await? else { return Ok(()) };
    let changed = sql::for_tenant(
        tenant,
        "UPDATE document_versions SET pages_total = $3, pages_done = $4, chunks_total = $5, chunks_done = $6,
            update_time = $7
            WHERE tenant_id = $1 AND id = $2
            AND (pages_total <> $3 OR pages_done <> $4 OR chunks_total <> $5 OR chunks_done <> $6)
            AND EXISTS (SELECT 1 FROM jobs j
                WHERE j.tenant_id = $1 AND j.id = $8 AND j.lease_token = $9 AND j.state = 'running')",
        [
            version.0.into(),
            column(progress.pages_total).into(),
            column(progress.pages_done).into(),
            column(progress.chunks_total).into(),
            column(progress.chunks_done).into(),
            now.into(),
            lease.job.id.0.into(),
            lease.token.into(),
        ],
    )
    .execute(&tx)
    .await?;
    if changed > 0 {
        change::touch(&tx, tenant, lease.job.document, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

fn is_current(row: &jobs::Model, lease: &Lease, now: i64) -> bool {
    row.state == "running"
        && row.lease_token == lease.token
        && row.lease_expire_time.is_some_and(|expire_time| expire_time > now)
}

fn deleting() -> Error {
    Error::new(ErrorKind::Aborted, "DOCUMENT_DELETING", "the document is being deleted; the job was called off")
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Aborted, "JOB_CANCELLED", "the work on the document was cancelled")
}

/// Somebody else has the job, or may have it any moment.
pub(super) fn lost() -> Error {
    Error::new(ErrorKind::Aborted, "LEASE_LOST", "the lease of the job has run out, or another worker has claimed it")
}
