//! What processing and embedding commit.

use sea_orm::{ColumnTrait as _, DatabaseTransaction, QueryFilter as _};
use uuid::Uuid;
use vectrion_core::{
    Error,
    chunk::Chunk,
    document::DocumentState,
    ids::VersionId,
    job::{JobPayload, JobState, Lease},
    ports::{catalog::PageInfo, jobs::ProcessedVersion},
};

use super::{
    lease::{self, Held},
    queue::{self, NewJob},
};
use crate::{
    Store,
    catalog::{change, chunk_rows},
    failure::{Outcome, damaged},
    rows::{chunks, column, document_versions, documents, number, pages},
    sql,
};

pub(super) async fn processing(
    store: &Store,
    lease: &Lease,
    processed: ProcessedVersion,
    next_attempts: u32,
) -> Outcome<()> {
    let tx = store.begin().await?;
    let held = lease::hold(store, &tx, lease).await?;
    let JobPayload::ProcessV1 { version_id } = held.payload else { return Err(wrong_stage("process_document").into()) };
    let page_count = count(processed.pages.len());
    let chunk_count = count(processed.chunks.len());
    if held.row.cancel_time.is_some() {
        return Err(lease::call_off(tx, &held).await?.into());
    }
    // Before the tenant is held, because it may take a while. If the document turns out to be on its way out, so are
    // these rows.
    replace_contents(&tx, &held, version_id, &processed.pages, processed.chunks).await?;
    if held.document(&tx).await?.is_none() {
        return Err(lease::call_off(tx, &held).await?.into());
    }
    sql::for_tenant(
        held.tenant,
        "UPDATE document_versions SET title = $3, warnings = $4, page_count = $5, pages_total = $5, pages_done = $5,
            chunk_count = $6, chunks_total = $6, chunks_done = 0 WHERE tenant_id = $1 AND id = $2",
        [
            version_id.0.into(),
            processed.title.into(),
            serde_json::to_string(&processed.warnings)?.into(),
            column(page_count).into(),
            column(chunk_count).into(),
        ],
    )
    .execute(&tx)
    .await?;
    change::set_version_state(&tx, held.tenant, held.document, version_id, DocumentState::Processed, None, held.now)
        .await?;
    lease::end(&tx, &held.row, JobState::Succeeded, None, held.now).await?;
    queue(&tx, &held, JobPayload::EmbedV1 { version_id }, next_attempts).await?;
    tx.commit().await?;
    Ok(())
}

async fn replace_contents(
    tx: &DatabaseTransaction,
    held: &Held,
    version: VersionId,
    new_pages: &[PageInfo],
    new_chunks: Vec<Chunk>,
) -> Outcome<()> {
    let tenant = held.tenant;
    chunks::delete_for_tenant(tenant).filter(chunks::Column::VersionId.eq(version.0)).exec(tx).await?;
    pages::delete_for_tenant(tenant).filter(pages::Column::VersionId.eq(version.0)).exec(tx).await?;
    let rows = new_pages
        .iter()
        .map(|page| pages::Model {
            version_id: version.0,
            number: column(page.number),
            tenant_id: tenant.0,
            width: page.width.into(),
            height: page.height.into(),
            rotation: page.rotation.into(),
            char_start: page.char_start.into(),
            char_end: page.char_end.into(),
        })
        .collect();
    pages::insert_all(tx, rows).await?;
    let rows: Vec<chunks::Model> = new_chunks
        .into_iter()
        .map(|chunk| chunk_rows::row(tenant, held.document, version, chunk))
        .collect::<Outcome<_>>()?;
    Ok(chunks::insert_all(tx, rows).await?)
}

pub(super) async fn embedding(store: &Store, lease: &Lease) -> Outcome<()> {
    let tx = store.begin().await?;
    let held = lease::hold(store, &tx, lease).await?;
    let JobPayload::EmbedV1 { version_id } = held.payload else { return Err(wrong_stage("embed_document").into()) };
    let Some(document) = held.document(&tx).await? else {
        return Err(lease::call_off(tx, &held).await?.into());
    };
    let version = document_versions::for_tenant(held.tenant)
        .filter(document_versions::Column::Id.eq(version_id.0))
        .one(&tx)
        .await?
        .ok_or_else(|| damaged("a job's version is missing"))?;
    for version_id in show(&tx, &held, &document, &version).await? {
        queue(&tx, &held, JobPayload::DeleteVersionV1 { version_id }, number(held.row.max_attempts)).await?;
    }
    let all = "chunks_total = chunk_count, chunks_done = chunk_count";
    let indexed = DocumentState::Indexed;
    change::advance_version(&tx, held.tenant, held.document, version_id, indexed, all, held.now).await?;
    lease::end(&tx, &held.row, JobState::Succeeded, None, held.now).await?;
    tx.commit().await?;
    Ok(())
}

/// Lets searches see the version, unless they see a higher one already. Gives the versions whose chunks nobody will see any
/// more: the one that it replaces, and lower ones that failed half-way and that nothing else would remove; or else itself.
async fn show(
    tx: &DatabaseTransaction,
    held: &Held,
    document: &documents::Model,
    version: &document_versions::Model,
) -> Outcome<Vec<VersionId>> {
    if document.indexed_version.is_some_and(|indexed| indexed > version.number) {
        return Ok(vec![VersionId(version.id)]);
    }
    sql::for_tenant(
        held.tenant,
        "UPDATE documents SET indexed_version_id = $3, indexed_version = $4, indexed_chunks = $5
            WHERE tenant_id = $1 AND id = $2",
        [document.id.into(), version.id.into(), version.number.into(), i64::from(version.chunk_count).into()],
    )
    .execute(tx)
    .await?;
    let mut hidden: Vec<Uuid> = sql::for_tenant(
        held.tenant,
        "SELECT id FROM document_versions WHERE tenant_id = $1 AND document_id = $2 AND number < $3 AND state = $4
            AND chunk_count > 0 ORDER BY number",
        [document.id.into(), version.number.into(), DocumentState::Failed.as_str().into()],
    )
    .scalars(tx)
    .await?;
    hidden.extend(document.indexed_version_id.filter(|before| !hidden.contains(before)));
    // A version that was embedded again replaces nothing.
    hidden.retain(|before| *before != version.id);
    Ok(hidden.into_iter().map(VersionId).collect())
}

/// Queues what follows from a job.
pub(super) async fn queue(
    tx: &DatabaseTransaction,
    held: &Held,
    payload: JobPayload,
    max_attempts: u32,
) -> Outcome<()> {
    let job = NewJob {
        tenant: held.tenant,
        document: held.document,
        payload,
        max_attempts,
        trace_id: &held.row.trace_id,
        announcer: held.announcer,
    };
    queue::add(tx, job, held.now).await
}

/// A lease was handed to the commit of another stage.
pub(super) fn wrong_stage(stage: &str) -> Error {
    Error::internal("WRONG_STAGE", format!("the job is not one of stage {stage}"))
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
