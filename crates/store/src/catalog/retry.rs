//! Another try for a document that has failed.

use sea_orm::{ColumnTrait as _, DatabaseTransaction, QueryFilter as _, QueryOrder as _};
use vectrion_core::{
    Error,
    document::{Document, DocumentState},
    ids::{DocumentId, JobId, TenantId, VersionId},
    job::{JobPayload, Stage},
};

use super::{change, view};
use crate::{
    Store,
    failure::Outcome,
    jobs::queue::{self, NewJob},
    rows::{dead_letters, documents, jobs, number},
    sql,
    time::Timed,
};

/// Tries of the new job when the one that failed is no longer there to say how many it had.
const DEFAULT_ATTEMPTS: u32 = 5;

pub(super) async fn retry(
    store: &Store,
    tenant: TenantId,
    id: DocumentId,
    job: JobId,
    trace_id: &str,
) -> Outcome<Document> {
    let tx = store.begin().await?;
    let Timed { row, now } = change::hold_document(&tx, tenant, id).await?.ok_or_else(view::missing)?;
    if row.state != DocumentState::Failed.as_str() {
        return Err(Error::precondition(
            "DOCUMENT_NOT_FAILED",
            format!("the document has not failed; it is {}", row.state),
        )
        .with_metadata("state", row.state)
        .into());
    }
    let stage = failed_stage(&tx, tenant, &row).await?;
    let version_id = VersionId(row.newest_version_id);
    let failed = jobs::for_tenant(tenant)
        .filter(jobs::Column::DocumentId.eq(row.id))
        .filter(jobs::Column::Stage.eq(stage.as_str()))
        .filter(if stage == Stage::DeleteDocument {
            jobs::Column::VersionId.is_null()
        } else {
            jobs::Column::VersionId.eq(version_id.0)
        })
        .order_by_desc(jobs::Column::CreateTime)
        .order_by_desc(jobs::Column::Id)
        .one(&tx)
        .await?;
    // Also that of the removal of its chunks, which are about to be replaced.
    dead_letters::delete_for_tenant(tenant)
        .filter(dead_letters::Column::DocumentId.eq(row.id))
        .filter(if stage == Stage::DeleteDocument {
            dead_letters::Column::VersionId.is_null()
        } else {
            dead_letters::Column::VersionId.eq(version_id.0)
        })
        .exec(&tx)
        .await?;

    let (payload, state) = match stage {
        Stage::ProcessDocument => (JobPayload::ProcessV1 { version_id }, DocumentState::Uploaded),
        Stage::EmbedDocument => (JobPayload::EmbedV1 { version_id }, DocumentState::Processed),
        Stage::DeleteDocument => (JobPayload::DeleteDocumentV1 {}, DocumentState::Deleting),
    };
    let max_attempts = failed.map_or(DEFAULT_ATTEMPTS, |job| number(job.max_attempts));
    let announcer = store.announcer();
    queue::add_as(&tx, job, NewJob { tenant, document: id, payload, max_attempts, trace_id, announcer }, now).await?;
    if stage == Stage::DeleteDocument {
        change::set_deletion_state(&tx, tenant, &row, None, now).await?;
    } else {
        change::set_version_state(&tx, tenant, id, version_id, state, None, now).await?;
    }
    let document = view::require(&tx, tenant, id).await?;
    tx.commit().await?;
    Ok(document)
}

async fn failed_stage(tx: &DatabaseTransaction, tenant: TenantId, row: &documents::Model) -> Outcome<Stage> {
    if row.deleting {
        return Ok(Stage::DeleteDocument);
    }
    let version_id = VersionId(row.newest_version_id);
    let failure = change::version_failure(tx, tenant, version_id).await?;
    let stage = failure.and_then(|failure| failure.stage.parse().ok());
    if stage == Some(Stage::EmbedDocument) && has_its_chunks(tx, tenant, version_id).await? {
        return Ok(Stage::EmbedDocument);
    }
    // Without a known stage, or without chunks, the work begins at its beginning.
    Ok(Stage::ProcessDocument)
}

/// Whether a version has chunks that nobody is about to remove, as is done after work on it was called off.
async fn has_its_chunks(tx: &DatabaseTransaction, tenant: TenantId, version: VersionId) -> Outcome<bool> {
    let found: Option<i32> = sql::for_tenant(
        tenant,
        "SELECT 1 FROM document_versions v WHERE v.tenant_id = $1 AND v.id = $2 AND v.chunk_count > 0
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.document_id = v.document_id AND j.version_id = v.id
                AND j.stage = 'delete_document' AND j.state IN ('pending', 'running'))",
        [version.0.into()],
    )
    .scalar(tx)
    .await?;
    Ok(found.is_some())
}
