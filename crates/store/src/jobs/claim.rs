//! The fair claim: of the tenant with the fewest running jobs, the job that waits longest and whose document nobody works
//! on.
//!
//! First the front of the queue is read, whoever the jobs are of: the first job there whose tenant has none running is the
//! one. That is the rule when many tenants wait, and costs the same for any number of them. Only when all of the front
//! belongs to tenants that are being served is every tenant that waits looked at: for each stage, the index of waiting jobs
//! is in order of tenant, then of the time since when a job waits, and a recursive query steps from tenant to tenant in it,
//! a look-up or two each, however many jobs there are.

use std::{collections::HashSet, time::Duration};

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend};
use uuid::Uuid;
use vectrion_core::{
    document::DocumentState,
    ids::{DocumentId, JobId, TenantId, WorkerId},
    job::{JobPayload, JobState, Lease, Stage},
};

use super::{
    lease::{self, Held},
    millis, queue,
};
use crate::{
    Store,
    catalog::change::{self, Step},
    failure::Outcome,
    rows::{documents, jobs},
    sql::{self, Sql},
    time::{self, Timed},
};

/// Candidates looked at in a call. One that turns out not to be free any more is passed over.
const TRIES: u32 = 16;
/// Jobs of each stage that are the front of the queue.
const FRONT: i64 = 64;
/// Jobs in a form that this program does not know that are passed over in a call.
const UNKNOWN: usize = 500;

pub(super) async fn claim(
    store: &Store,
    stages: &[Stage],
    worker: &WorkerId,
    lease_for: Duration,
) -> Outcome<Option<Lease>> {
    // Without anything to do, which is the rule, no transaction is opened.
    if stages.is_empty() {
        return Ok(None);
    }
    let Some(now) = any_ready(store.backend(), stages).scalar(store.reader()).await? else { return Ok(None) };
    let (mut tries, mut unknown, mut lease) = (0, Vec::new(), None);
    while tries < TRIES && unknown.len() < UNKNOWN {
        let tx = store.begin().await?;
        let Some(candidate) = candidate(&tx, stages, &unknown, now).await? else { break };
        let id = candidate.id;
        match take(store, &tx, candidate, worker, lease_for).await? {
            Taken::Lease(taken) => {
                tx.commit().await?;
                lease = Some(*taken);
                break;
            }
            Taken::CalledOff => tx.commit().await?,
            Taken::Busy => tx.rollback().await?,
            Taken::Unknown => {
                tx.rollback().await?;
                unknown.push(id);
                continue;
            }
        }
        tries += 1;
    }
    if let Some(id) = unknown.first() {
        tracing::warn!(
            jobs = unknown.len(),
            job_id = %id,
            "jobs of a newer version of the program wait; this one leaves them alone"
        );
    }
    Ok(lease)
}

/// The time, if a job is ready.
pub(crate) fn any_ready(backend: DbBackend, stages: &[Stage]) -> Sql {
    // As a subquery: PostgreSQL looks nothing up by a value that may change from row to row.
    let now = format!("(SELECT {})", time::now_expression(backend));
    let mut query = sql::across_tenants(format!("SELECT {now} WHERE FALSE"), []);
    for stage in stages {
        query.push(" OR EXISTS (SELECT 1 FROM jobs j WHERE j.state = 'pending' AND j.stage = ").bind(stage.as_str());
        query.push(" AND j.run_time <= ").push(&now).push(")");
    }
    query
}

/// Tenants at the front of the queue none of whose jobs is running, longest waiting first. A tenant may occur often.
pub(crate) fn front(stages: &[Stage], now: i64) -> Sql {
    let mut query = sql::across_tenants("SELECT f.tenant_id FROM (", []);
    for (i, stage) in stages.iter().enumerate() {
        query.push(if i == 0 { "" } else { " UNION ALL " });
        query
            .push("SELECT * FROM (SELECT j.tenant_id, j.run_time FROM jobs j WHERE j.state = 'pending' AND j.stage = ")
            .bind(stage.as_str())
            .push(" AND j.run_time <= ")
            .bind(now)
            .push(" ORDER BY j.run_time LIMIT ")
            .bind(FRONT)
            .push(&format!(") AS front_{i}"));
    }
    query.push(
        ") f WHERE NOT EXISTS (SELECT 1 FROM jobs r WHERE r.state = 'running' AND r.tenant_id = f.tenant_id)
            ORDER BY f.run_time",
    );
    query
}

/// Tenants with ready jobs, fewest running jobs first, then longest waiting. A tenant may occur once for each stage.
pub(crate) fn waiting(backend: DbBackend, stages: &[Stage]) -> Sql {
    let now = time::now_expression(backend);
    let mut query = sql::across_tenants("WITH RECURSIVE stages(stage) AS (", []);
    add_stages(&mut query, stages);
    query.push(
        "), heads(stage, tenant_id) AS (
            SELECT s.stage, (SELECT j.tenant_id FROM jobs j WHERE j.state = 'pending' AND j.stage = s.stage
                ORDER BY j.tenant_id LIMIT 1) FROM stages s
            UNION ALL
            SELECT h.stage, (SELECT j.tenant_id FROM jobs j WHERE j.state = 'pending' AND j.stage = h.stage
                AND j.tenant_id > h.tenant_id ORDER BY j.tenant_id LIMIT 1) FROM heads h WHERE h.tenant_id IS NOT NULL
        ), waiting AS (
            SELECT h.tenant_id,
                (SELECT j.run_time FROM jobs j WHERE j.state = 'pending' AND j.stage = h.stage
                    AND j.tenant_id = h.tenant_id ORDER BY j.run_time LIMIT 1) AS run_time,
                (SELECT COUNT(*) FROM jobs r WHERE r.state = 'running' AND r.tenant_id = h.tenant_id) AS running
            FROM heads h WHERE h.tenant_id IS NOT NULL
        ) SELECT w.tenant_id FROM waiting w WHERE w.run_time <= ",
    );
    query.push(now).push(" ORDER BY w.running, w.run_time");
    query
}

fn add_stages(query: &mut Sql, stages: &[Stage]) {
    for (i, stage) in stages.iter().enumerate() {
        query.push(if i == 0 { "SELECT " } else { " UNION SELECT " });
        query.push("CAST(").bind(stage.as_str()).push(" AS TEXT)");
    }
}

/// The fairest job that was ready at a time and whose document nobody works on. On PostgreSQL its row is locked, and rows
/// that others have locked are passed over.
async fn candidate(
    tx: &DatabaseTransaction,
    stages: &[Stage],
    unknown: &[Uuid],
    now: i64,
) -> Outcome<Option<jobs::Model>> {
    let tenants: Vec<Uuid> = front(stages, now).scalars(tx).await?;
    if let Some(found) = oldest_of(tx, tenants, stages, unknown, now).await? {
        return Ok(Some(found));
    }
    let tenants = waiting(tx.get_database_backend(), stages).scalars(tx).await?;
    oldest_of(tx, tenants, stages, unknown, now).await
}

/// The oldest job that can be claimed of the first of these tenants that has one.
async fn oldest_of(
    tx: &DatabaseTransaction,
    tenants: Vec<Uuid>,
    stages: &[Stage],
    unknown: &[Uuid],
    now: i64,
) -> Outcome<Option<jobs::Model>> {
    let mut seen = HashSet::new();
    for tenant in tenants {
        if !seen.insert(tenant) {
            continue;
        }
        let query = oldest(tx.get_database_backend(), TenantId(tenant), stages, unknown, now);
        let candidates: Vec<jobs::Model> = query.all(tx).await?;
        let oldest = candidates.into_iter().min_by_key(|candidate| (candidate.run_time, candidate.id));
        if oldest.is_some() {
            return Ok(oldest);
        }
    }
    Ok(None)
}

/// Of each stage, the oldest ready job of a tenant whose document nobody works on.
pub(crate) fn oldest(backend: DbBackend, tenant: TenantId, stages: &[Stage], unknown: &[Uuid], now: i64) -> Sql {
    let lock = match backend {
        DbBackend::Postgres => " FOR UPDATE OF j SKIP LOCKED",
        _ => "",
    };
    let mut query = sql::across_tenants("", []);
    for (i, stage) in stages.iter().enumerate() {
        query.push(if i == 0 { "" } else { " UNION ALL " });
        query
            .push(
                "SELECT * FROM (SELECT j.* FROM jobs j
                    WHERE j.state = 'pending' AND j.stage = ",
            )
            .bind(stage.as_str())
            .push(" AND j.tenant_id = ")
            .bind(tenant.0)
            .push(" AND j.run_time <= ")
            .bind(now)
            .push(
                " AND NOT EXISTS (SELECT 1 FROM jobs r WHERE r.state = 'running'
                    AND r.document_id = j.document_id AND r.lease_expire_time > ",
            )
            .bind(now)
            .push(")");
        if !unknown.is_empty() {
            query.push(" AND j.id NOT IN ").bind_list(unknown.iter().copied());
        }
        query.push(&format!(" ORDER BY j.run_time, j.id LIMIT 1{lock}) AS stage_{i}"));
    }
    query
}

enum Taken {
    Lease(Box<Lease>),
    /// Its document is being deleted, or gone, or there is nothing to do for it any more: the job was cancelled.
    CalledOff,
    /// Somebody began to work on its document meanwhile.
    Busy,
    /// Of a form that this program does not know: left to those who do.
    Unknown,
}

async fn take(
    store: &Store,
    tx: &DatabaseTransaction,
    row: jobs::Model,
    worker: &WorkerId,
    lease_for: Duration,
) -> Outcome<Taken> {
    let (tenant, id, document) = (TenantId(row.tenant_id), JobId(row.id), DocumentId(row.document_id));
    // From here on nothing about the document changes; nothing about the job did since it was found.
    let Some(Timed { row: known, now }) = change::hold_document(tx, tenant, document).await? else {
        let now = time::now(tx).await?;
        lease::end(tx, &row, JobState::Cancelled, None, now).await?;
        return Ok(Taken::CalledOff);
    };
    let busy: Option<i32> = sql::for_tenant(
        tenant,
        "SELECT 1 FROM jobs WHERE tenant_id = $1 AND state = 'running' AND document_id = $2 AND lease_expire_time > $3
            LIMIT 1",
        [document.0.into(), now.into()],
    )
    .scalar(tx)
    .await?;
    if busy.is_some() {
        return Ok(Taken::Busy);
    }
    let Ok(payload) = serde_json::from_str::<JobPayload>(&row.payload) else { return Ok(Taken::Unknown) };
    let deletes_document = payload == JobPayload::DeleteDocumentV1 {};
    if known.deleting != deletes_document {
        lease::end(tx, &row, JobState::Cancelled, None, now).await?;
        return Ok(Taken::CalledOff);
    }
    if row.cancel_time.is_some() {
        // Its worker, which did not know of this, gave it back.
        let held = Held { tenant, document, payload, now, row, announcer: store.announcer() };
        lease::withdraw(tx, &held).await?;
        return Ok(Taken::CalledOff);
    }
    if is_overtaken(tx, tenant, &known, &payload).await? {
        lease::end(tx, &row, JobState::Cancelled, None, now).await?;
        return Ok(Taken::CalledOff);
    }
    let claimed = jobs::Model {
        state: "running".to_owned(),
        attempts: row.attempts + 1,
        worker_id: Some(worker.0.clone()),
        lease_token: row.lease_token + 1,
        lease_expire_time: Some(now.saturating_add(millis(lease_for))),
        start_time: Some(now),
        ..row
    };
    sql::for_tenant(
        tenant,
        "UPDATE jobs SET state = 'running', attempts = $3, worker_id = $4, lease_token = $5, lease_expire_time = $6,
            start_time = $7 WHERE tenant_id = $1 AND id = $2",
        [
            id.0.into(),
            claimed.attempts.into(),
            worker.0.as_str().into(),
            claimed.lease_token.into(),
            claimed.lease_expire_time.into(),
            now.into(),
        ],
    )
    .execute(tx)
    .await?;
    move_on(tx, tenant, document, &payload, now).await?;
    let token = claimed.lease_token;
    Ok(Taken::Lease(Box::new(Lease { job: queue::job_of(claimed)?, token })))
}

/// Whether a version that was to be removed, or its chunks, is being worked on again, or was indexed since: its next try put
/// new ones in their place.
async fn is_overtaken(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: &documents::Model,
    payload: &JobPayload,
) -> Outcome<bool> {
    let (JobPayload::DeleteVersionV1 { version_id } | JobPayload::PurgeVersionV1 { version_id }) = payload else {
        return Ok(false);
    };
    if document.indexed_version_id == Some(version_id.0) {
        return Ok(true);
    }
    let state = change::version_state(tx, tenant, *version_id).await?;
    Ok(state.is_some_and(|state| !state.is_terminal()))
}

/// Shows that the work on a version has begun.
async fn move_on(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: DocumentId,
    payload: &JobPayload,
    now: i64,
) -> Outcome<()> {
    let (version, state, begun): (_, _, &[&'static str]) = match payload {
        JobPayload::ProcessV1 { version_id } => {
            (*version_id, DocumentState::Processing, &["pages_total", "pages_done"])
        }
        JobPayload::EmbedV1 { version_id } => (*version_id, DocumentState::Embedding, &["chunks_done"]),
        JobPayload::DeleteVersionV1 { .. } | JobPayload::PurgeVersionV1 { .. } | JobPayload::DeleteDocumentV1 {} => {
            return Ok(());
        }
    };
    let progress = begun.iter().map(|column| (*column, 0.into())).collect();
    change::move_version(tx, tenant, document, version, Step { version: progress, ..Step::to(state) }, now).await
}
