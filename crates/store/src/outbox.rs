//! Wake-ups to be published, written with what they announce.
//!
//! [`Announcer::ready`] is called wherever a job becomes ready, in the transaction that makes it so. A store that was
//! opened without the outbox writes nothing.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{DatabaseTransaction, DbBackend, FromQueryResult};
use uuid::Uuid;
use vectrion_core::{
    Result,
    ids::{JobId, OutboxId},
    ports::{
        outbox::{OUTBOX_BATCH, Outbox, OutboxBacklog},
        wakeups::Announcement,
    },
};

use crate::{Store, failure::Outcome, jobs::millis, rows, sql, time};

/// Whether jobs that become ready are announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announcer {
    /// To a broker, by way of the outbox.
    Outbox,
    /// To nobody: whoever runs jobs looks for them.
    Silent,
}

impl Announcer {
    /// Announces that a job is ready at `run_time`.
    pub(crate) async fn ready(
        self,
        tx: &DatabaseTransaction,
        job: Uuid,
        stage: &str,
        run_time: i64,
        trace_id: &str,
    ) -> Outcome<()> {
        if self == Self::Silent {
            return Ok(());
        }
        sql::across_tenants(
            "INSERT INTO outbox (id, job_id, stage, due_time, trace_id) VALUES ($1, $2, $3, $4, $5)",
            [OutboxId::new().0.into(), job.into(), stage.into(), run_time.into(), trace_id.into()],
        )
        .execute(tx)
        .await?;
        Ok(())
    }
}

#[async_trait]
impl Outbox for Store {
    async fn take_announcements(&self, limit: usize, hold_for: Duration) -> Result<Vec<Announcement>> {
        self.unit(|| take(self, limit.min(OUTBOX_BATCH), hold_for)).await
    }

    async fn mark_announced(&self, ids: &[OutboxId]) -> Result<u64> {
        self.unit(|| remove(self, ids)).await
    }

    async fn outbox_backlog(&self) -> Result<OutboxBacklog> {
        self.unit(|| backlog(self)).await
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    job_id: Uuid,
    stage: String,
    trace_id: String,
}

/// One statement: whoever takes a row moves its due time on, and those who look meanwhile pass over it.
async fn take(store: &Store, limit: usize, hold_for: Duration) -> Outcome<Vec<Announcement>> {
    let now = time::now_expression(store.backend());
    let lock = match store.backend() {
        DbBackend::Postgres => " FOR UPDATE SKIP LOCKED",
        _ => "",
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // Nothing is due, as a rule; finding that out takes no writer.
    let due: Option<i32> = sql::across_tenants(format!("SELECT 1 FROM outbox WHERE due_time <= {now} LIMIT 1"), [])
        .scalar(store.reader())
        .await?;
    if due.is_none() {
        return Ok(Vec::new());
    }
    let mut rows: Vec<Row> = sql::across_tenants(
        format!(
            "UPDATE outbox SET due_time = {now} + $1 WHERE id IN
                (SELECT id FROM outbox WHERE due_time <= {now} ORDER BY due_time LIMIT $2{lock})
                RETURNING id, job_id, stage, trace_id"
        ),
        [millis(hold_for).into(), limit.into()],
    )
    .all(store.writer())
    .await?;
    // In the order in which they were written.
    rows.sort_by_key(|row| row.id);
    // Rows of a stage that this program does not know are of a newer one, whose relay gets them later.
    let announcement = |row: Row| {
        let stage = row.stage.parse().ok()?;
        Some(Announcement { id: OutboxId(row.id), job: JobId(row.job_id), stage, trace_id: row.trace_id })
    };
    Ok(rows.into_iter().filter_map(announcement).collect())
}

async fn remove(store: &Store, ids: &[OutboxId]) -> Outcome<u64> {
    let mut removed = 0;
    for part in ids.chunks(OUTBOX_BATCH) {
        let mut query = sql::across_tenants("DELETE FROM outbox WHERE id IN ", []);
        query.bind_list(part.iter().map(|id| id.0));
        removed += query.execute(store.writer()).await?;
    }
    Ok(removed)
}

#[derive(FromQueryResult)]
struct Backlog {
    count: i64,
    oldest: Option<i64>,
}

async fn backlog(store: &Store) -> Outcome<OutboxBacklog> {
    let now = time::now(store.reader()).await?;
    let row: Option<Backlog> = sql::across_tenants("SELECT COUNT(*) AS count, MIN(due_time) AS oldest FROM outbox", [])
        .one(store.reader())
        .await?;
    Ok(row.map_or_else(OutboxBacklog::default, |row| OutboxBacklog {
        rows: rows::size(row.count),
        oldest_ms: row.oldest.map_or(0, |oldest| rows::size(now - oldest)),
    }))
}
