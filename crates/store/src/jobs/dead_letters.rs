//! Dead letters.

use sea_orm::{ColumnTrait as _, ConnectionTrait, DatabaseTransaction, QueryFilter as _, QuerySelect as _};
use uuid::Uuid;
use vectrion_core::{
    Error,
    document::DocumentState,
    ids::{DeadLetterId, DocumentId, JobId, TenantId},
    job::{DeadLetter, Job, JobPayload},
    page::{Page, PageRequest},
    time::Timestamp,
};

use super::{lease, queue};
use crate::{
    Store,
    catalog::change,
    failure::{Outcome, damaged},
    page_token::{self, List},
    rows::{dead_letters, jobs, number},
    sql, time,
};

pub(super) async fn list<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    reason: Option<&str>,
    page: &PageRequest,
) -> Outcome<Page<DeadLetter>> {
    let list = List::new("dead_letters", (tenant, reason));
    let mut query = sql::for_tenant(tenant, "SELECT * FROM dead_letters WHERE tenant_id = $1", []);
    if let Some(reason) = reason {
        query.push(" AND reason = ").bind(reason);
    }
    if let Some((time, id)) = list.after::<(i64, Uuid)>(page)? {
        query.push(" AND (create_time, id) < (").bind(time).push(", ").bind(id).push(")");
    }
    query.push(" ORDER BY create_time DESC, id DESC LIMIT ").bind(page_token::limit(page));
    let rows: Vec<dead_letters::Model> = query.all(connection).await?;
    let page = list.page(rows, page, |row| (row.create_time, row.id))?;
    Ok(Page { items: page.items.into_iter().map(dead_letter_of).collect::<Outcome<_>>()?, next: page.next })
}

pub(super) async fn by_id<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    id: DeadLetterId,
) -> Outcome<Option<DeadLetter>> {
    row(connection, tenant, id).await?.map(dead_letter_of).transpose()
}

pub(super) async fn replay(store: &Store, tenant: TenantId, id: DeadLetterId, trace_id: &str) -> Outcome<Job> {
    let tx = store.begin().await?;
    // The job first: see the order of locks.
    let job_id = JobId(row(&tx, tenant, id).await?.ok_or_else(missing)?.job_id);
    jobs::for_tenant(tenant).filter(jobs::Column::Id.eq(job_id.0)).lock_exclusive().one(&tx).await?;
    time::lock_tenant(&tx, tenant).await?;
    let removed = dead_letters::delete_for_tenant(tenant).filter(dead_letters::Column::Id.eq(id.0)).exec(&tx).await?;
    if removed.rows_affected == 0 {
        return Err(missing().into());
    }
    let now = time::now(&tx).await?;
    sql::for_tenant(
        tenant,
        "UPDATE jobs SET state = 'pending', attempts = 0, interruptions = 0, run_time = $3, trace_id = $4,
            start_time = NULL, end_time = NULL WHERE tenant_id = $1 AND id = $2",
        [job_id.0.into(), now.into(), trace_id.into()],
    )
    .execute(&tx)
    .await?;
    let job = queue::job_of(lease::row(&tx, tenant, job_id).await?.ok_or_else(missing)?)?;
    store.announcer().ready(&tx, job_id.0, job.payload.stage().as_str(), now, trace_id).await?;
    show_again(&tx, tenant, &job, now).await?;
    tx.commit().await?;
    Ok(job)
}

/// Takes the failure back from the version, or the document, that had failed with the job.
async fn show_again(tx: &DatabaseTransaction, tenant: TenantId, job: &Job, now: i64) -> Outcome<()> {
    let (version, state) = match &job.payload {
        JobPayload::ProcessV1 { version_id } => (*version_id, DocumentState::Uploaded),
        JobPayload::EmbedV1 { version_id } => (*version_id, DocumentState::Processed),
        // Only versions that were indexed, or replaced before they were, are removed.
        JobPayload::DeleteVersionV1 { version_id } => (*version_id, DocumentState::Indexed),
        JobPayload::DeleteDocumentV1 {} => {
            let row = change::document_row(tx, tenant, job.document)
                .await?
                .ok_or_else(|| damaged("a dead letter's document is missing"))?;
            return change::set_deletion_state(tx, tenant, &row, None, now).await;
        }
    };
    change::set_version_state(tx, tenant, job.document, version, state, None, now).await
}

async fn row<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    id: DeadLetterId,
) -> Outcome<Option<dead_letters::Model>> {
    Ok(dead_letters::for_tenant(tenant).filter(dead_letters::Column::Id.eq(id.0)).one(connection).await?)
}

fn missing() -> Error {
    Error::not_found("DEAD_LETTER_NOT_FOUND", "there is no such dead letter; it may have been replayed already")
}

pub(super) fn dead_letter_of(row: dead_letters::Model) -> Outcome<DeadLetter> {
    Ok(DeadLetter {
        id: DeadLetterId(row.id),
        tenant: TenantId(row.tenant_id),
        job: JobId(row.job_id),
        document: DocumentId(row.document_id),
        stage: row
            .stage
            .parse()
            .map_err(|error: Error| damaged("a dead letter has an unknown stage").with_source(error))?,
        reason: row.reason,
        message: row.message,
        attempts: number(row.attempts),
        trace_id: row.trace_id,
        create_time: Timestamp(row.create_time),
    })
}
