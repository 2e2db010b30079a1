//! What processing and embedding commit.

use sea_orm::{ColumnTrait as _, DatabaseTransaction, QueryFilter as _};
use uuid::Uuid;
use vectrion_core::{
    Error,
    chunk::Chunk,
    document::DocumentState,
    ids::VersionId,
    job::{JobPayload, JobState, Lease},
    ports::{
        catalog::PageInfo,
        jobs::{NextJob, ProcessedVersion},
    },
};

use super::{
    lease::{self, Held},
    queue,
};
use crate::{
    Store,
    catalog::{
        change::{self, Step},
        chunk_rows,
    },
    failure::{Outcome, damaged},
    rows::{chunks, column, document_versions, documents, number, pages},
    sql,
    time::Timed,
};

pub(super) async fn processing(
    store: &Store,
    lease: &Lease,
    processed: ProcessedVersion,
    next: NextJob,
) -> Outcome<Option<Lease>> {
    let tx = store.begin().await?;
    let held = lease::hold(store, &tx, lease).await?;
    let JobPayload::ProcessV1 { version_id } = held.payload else { return Err(wrong_stage("process_document").into()) };
    let page_count = count(processed.pages.len());
    let chunk_count = count(processed.chunks.len());
    if held.row.cancel_time.is_some() {
        return Err(lease::call_off(tx, &held).await?.into());
    }
    // Before the document is held, because it may take a while. If the document turns out to be on its way out, so are
    // these rows.
    replace_contents(&tx, &held, version_id, &processed.pages, processed.chunks).await?;
    let Some(Timed { now, .. }) = held.document(&tx).await? else {
        return Err(lease::call_off(tx, &held).await?.into());
    };
    let (pages, chunks) = (column(page_count), column(chunk_count));
    let goes_on = next.claim_for.zip(held.row.worker_id.as_deref());
    let state = if goes_on.is_some() { DocumentState::Embedding } else { DocumentState::Processed };
    let step = Step {
        version: vec![
            ("title", processed.title.into()),
            ("warnings", serde_json::to_string(&processed.warnings)?.into()),
            ("page_count", pages.into()),
            ("pages_total", pages.into()),
            ("pages_done", pages.into()),
            ("chunk_count", chunks.into()),
            ("chunks_total", chunks.into()),
            ("chunks_done", 0.into()),
        ],
        ..Step::to(state)
    };
    lease::end(&tx, &held.row, JobState::Succeeded, None, held.now).await?;
    let job = held.next(JobPayload::EmbedV1 { version_id }, next.max_attempts);
    let claimed = match goes_on {
        Some((claim_for, worker)) => Some(queue::add_claimed(&tx, job, worker, claim_for, now).await?),
        None => queue::add(&tx, job, held.now).await.map(|()| None)?,
    };
    change::move_version(&tx, held.tenant, held.document, version_id, step, held.now).await?;
    tx.commit().await?;
    Ok(claimed)
}

async fn replace_contents(
    tx: &DatabaseTransaction,
    held: &Held,
    version: VersionId,
    new_pages: &[PageInfo],
    new_chunks: Vec<Chunk>,
) -> Outcome<()> {
    let tenant = held.tenant;
    // What an earlier try, or the processing before a retry, has committed.
    let before: Option<bool> = sql::for_tenant(
        tenant,
        "SELECT EXISTS (SELECT 1 FROM chunks WHERE tenant_id = $1 AND version_id = $2)
            OR EXISTS (SELECT 1 FROM pages WHERE tenant_id = $1 AND version_id = $2)",
        [version.0.into()],
    )
    .scalar(tx)
    .await?;
    if before.unwrap_or(true) {
        chunks::delete_for_tenant(tenant).filter(chunks::Column::VersionId.eq(version.0)).exec(tx).await?;
        pages::delete_for_tenant(tenant).filter(pages::Column::VersionId.eq(version.0)).exec(tx).await?;
    }
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
    let Some(Timed { row: document, .. }) = held.document(&tx).await? else {
        return Err(lease::call_off(tx, &held).await?.into());
    };
    let version = document_versions::for_tenant(held.tenant)
        .filter(document_versions::Column::Id.eq(version_id.0))
        .one(&tx)
        .await?
        .ok_or_else(|| damaged("a job's version is missing"))?;
    let is_superseded = document.indexed_version.is_some_and(|indexed| indexed > version.number);
    let hidden = if is_superseded { vec![version_id] } else { hidden_by(&tx, &held, &document, &version).await? };
    for version_id in hidden {
        let removal = held.next(JobPayload::DeleteVersionV1 { version_id }, number(held.row.max_attempts));
        queue::add(&tx, removal, held.now).await?;
    }
    let chunks = version.chunk_count;
    let mut step = Step {
        version: vec![("chunks_total", chunks.into()), ("chunks_done", chunks.into())],
        ..Step::to(DocumentState::Indexed)
    };
    if !is_superseded {
        // From the commit on, searches see it.
        step.document = vec![
            ("indexed_version_id", version.id.into()),
            ("indexed_version", version.number.into()),
            ("indexed_chunks", i64::from(chunks).into()),
        ];
    }
    lease::end(&tx, &held.row, JobState::Succeeded, None, held.now).await?;
    change::move_version(&tx, held.tenant, held.document, version_id, step, held.now).await?;
    tx.commit().await?;
    Ok(())
}

/// The versions whose chunks nobody will see any more when searches see this one: the one that it replaces, and lower ones
/// that failed half-way and that nothing else would remove.
async fn hidden_by(
    tx: &DatabaseTransaction,
    held: &Held,
    document: &documents::Model,
    version: &document_versions::Model,
) -> Outcome<Vec<VersionId>> {
    if version.number == 1 {
        return Ok(Vec::new());
    }
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

/// A lease was handed to the commit of another stage.
pub(super) fn wrong_stage(stage: &str) -> Error {
    Error::internal("WRONG_STAGE", format!("the job is not one of stage {stage}"))
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
