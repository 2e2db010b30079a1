//! Work on a document that is done again.

use sea_orm::{ColumnTrait as _, DatabaseTransaction, QueryFilter as _};
use vectrion_core::{
    document::DocumentState,
    ids::{DocumentId, JobId, TenantId, VersionId},
    job::{JobPayload, Stage},
};

use crate::{
    Store,
    catalog::change,
    failure::Outcome,
    jobs::queue::{self, NewJob},
    rows::{document_versions, documents},
    sql,
    time::Timed,
};

pub(super) async fn requeue(
    store: &Store,
    tenant: TenantId,
    document: DocumentId,
    payload: JobPayload,
    job: JobId,
    max_attempts: u32,
    trace_id: &str,
) -> Outcome<bool> {
    let tx = store.begin().await?;
    let Some(Timed { row, now }) = change::hold_document(&tx, tenant, document).await? else { return Ok(false) };
    if is_busy(&tx, tenant, document).await? {
        return Ok(false);
    }
    let makes_sense = match &payload {
        JobPayload::ProcessV1 { version_id } => {
            take_back(&tx, tenant, &row, *version_id, DocumentState::Uploaded, now).await?
        }
        JobPayload::EmbedV1 { version_id } => {
            take_back(&tx, tenant, &row, *version_id, DocumentState::Processed, now).await?
        }
        JobPayload::DeleteVersionV1 { version_id } | JobPayload::PurgeVersionV1 { version_id } => {
            !row.deleting
                && row.indexed_version_id != Some(version_id.0)
                && row.newest_version_id != version_id.0
                && is_of(&tx, tenant, document, *version_id).await?.is_some()
        }
        JobPayload::DeleteDocumentV1 {} => row.deleting && row.state != DocumentState::Failed.as_str(),
    };
    if !makes_sense {
        return Ok(false);
    }
    if let JobPayload::PurgeVersionV1 { version_id } = &payload {
        sql::for_tenant(
            tenant,
            "DELETE FROM dead_letters WHERE tenant_id = $1 AND version_id = $2 AND stage = $3",
            [version_id.0.into(), Stage::DeleteDocument.as_str().into()],
        )
        .execute(&tx)
        .await?;
    }
    let new = NewJob { tenant, document, payload, max_attempts, trace_id, announcer: store.announcer() };
    queue::add_as(&tx, job, new, now).await?;
    tx.commit().await?;
    Ok(true)
}

async fn is_busy(tx: &DatabaseTransaction, tenant: TenantId, document: DocumentId) -> Outcome<bool> {
    let found: Option<i32> = sql::for_tenant(
        tenant,
        "SELECT 1 FROM jobs WHERE tenant_id = $1 AND document_id = $2 AND state IN ('pending', 'running') LIMIT 1",
        [document.0.into()],
    )
    .scalar(tx)
    .await?;
    Ok(found.is_some())
}

async fn is_of(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: DocumentId,
    version: VersionId,
) -> Outcome<Option<document_versions::Model>> {
    let row = document_versions::for_tenant(tenant)
        .filter(document_versions::Column::Id.eq(version.0))
        .filter(document_versions::Column::DocumentId.eq(document.0))
        .one(tx)
        .await?;
    Ok(row)
}

/// Moves a version back to a state from which its stage begins.
async fn take_back(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: &documents::Model,
    version: VersionId,
    state: DocumentState,
    now: i64,
) -> Outcome<bool> {
    let id = DocumentId(document.id);
    let Some(row) = is_of(tx, tenant, id, version).await? else { return Ok(false) };
    if document.deleting || document.indexed_version.is_some_and(|indexed| indexed > row.number) {
        return Ok(false);
    }
    sql::for_tenant(tenant, "DELETE FROM dead_letters WHERE tenant_id = $1 AND version_id = $2", [version.0.into()])
        .execute(tx)
        .await?;
    change::set_version_state(tx, tenant, id, version, state, None, now).await?;
    Ok(true)
}
