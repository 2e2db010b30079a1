//! How a try ends that was not a success.

use std::time::Duration;

use sea_orm::{ColumnTrait as _, DatabaseTransaction, QueryFilter as _};
use vectrion_core::{
    Error,
    document::{DocumentState, Failure},
    ids::{DeadLetterId, VersionId},
    job::{DeadLetter, JobPayload, JobState, Lease, TryOutcome},
};

use super::{
    dead_letters, history,
    lease::{self, Held},
    millis, queue,
};
use crate::{
    Store,
    catalog::{change, view},
    failure::Outcome,
    rows::{self, column, document_versions, documents, number},
    sql,
    time::Timed,
};

pub(super) async fn release(store: &Store, lease: &Lease) -> Outcome<()> {
    let tx = store.begin().await?;
    let held = lease::hold(store, &tx, lease).await?;
    if held.document(&tx).await?.is_none() {
        lease::withdraw(&tx, &held).await?;
    } else {
        // It keeps its place in the queue.
        give_back(&tx, &held, TryOutcome::Released, held.row.run_time, None).await?;
    }
    tx.commit().await?;
    Ok(())
}

pub(super) async fn retry_later(store: &Store, lease: &Lease, error: &Error, delay: Duration) -> Outcome<()> {
    let tx = store.begin().await?;
    let held = lease::hold(store, &tx, lease).await?;
    let Some(Timed { row: document, .. }) = held.document(&tx).await? else {
        return Err(lease::call_off(tx, &held).await?.into());
    };
    if held.row.attempts < held.row.max_attempts {
        give_back(&tx, &held, TryOutcome::Retried, held.now.saturating_add(millis(delay)), Some(error)).await?;
    } else {
        let failure = Failure {
            stage: held.row.stage.clone(),
            reason: error.reason().to_owned(),
            message: error.message().to_owned(),
            attempts: number(held.row.attempts),
        };
        give_up(&tx, &held, &document, failure).await?;
    }
    tx.commit().await?;
    Ok(())
}

pub(super) async fn put_off(store: &Store, lease: &Lease, error: &Error, delay: Duration) -> Outcome<()> {
    let tx = store.begin().await?;
    let held = lease::hold(store, &tx, lease).await?;
    if held.document(&tx).await?.is_none() {
        return Err(lease::call_off(tx, &held).await?.into());
    }
    give_back(&tx, &held, TryOutcome::PutOff, held.now.saturating_add(millis(delay)), Some(error)).await?;
    tx.commit().await?;
    Ok(())
}

pub(super) async fn fail(store: &Store, lease: &Lease, failure: Failure) -> Outcome<DeadLetter> {
    let tx = store.begin().await?;
    let held = lease::hold(store, &tx, lease).await?;
    let Some(Timed { row: document, .. }) = held.document(&tx).await? else {
        return Err(lease::call_off(tx, &held).await?.into());
    };
    let dead_letter = give_up(&tx, &held, &document, failure).await?;
    tx.commit().await?;
    Ok(dead_letter)
}

pub(super) async fn cancel(store: &Store, lease: &Lease) -> Outcome<()> {
    let tx = store.begin().await?;
    let held = lease::hold(store, &tx, lease).await?;
    lease::withdraw(&tx, &held).await?;
    tx.commit().await?;
    Ok(())
}

/// A version whose work is called off is not left between states: it has failed, and says why. There is no dead letter.
/// Its chunks, and what the index has of them, are removed by a job of their own, so that they are even if no worker is
/// left that knows of them.
pub(super) async fn leave_unfinished(
    tx: &DatabaseTransaction,
    held: &Held,
    document: &documents::Model,
    version_id: VersionId,
) -> Outcome<()> {
    let version = document_versions::for_tenant(held.tenant)
        .filter(document_versions::Column::Id.eq(version_id.0))
        .one(tx)
        .await?;
    let Some(version) = version else { return Ok(()) };
    if view::state_of(&version.state)?.is_terminal() {
        return Ok(());
    }
    let superseded = document.indexed_version.is_some_and(|indexed| indexed > version.number);
    let (reason, message) = if superseded {
        ("SUPERSEDED", "a newer version was indexed first, so this one was left alone")
    } else {
        ("CANCELLED", "the work was called off; retry the document to take it up again")
    };
    let failure = Failure {
        stage: held.row.stage.clone(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        attempts: number(held.row.attempts),
    };
    let failed = DocumentState::Failed;
    change::set_version_state(tx, held.tenant, held.document, version_id, failed, Some(&failure), held.now).await?;
    if version.chunk_count > 0 {
        let payload = JobPayload::DeleteVersionV1 { version_id };
        queue::add(tx, held.next(payload, number(held.row.max_attempts)), held.now).await?;
    }
    Ok(())
}

/// Puts the job back into the queue. Of the ways in which a try ends, only one that failed counts.
pub(super) async fn give_back(
    tx: &DatabaseTransaction,
    held: &Held,
    outcome: TryOutcome,
    run_time: i64,
    error: Option<&Error>,
) -> Outcome<()> {
    let last_error = error.map(|error| describe(error.reason(), error.message()));
    let attempts = if outcome == TryOutcome::Retried { held.row.attempts } else { (held.row.attempts - 1).max(0) };
    sql::for_tenant(
        held.tenant,
        "UPDATE jobs SET state = 'pending', attempts = $3, run_time = $4, last_error = COALESCE($5, last_error),
            history = $6, worker_id = NULL, lease_expire_time = NULL WHERE tenant_id = $1 AND id = $2",
        [
            held.row.id.into(),
            attempts.into(),
            run_time.into(),
            last_error.into(),
            history::with(&held.row, outcome, error.map(Error::reason), held.now)?.into(),
        ],
    )
    .execute(tx)
    .await?;
    held.announcer.ready(tx, held.row.id, &held.row.stage, run_time, &held.row.trace_id).await
}

/// Gives the job up, with a dead letter. A failed deletion fails its document; else it is the version that failed.
pub(super) async fn give_up(
    tx: &DatabaseTransaction,
    held: &Held,
    document: &documents::Model,
    failure: Failure,
) -> Outcome<DeadLetter> {
    match held.payload.version_id() {
        Some(version) if keeps_its_state(tx, held, document, version).await? => {}
        Some(version) => {
            let failed = DocumentState::Failed;
            change::set_version_state(tx, held.tenant, held.document, version, failed, Some(&failure), held.now)
                .await?;
        }
        None => change::set_deletion_state(tx, held.tenant, document, Some(&failure), held.now).await?,
    }
    lease::end(tx, &held.row, JobState::Failed, Some(&failure.reason), held.now).await?;
    sql::for_tenant(
        held.tenant,
        "UPDATE jobs SET last_error = $3 WHERE tenant_id = $1 AND id = $2",
        [held.row.id.into(), describe(&failure.reason, &failure.message).into()],
    )
    .execute(tx)
    .await?;
    let row = rows::dead_letters::Model {
        id: DeadLetterId::new().0,
        tenant_id: held.tenant.0,
        job_id: held.row.id,
        document_id: held.document.0,
        version_id: held.row.version_id,
        stage: held.row.stage.clone(),
        reason: failure.reason,
        message: failure.message,
        attempts: column(failure.attempts),
        trace_id: held.row.trace_id.clone(),
        create_time: held.now,
    };
    rows::dead_letters::insert(tx, row.clone()).await?;
    dead_letters::dead_letter_of(row)
}

/// Whether a version's state has nothing to do with a removal that was given up: it failed before and says why, it is
/// being worked on again, or searches see it by now. Then only the dead letter tells of the removal.
async fn keeps_its_state(
    tx: &DatabaseTransaction,
    held: &Held,
    document: &documents::Model,
    version: VersionId,
) -> Outcome<bool> {
    let (JobPayload::DeleteVersionV1 { .. } | JobPayload::PurgeVersionV1 { .. }) = held.payload else {
        return Ok(false);
    };
    let state = change::version_state(tx, held.tenant, version).await?;
    Ok(state != Some(DocumentState::Indexed) || document.indexed_version_id == Some(version.0))
}

fn describe(reason: &str, message: &str) -> String {
    format!("{reason}: {message}")
}
