//! Dead letters.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbBackend, FromQueryResult, QueryFilter as _,
    QuerySelect as _,
};
use uuid::Uuid;
use vectrion_core::{
    Error,
    document::DocumentState,
    ids::{DeadLetterId, DocumentId, JobId, TenantId, VersionId},
    job::{DeadLetter, DeadLetterCause, Job, JobPayload, Stage},
    page::{Page, PageRequest},
    ports::jobs::{DeadLetterFilter, DeadLetterSelection},
    time::Timestamp,
};

use super::{lease, millis, queue};
use crate::{
    Store,
    catalog::change,
    failure::{Outcome, damaged},
    page_token::{self, List},
    rows::{self, dead_letters, documents, jobs, number},
    sql::{self, Sql},
    time::{self, Timed},
};

pub(super) async fn list<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    filter: &DeadLetterFilter,
    page: &PageRequest,
) -> Outcome<Page<DeadLetter>> {
    let list = List::new("dead_letters", (tenant, filter));
    let mut query = sql::for_tenant(tenant, "SELECT * FROM dead_letters d WHERE d.tenant_id = $1", []);
    add_conditions(&mut query, connection.get_database_backend(), filter);
    if let Some((time, id)) = list.after::<(i64, Uuid)>(page)? {
        query.push(" AND (d.create_time, d.id) < (").bind(time).push(", ").bind(id).push(")");
    }
    query.push(" ORDER BY d.create_time DESC, d.id DESC LIMIT ").bind(page_token::limit(page));
    let rows: Vec<dead_letters::Model> = query.all(connection).await?;
    let page = list.page(rows, page, |row| (row.create_time, row.id))?;
    Ok(Page { items: page.items.into_iter().map(dead_letter_of).collect::<Outcome<_>>()?, next: page.next })
}

/// Conditions on dead letters `d` of the tenant `$1`.
fn add_conditions(query: &mut Sql, backend: DbBackend, filter: &DeadLetterFilter) {
    if let Some(stage) = filter.stage {
        query.push(" AND d.stage = ").bind(stage.as_str());
    }
    if let Some(reason) = &filter.reason {
        query.push(" AND d.reason = ").bind(reason.as_str());
    }
    if let Some(age) = filter.min_age {
        query.push(" AND d.create_time <= ").push(time::now_expression(backend)).push(" - ").bind(millis(age));
    }
    if let Some(collection) = filter.collection {
        query.push(
            " AND EXISTS (SELECT 1 FROM documents c WHERE c.tenant_id = $1 AND c.id = d.document_id AND c.collection_id = ",
        );
        query.bind(collection.0).push(")");
    }
}

#[derive(FromQueryResult)]
struct Cause {
    stage: String,
    reason: String,
    count: i64,
    first_time: i64,
    last_time: i64,
}

/// Counted within the index of causes, unless a collection is asked for.
pub(crate) fn causes_query(backend: DbBackend, tenant: TenantId, filter: &DeadLetterFilter, limit: u32) -> Sql {
    let mut query = sql::for_tenant(
        tenant,
        "SELECT d.stage, d.reason, COUNT(*) AS count, MIN(d.create_time) AS first_time, MAX(d.create_time) AS last_time
            FROM dead_letters d WHERE d.tenant_id = $1",
        [],
    );
    add_conditions(&mut query, backend, filter);
    query.push(" GROUP BY d.stage, d.reason ORDER BY 3 DESC, d.stage, d.reason LIMIT ").bind(i64::from(limit));
    query
}

pub(super) async fn causes(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    filter: &DeadLetterFilter,
    limit: u32,
) -> Outcome<Vec<DeadLetterCause>> {
    let rows: Vec<Cause> = causes_query(tx.get_database_backend(), tenant, filter, limit).all(tx).await?;
    let mut causes = Vec::with_capacity(rows.len());
    for row in rows {
        let stage = stage_of(&row.stage)?;
        let own = DeadLetterFilter { stage: Some(stage), reason: Some(row.reason.clone()), ..filter.clone() };
        let mut newest = sql::for_tenant(tenant, "SELECT * FROM dead_letters d WHERE d.tenant_id = $1", []);
        add_conditions(&mut newest, tx.get_database_backend(), &own);
        newest.push(" ORDER BY d.create_time DESC, d.id DESC LIMIT 1");
        // With an age asked for, one more may be old enough by now; none is fewer.
        let Some(example) = newest.one(tx).await? else { continue };
        causes.push(DeadLetterCause {
            stage,
            reason: row.reason,
            count: rows::size(row.count),
            first_time: Timestamp(row.first_time),
            last_time: Timestamp(row.last_time),
            example: dead_letter_of(example)?,
        });
    }
    Ok(causes)
}

pub(super) async fn select(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    selection: &DeadLetterSelection,
    limit: u32,
) -> Outcome<(Vec<DeadLetterId>, u64)> {
    let selected = |what: &str| {
        let mut query =
            sql::for_tenant(tenant, format!("SELECT {what} FROM dead_letters d WHERE d.tenant_id = $1"), []);
        match selection {
            DeadLetterSelection::Ids(ids) => {
                query.push(" AND d.id IN ").bind_list(ids.iter().map(|id| id.0));
            }
            DeadLetterSelection::Matching(filter) => add_conditions(&mut query, tx.get_database_backend(), filter),
        }
        query
    };
    let count: Option<i64> = selected("COUNT(*)").scalar(tx).await?;
    let mut oldest = selected("d.id");
    oldest.push(" ORDER BY d.create_time, d.id LIMIT ").bind(i64::from(limit));
    let ids: Vec<Uuid> = oldest.scalars(tx).await?;
    Ok((ids.into_iter().map(DeadLetterId).collect(), rows::size(count.unwrap_or(0))))
}

pub(super) async fn purge(store: &Store, tenant: TenantId, ids: &[DeadLetterId]) -> Outcome<u64> {
    let mut query = sql::for_tenant(tenant, "DELETE FROM dead_letters WHERE tenant_id = $1 AND id IN ", []);
    query.bind_list(ids.iter().map(|id| id.0));
    Ok(query.execute(store.writer()).await?)
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
    let dead = row(&tx, tenant, id).await?.ok_or_else(missing)?;
    let job_id = JobId(dead.job_id);
    jobs::for_tenant(tenant).filter(jobs::Column::Id.eq(job_id.0)).lock_exclusive().one(&tx).await?;
    let known = change::hold_document(&tx, tenant, DocumentId(dead.document_id)).await?;
    let Timed { row: document, now } = known.ok_or_else(missing)?;
    let removed = dead_letters::delete_for_tenant(tenant).filter(dead_letters::Column::Id.eq(id.0)).exec(&tx).await?;
    if removed.rows_affected == 0 {
        return Err(missing().into());
    }
    sql::for_tenant(
        tenant,
        "UPDATE jobs SET state = 'pending', attempts = 0, interruptions = 0, run_time = $3, trace_id = $4,
            start_time = NULL, end_time = NULL, cancel_time = NULL WHERE tenant_id = $1 AND id = $2",
        [job_id.0.into(), now.into(), trace_id.into()],
    )
    .execute(&tx)
    .await?;
    let job = queue::job_of(lease::row(&tx, tenant, job_id).await?.ok_or_else(missing)?)?;
    store.announcer().ready(&tx, job_id.0, job.payload.stage().as_str(), now, trace_id).await?;
    show_again(&tx, tenant, &job, &document, now).await?;
    tx.commit().await?;
    Ok(job)
}

/// Takes the failure back from the version, or the document, that had failed with the job.
async fn show_again(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    job: &Job,
    document: &documents::Model,
    now: i64,
) -> Outcome<()> {
    let (version, state) = match &job.payload {
        JobPayload::ProcessV1 { version_id } => (*version_id, DocumentState::Uploaded),
        JobPayload::EmbedV1 { version_id } => (*version_id, DocumentState::Processed),
        // Of a version that was indexed, the failure was that of its removal; one that had failed before keeps its own.
        JobPayload::DeleteVersionV1 { version_id } | JobPayload::PurgeVersionV1 { version_id } => {
            if !failed_in_removal(tx, tenant, *version_id).await? {
                return Ok(());
            }
            (*version_id, DocumentState::Indexed)
        }
        JobPayload::DeleteDocumentV1 {} => {
            return change::set_deletion_state(tx, tenant, document, None, now).await;
        }
    };
    change::set_version_state(tx, tenant, job.document, version, state, None, now).await
}

async fn failed_in_removal(tx: &DatabaseTransaction, tenant: TenantId, version: VersionId) -> Outcome<bool> {
    let failure = change::version_failure(tx, tenant, version).await?;
    Ok(failure.is_some_and(|failure| failure.stage == Stage::DeleteDocument.as_str()))
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
        stage: stage_of(&row.stage)?,
        reason: row.reason,
        message: row.message,
        attempts: number(row.attempts),
        trace_id: row.trace_id,
        create_time: Timestamp(row.create_time),
    })
}

fn stage_of(name: &str) -> Outcome<Stage> {
    Ok(name.parse().map_err(|error: Error| damaged("a dead letter has an unknown stage").with_source(error))?)
}
