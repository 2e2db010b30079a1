//! Queues as operators watch them: depth, dead letters, and what has ended of late.

use sea_orm::{DbBackend, FromQueryResult};
use vectrion_core::{
    ids::TenantId,
    job::{JobState, Stage},
    ports::jobs::{EndedJobs, QueueStatus, RATE_MINUTES},
};

use super::depth;
use crate::{
    Store,
    failure::Outcome,
    rows,
    sql::{self, Sql},
    time,
};

const MINUTE_MS: i64 = 60_000;

#[derive(FromQueryResult)]
struct Ended {
    stage: String,
    state: String,
    shortest: i64,
    middle: i64,
    longest: i64,
}

#[derive(FromQueryResult)]
struct Dead {
    stage: String,
    count: i64,
}

pub(super) async fn queues(store: &Store, tenant: Option<TenantId>) -> Outcome<Vec<QueueStatus>> {
    let reader = store.reader();
    let depths = match tenant {
        Some(tenant) => depth::tenant_queues(reader, tenant).await?,
        None => depth::queues(reader).await?,
    };
    let now = time::now(reader).await?;
    let ended: Vec<Ended> = ended(store.backend(), tenant, now).all(reader).await?;
    let dead: Vec<Dead> = dead(tenant).all(reader).await?;
    let status = |depth: vectrion_core::ports::jobs::QueueDepth| {
        let stage = depth.stage.as_str();
        let mut status = QueueStatus { depth, dead: 0, ended: Default::default() };
        status.dead = dead.iter().filter(|row| row.stage == stage).map(|row| rows::size(row.count)).sum();
        for row in ended.iter().filter(|row| row.stage == stage) {
            for (within, count) in status.ended.iter_mut().zip([row.shortest, row.middle, row.longest]) {
                add(within, &row.state, rows::size(count));
            }
        }
        status
    };
    Ok(depths.into_iter().map(status).collect())
}

fn add(ended: &mut EndedJobs, state: &str, count: u64) {
    match JobState::ALL.into_iter().find(|known| known.as_str() == state) {
        Some(JobState::Succeeded) => ended.succeeded += count,
        Some(JobState::Failed) => ended.failed += count,
        Some(JobState::Cancelled) => ended.cancelled += count,
        Some(JobState::Pending | JobState::Running) | None => {}
    }
}

/// What has ended, out of the index of ends alone.
pub(crate) fn ended(backend: DbBackend, tenant: Option<TenantId>, now: i64) -> Sql {
    // Without statistics SQLite would rather read all jobs of a tenant than those that have ended of late.
    let index = if backend == DbBackend::Sqlite { " INDEXED BY jobs_rates" } else { "" };
    let [shortest, middle, longest] = RATE_MINUTES.map(|minutes| now - i64::from(minutes) * MINUTE_MS);
    let mut query = scoped(
        tenant,
        &format!(
            "SELECT stage, state, CAST(SUM(CASE WHEN end_time > {shortest} THEN 1 ELSE 0 END) AS BIGINT) AS shortest,
                CAST(SUM(CASE WHEN end_time > {middle} THEN 1 ELSE 0 END) AS BIGINT) AS middle, COUNT(*) AS longest
                FROM jobs{index}"
        ),
    );
    query.push(" AND end_time > ").bind(longest).push(" GROUP BY stage, state");
    query
}

fn dead(tenant: Option<TenantId>) -> Sql {
    let mut query = scoped(tenant, "SELECT stage, COUNT(*) AS count FROM dead_letters");
    query.push(" GROUP BY stage");
    query
}

fn scoped(tenant: Option<TenantId>, select: &str) -> Sql {
    match tenant {
        Some(tenant) => sql::for_tenant(tenant, format!("{select} WHERE tenant_id = $1"), []),
        None => {
            // Every stage there is, so that both ways go on alike.
            let mut query = sql::across_tenants(format!("{select} WHERE stage IN "), []);
            query.bind_list(Stage::ALL.map(Stage::as_str));
            query
        }
    }
}
