//! Calling off the work on a document.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend};
use uuid::Uuid;
use vectrion_core::{
    Error,
    document::{Document, DocumentState},
    ids::{DocumentId, TenantId},
    job::JobState,
};

use super::{change, view};
use crate::{
    Store,
    failure::Outcome,
    jobs::lease::{self, Held},
    rows::{documents, jobs},
    sql,
    time::Timed,
};

/// Looks for a moment at which nobody commits something about the document, and the wait between two.
const LOOKS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(20);

/// What waits is ended at once. What runs is marked: its worker learns of it, stops, and ends it; or the reaper does, if
/// the worker is dead.
pub(super) async fn cancel(store: &Store, tenant: TenantId, id: DocumentId) -> Outcome<Document> {
    for _ in 0..LOOKS {
        let tx = store.begin().await?;
        // The jobs first: see the order of locks. One that somebody has in hand this moment is passed over.
        let locked = lock_unfinished(&tx, tenant, id).await?;
        let Timed { row: document, now } = change::hold_document(&tx, tenant, id).await?.ok_or_else(view::missing)?;
        refuse_ended(&document)?;
        if unfinished(&tx, tenant, id).await? == locked.iter().map(|row| row.id).collect::<Vec<_>>() {
            let shown = call_off(store, &tx, &document, locked, now).await?;
            tx.commit().await?;
            return Ok(shown);
        }
        // Somebody is about to claim or to commit; what comes of it is seen the next time.
        tx.rollback().await?;
        tokio::time::sleep(PAUSE).await;
    }
    Err(Error::unavailable("DOCUMENT_BUSY", "the document is being written by a worker; try again").into())
}

fn refuse_ended(document: &documents::Model) -> Outcome<()> {
    let ended = view::state_of(&document.state)?.is_terminal() || document.deleting;
    if !ended {
        return Ok(());
    }
    let state = &document.state;
    Err(Error::precondition(
        "DOCUMENT_NOT_UNDER_WAY",
        format!("there is no work on the document to cancel; it is {state}"),
    )
    .with_metadata("state", state.clone())
    .into())
}

/// Jobs that process or embed a version of the document and have not ended.
const UNFINISHED: &str = "FROM jobs WHERE tenant_id = $1 AND document_id = $2 AND state IN ('pending', 'running')
    AND stage IN ('process_document', 'embed_document') ORDER BY id";

async fn lock_unfinished(tx: &DatabaseTransaction, tenant: TenantId, id: DocumentId) -> Outcome<Vec<jobs::Model>> {
    let lock = match tx.get_database_backend() {
        DbBackend::Postgres => " FOR UPDATE SKIP LOCKED",
        _ => "",
    };
    Ok(sql::for_tenant(tenant, format!("SELECT * {UNFINISHED}{lock}"), [id.0.into()]).all(tx).await?)
}

async fn unfinished(tx: &DatabaseTransaction, tenant: TenantId, id: DocumentId) -> Outcome<Vec<Uuid>> {
    Ok(sql::for_tenant(tenant, format!("SELECT id {UNFINISHED}"), [id.0.into()]).scalars(tx).await?)
}

async fn call_off(
    store: &Store,
    tx: &DatabaseTransaction,
    document: &documents::Model,
    unfinished: Vec<jobs::Model>,
    now: i64,
) -> Outcome<Document> {
    let (tenant, id) = (TenantId(document.tenant_id), DocumentId(document.id));
    for row in unfinished {
        // One of a form that this program does not know is marked, for those who do.
        let payload = serde_json::from_str(&row.payload).ok();
        let runs = row.state == JobState::Running.as_str();
        let held_by_nobody = !runs || row.lease_expire_time.is_none_or(|end| end <= now);
        match payload {
            Some(payload) if held_by_nobody => {
                let held = Held { tenant, document: id, payload, now, row, announcer: store.announcer() };
                lease::withdraw(tx, &held).await?;
            }
            _ => mark(tx, tenant, &row, now).await?,
        }
    }
    let shown = view::require(tx, tenant, id).await?;
    debug_assert_ne!(shown.state, DocumentState::Indexed);
    Ok(shown)
}

async fn mark(tx: &DatabaseTransaction, tenant: TenantId, row: &jobs::Model, now: i64) -> Outcome<()> {
    sql::for_tenant(
        tenant,
        "UPDATE jobs SET cancel_time = COALESCE(cancel_time, $3) WHERE tenant_id = $1 AND id = $2",
        [row.id.into(), now.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}
