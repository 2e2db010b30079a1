//! The beginning of a deletion. Its end is a job's: `jobs::deletion`.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend};
use vectrion_core::{
    Error, ErrorKind,
    deletion::DeletionOrder,
    document::{Document, DocumentState},
    ids::{DocumentId, TenantId},
    job::JobPayload,
};

use super::{change, view};
use crate::{
    Store,
    failure::Outcome,
    jobs::queue::{self, NewJob},
    sql,
    time::Timed,
    upkeep::receipts,
};

pub(super) async fn begin(store: &Store, tenant: TenantId, id: DocumentId, order: &DeletionOrder) -> Outcome<Document> {
    let tx = store.begin().await?;
    let Timed { row, now } = change::hold_document(&tx, tenant, id).await?.ok_or_else(view::missing)?;
    if order.at_revision.is_some_and(|revision| revision != row.revision) {
        let message = "the document has changed meanwhile; it was not deleted";
        return Err(Error::new(ErrorKind::Aborted, "DOCUMENT_CHANGED", message).into());
    }
    // A deletion that was given up is begun again.
    if !row.deleting || row.state == DocumentState::Failed.as_str() {
        remove_dead_letters(&tx, tenant, id).await?;
        cancel_waiting(&tx, tenant, id, now).await?;
        let (payload, announcer) = (JobPayload::DeleteDocumentV1 {}, store.announcer());
        let (max_attempts, trace_id) = (order.max_attempts, order.trace_id.as_str());
        let new = NewJob { tenant, document: id, payload, max_attempts, trace_id, announcer };
        queue::add_as(&tx, order.job, new, now).await?;
        receipts::leave_tombstone(&tx, tenant, &row, order, now).await?;
        change::set_deletion_state(&tx, tenant, &row, None, now).await?;
    }
    let document = view::require(&tx, tenant, id).await?;
    tx.commit().await?;
    Ok(document)
}

/// Nothing of a document that is being deleted can be replayed.
pub(crate) async fn remove_dead_letters(tx: &DatabaseTransaction, tenant: TenantId, id: DocumentId) -> Outcome<()> {
    sql::for_tenant(tenant, "DELETE FROM dead_letters WHERE tenant_id = $1 AND document_id = $2", [id.0.into()])
        .execute(tx)
        .await?;
    Ok(())
}

/// Calls off the jobs that wait. One that is being claimed this moment is passed over: its claimer waits for the
/// document, then finds the document being deleted, and calls it off.
async fn cancel_waiting(tx: &DatabaseTransaction, tenant: TenantId, id: DocumentId, now: i64) -> Outcome<()> {
    let skip = match tx.get_database_backend() {
        DbBackend::Postgres => " FOR UPDATE SKIP LOCKED",
        _ => "",
    };
    sql::for_tenant(
        tenant,
        format!(
            "UPDATE jobs SET state = 'cancelled', end_time = $3 WHERE id IN (
                SELECT id FROM jobs WHERE tenant_id = $1 AND document_id = $2 AND state = 'pending'{skip})"
        ),
        [id.0.into(), now.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}
