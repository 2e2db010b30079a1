//! Processes that run jobs. They belong to the installation.

use std::time::Duration;

use sea_orm::{DatabaseTransaction, FromQueryResult};
use uuid::Uuid;
use vectrion_core::{
    ids::{DocumentId, JobId, TenantId, WorkerId},
    job::{CurrentJob, Stage, Worker},
    time::Timestamp,
};

use super::millis;
use crate::{Store, failure::Outcome, sql, time};

pub(super) async fn heartbeat(
    store: &Store,
    worker: &WorkerId,
    host: &str,
    stages: &[Stage],
    draining: bool,
) -> Outcome<()> {
    let now = time::now_expression(store.backend());
    sql::across_tenants(
        format!(
            "INSERT INTO workers (id, host, stages, draining, start_time, heartbeat_time)
                VALUES ($1, $2, $3, $4, {now}, {now})
                ON CONFLICT (id) DO UPDATE SET host = excluded.host, stages = excluded.stages,
                    draining = excluded.draining, heartbeat_time = excluded.heartbeat_time"
        ),
        [worker.0.as_str().into(), host.into(), serde_json::to_string(stages)?.into(), draining.into()],
    )
    .execute(store.writer())
    .await?;
    Ok(())
}

pub(super) async fn remove(store: &Store, worker: &WorkerId) -> Outcome<()> {
    sql::across_tenants("DELETE FROM workers WHERE id = $1", [worker.0.as_str().into()])
        .execute(store.writer())
        .await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct WorkerRow {
    id: String,
    host: String,
    stages: String,
    draining: bool,
    start_time: i64,
    heartbeat_time: i64,
}

#[derive(FromQueryResult)]
struct HeldJob {
    id: Uuid,
    worker_id: String,
    tenant_id: Uuid,
    document_id: Uuid,
    stage: String,
    start_time: Option<i64>,
}

impl HeldJob {
    /// None of a stage that this program does not know.
    fn current(&self) -> Option<CurrentJob> {
        Some(CurrentJob {
            id: JobId(self.id),
            tenant: TenantId(self.tenant_id),
            document: DocumentId(self.document_id),
            stage: self.stage.parse().ok()?,
            start_time: Timestamp(self.start_time.unwrap_or_default()),
        })
    }
}

pub(super) async fn list(tx: &DatabaseTransaction, within: Duration) -> Outcome<Vec<Worker>> {
    let since = time::now(tx).await?.saturating_sub(millis(within));
    let workers: Vec<WorkerRow> =
        sql::across_tenants("SELECT * FROM workers WHERE heartbeat_time >= $1 ORDER BY start_time, id", [since.into()])
            .all(tx)
            .await?;
    let held: Vec<HeldJob> = sql::across_tenants(
        "SELECT id, worker_id, tenant_id, document_id, stage, start_time FROM jobs
            WHERE state = 'running' AND worker_id IS NOT NULL ORDER BY start_time, id",
        [],
    )
    .all(tx)
    .await?;
    workers
        .into_iter()
        .map(|row| {
            Ok(Worker {
                current_jobs: held.iter().filter(|job| job.worker_id == row.id).filter_map(HeldJob::current).collect(),
                stages: serde_json::from_str(&row.stages)?,
                id: WorkerId(row.id),
                host: row.host,
                draining: row.draining,
                start_time: Timestamp(row.start_time),
                heartbeat_time: Timestamp(row.heartbeat_time),
            })
        })
        .collect()
}
