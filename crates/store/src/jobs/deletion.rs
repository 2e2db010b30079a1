//! What a deletion commits.

use sea_orm::{ColumnTrait as _, DatabaseTransaction, QueryFilter as _, QueryOrder as _};
use vectrion_core::{
    ids::{DocumentId, TenantId, VersionId},
    job::{JobPayload, Lease},
};

use super::{commit, lease};
use crate::{
    Store, answers,
    catalog::{change, deletion::remove_dead_letters},
    failure::Outcome,
    rows::{chunks, document_metadata, document_versions, documents},
    sql,
};

pub(super) async fn versions(tx: &DatabaseTransaction, lease: &Lease) -> Outcome<Vec<VersionId>> {
    lease::check(tx, lease).await?;
    let job = &lease.job;
    match &job.payload {
        JobPayload::DeleteVersionV1 { version_id } => {
            let document = change::document_row(tx, job.tenant, job.document).await?;
            Ok(if is_shown(document.as_ref(), *version_id) { Vec::new() } else { vec![*version_id] })
        }
        JobPayload::DeleteDocumentV1 {} => {
            let rows = document_versions::for_tenant(job.tenant)
                .filter(document_versions::Column::DocumentId.eq(job.document.0))
                .order_by_asc(document_versions::Column::Number)
                .all(tx)
                .await?;
            Ok(rows.into_iter().map(|row| VersionId(row.id)).collect())
        }
        JobPayload::ProcessV1 { .. } | JobPayload::EmbedV1 { .. } => Err(commit::wrong_stage("delete_document").into()),
    }
}

pub(super) async fn finish(store: &Store, lease: &Lease) -> Outcome<()> {
    let tx = store.begin().await?;
    let held = lease::hold(&tx, lease).await?;
    let Some(document) = held.document(&tx).await? else {
        return Err(lease::call_off(tx, &held).await?.into());
    };
    let whole = match &held.payload {
        JobPayload::DeleteVersionV1 { version_id } => {
            if !is_shown(Some(&document), *version_id) {
                remove_version(&tx, held.tenant, *version_id).await?;
            }
            false
        }
        JobPayload::DeleteDocumentV1 {} => {
            remove_document(&tx, held.tenant, &document, held.row.id, held.now).await?;
            true
        }
        JobPayload::ProcessV1 { .. } | JobPayload::EmbedV1 { .. } => {
            return Err(commit::wrong_stage("delete_document").into());
        }
    };
    lease::end(&tx, &held.row, "succeeded", held.now).await?;
    tx.commit().await?;
    if whole {
        forget_text(store).await;
    }
    Ok(())
}

/// The version that searches see is never removed alone.
fn is_shown(document: Option<&documents::Model>, version: VersionId) -> bool {
    document.is_some_and(|document| document.indexed_version_id == Some(version.0))
}

async fn remove_version(tx: &DatabaseTransaction, tenant: TenantId, version: VersionId) -> Outcome<()> {
    chunks::delete_for_tenant(tenant).filter(chunks::Column::VersionId.eq(version.0)).exec(tx).await?;
    sql::for_tenant(
        tenant,
        "UPDATE document_versions SET chunk_count = 0 WHERE tenant_id = $1 AND id = $2",
        [version.0.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn remove_document(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: &documents::Model,
    job: uuid::Uuid,
    now: i64,
) -> Outcome<()> {
    let id = DocumentId(document.id);
    answers::redaction::forget_document(tx, tenant, id).await?;
    for table in ["chunks", "pages"] {
        sql::for_tenant(
            tenant,
            format!(
                "DELETE FROM {table} WHERE tenant_id = $1 AND version_id IN
                    (SELECT id FROM document_versions WHERE tenant_id = $1 AND document_id = $2)"
            ),
            [id.0.into()],
        )
        .execute(tx)
        .await?;
    }
    document_metadata::delete_for_tenant(tenant)
        .filter(document_metadata::Column::DocumentId.eq(id.0))
        .exec(tx)
        .await?;
    document_versions::delete_for_tenant(tenant)
        .filter(document_versions::Column::DocumentId.eq(id.0))
        .exec(tx)
        .await?;
    documents::delete_for_tenant(tenant).filter(documents::Column::Id.eq(id.0)).exec(tx).await?;
    remove_dead_letters(tx, tenant, id).await?;
    // Its other jobs go with it; the one that deletes it stays as the record that it did.
    sql::for_tenant(
        tenant,
        "DELETE FROM jobs WHERE tenant_id = $1 AND document_id = $2 AND id <> $3",
        [id.0.into(), job.into()],
    )
    .execute(tx)
    .await?;
    let revision = change::next_revision(tx, tenant).await?;
    sql::for_tenant(
        tenant,
        "INSERT INTO document_ends (tenant_id, revision, document_id, collection_id, end_time)
            VALUES ($1, $2, $3, $4, $5)",
        [revision.into(), id.0.into(), document.collection_id.into(), now.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// After the last of the deletions that wait or run, clears what they removed from SQLite's log too. The rows are gone
/// already; a failure here changes nothing about that.
async fn forget_text(store: &Store) {
    let others = sql::across_tenants(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM jobs WHERE state = 'pending' AND stage = 'delete_document')
            OR EXISTS (SELECT 1 FROM jobs WHERE state = 'running' AND stage = 'delete_document')",
        [],
    )
    .scalar::<i32, _>(store.reader())
    .await;
    if matches!(others, Ok(None))
        && let Err(error) = store.truncate_log().await
    {
        tracing::warn!(%error, "the database's log was not cleared of deleted text; the next deletion will");
    }
}
