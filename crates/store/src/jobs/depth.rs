//! Figures of the queue, and its retention.

use std::time::Duration;

use sea_orm::{ConnectionTrait, FromQueryResult};
use vectrion_core::{ids::TenantId, job::Stage, ports::jobs::QueueDepth};

use crate::{Store, failure::Outcome, rows, sql, time};

/// Jobs removed in a transaction, so that the writer is soon free for others.
const PURGE_BATCH: i64 = 2000;

pub(super) async fn next_ready_in<C: ConnectionTrait>(connection: &C, stages: &[Stage]) -> Outcome<Option<Duration>> {
    let now = time::now(connection).await?;
    let mut query = sql::across_tenants("", []);
    for (i, stage) in stages.iter().enumerate() {
        query.push(if i == 0 { "" } else { " UNION ALL " });
        query
            .push("SELECT MIN(j.run_time) FROM jobs j WHERE j.state = 'pending' AND j.stage = ")
            .bind(stage.as_str())
            .push(" AND j.run_time > ")
            .bind(now);
    }
    if stages.is_empty() {
        return Ok(None);
    }
    let times: Vec<Option<i64>> = query.scalars(connection).await?;
    Ok(times.into_iter().flatten().min().map(|time| Duration::from_millis(rows::size(time - now))))
}

#[derive(FromQueryResult)]
struct Depth {
    stage: String,
    ready: i64,
    delayed: i64,
    running: i64,
    oldest: Option<i64>,
}

/// Over all tenants.
pub(super) async fn queues<C: ConnectionTrait>(connection: &C) -> Outcome<Vec<QueueDepth>> {
    let now = time::now(connection).await?;
    let depths = sql::across_tenants(depths("$1", ""), [now.into()]).all(connection).await?;
    Ok(by_stage(&depths, now))
}

/// Of one tenant.
pub(super) async fn tenant_queues<C: ConnectionTrait>(connection: &C, tenant: TenantId) -> Outcome<Vec<QueueDepth>> {
    let now = time::now(connection).await?;
    let depths = sql::for_tenant(tenant, depths("$2", "tenant_id = $1 AND"), [now.into()]).all(connection).await?;
    Ok(by_stage(&depths, now))
}

/// Counts by stage; `now` is the parameter that holds the time, `whose` the condition that picks the jobs.
fn depths(now: &str, whose: &str) -> String {
    format!(
        "SELECT stage, CAST(SUM(CASE WHEN run_time <= {now} THEN 1 ELSE 0 END) AS BIGINT) AS ready,
                CAST(SUM(CASE WHEN run_time > {now} THEN 1 ELSE 0 END) AS BIGINT) AS delayed,
                CAST(0 AS BIGINT) AS running, MIN(run_time) AS oldest
            FROM jobs WHERE {whose} state = 'pending' GROUP BY stage
        UNION ALL
        SELECT stage, CAST(0 AS BIGINT), CAST(0 AS BIGINT), COUNT(*), CAST(NULL AS BIGINT)
            FROM jobs WHERE {whose} state = 'running' GROUP BY stage"
    )
}

fn by_stage(depths: &[Depth], now: i64) -> Vec<QueueDepth> {
    Stage::ALL
        .into_iter()
        .map(|stage| {
            let mut depth = QueueDepth { stage, ready: 0, delayed: 0, running: 0, oldest_ms: 0 };
            for row in depths.iter().filter(|row| row.stage == stage.as_str()) {
                depth.ready += rows::size(row.ready);
                depth.delayed += rows::size(row.delayed);
                depth.running += rows::size(row.running);
                depth.oldest_ms = depth.oldest_ms.max(row.oldest.map_or(0, |oldest| rows::size(now - oldest)));
            }
            depth
        })
        .collect()
}

pub(super) async fn purge(store: &Store, keep_ms: i64) -> Outcome<u64> {
    let cutoff = time::now(store.reader()).await?.saturating_sub(keep_ms);
    let mut purged = 0;
    loop {
        let removed = sql::across_tenants(
            "DELETE FROM jobs WHERE id IN (
                SELECT j.id FROM jobs j WHERE j.end_time IS NOT NULL AND j.end_time < $1
                    AND NOT EXISTS (SELECT 1 FROM dead_letters l WHERE l.job_id = j.id)
                LIMIT $2)",
            [cutoff.into(), PURGE_BATCH.into()],
        )
        .execute(store.writer())
        .await?;
        purged += removed;
        if rows::size(PURGE_BATCH) > removed {
            break;
        }
    }
    // A worker that was killed did not sign off.
    sql::across_tenants("DELETE FROM workers WHERE heartbeat_time < $1", [cutoff.into()])
        .execute(store.writer())
        .await?;
    Ok(purged)
}
