//! Taking back the jobs of workers that died.

use sea_orm::{ColumnTrait as _, DatabaseTransaction, QueryFilter as _, QuerySelect as _};
use uuid::Uuid;
use vectrion_core::{
    document::Failure,
    ids::{DocumentId, JobId, TenantId},
    job::JobState,
};

use super::{
    ending,
    lease::{self, Held},
};
use crate::{
    Store,
    failure::Outcome,
    rows::{jobs, number},
    sql, time,
};

/// Jobs taken back in a call; the rest waits for the next.
const BATCH: i64 = 1000;

/// Which jobs are taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those whose lease has run out.
    Expired,
    /// All that run.
    All,
}

#[derive(sea_orm::FromQueryResult)]
struct Found {
    id: Uuid,
    tenant_id: Uuid,
}

/// Each job in a transaction of its own: it locks a job, then its tenant, and never two of either.
pub(super) async fn reap(store: &Store, which: Which, max_interruptions: u32) -> Outcome<u64> {
    let mut reaped = 0;
    loop {
        let mut query = sql::across_tenants("SELECT id, tenant_id FROM jobs WHERE state = 'running'", []);
        if which == Which::Expired {
            query.push(" AND lease_expire_time <= ").push(time::now_expression(store.backend()));
        }
        query.push(" ORDER BY lease_expire_time LIMIT ").bind(BATCH);
        let found: Vec<Found> = query.all(store.reader()).await?;
        let before = reaped;
        for job in &found {
            let tx = store.begin().await?;
            if take_back(&tx, which, TenantId(job.tenant_id), JobId(job.id), max_interruptions).await? {
                tx.commit().await?;
                reaped += 1;
            }
        }
        if found.len() < BATCH as usize || reaped == before {
            return Ok(reaped);
        }
    }
}

async fn take_back(
    tx: &DatabaseTransaction,
    which: Which,
    tenant: TenantId,
    id: JobId,
    max_interruptions: u32,
) -> Outcome<bool> {
    let row = jobs::for_tenant(tenant).filter(jobs::Column::Id.eq(id.0)).lock_exclusive().one(tx).await?;
    let Some(row) = row else { return Ok(false) };
    let now = time::now(tx).await?;
    let expired = row.lease_expire_time.is_none_or(|expire_time| expire_time <= now);
    if row.state != JobState::Running.as_str() || (which == Which::Expired && !expired) {
        return Ok(false);
    }
    let held =
        Held { tenant, document: DocumentId(row.document_id), payload: serde_json::from_str(&row.payload)?, now, row };
    let Some(document) = held.document(tx).await? else {
        lease::end(tx, &held.row, JobState::Cancelled.as_str(), now).await?;
        return Ok(true);
    };
    let interruptions = held.row.interruptions + 1;
    sql::for_tenant(
        tenant,
        "UPDATE jobs SET interruptions = $3 WHERE tenant_id = $1 AND id = $2",
        [id.0.into(), interruptions.into()],
    )
    .execute(tx)
    .await?;
    if number(interruptions) > max_interruptions {
        let failure = Failure {
            stage: held.row.stage.clone(),
            reason: "INTERRUPTED_TOO_OFTEN".to_owned(),
            message: format!(
                "the process that worked on the document ended {interruptions} times before it was done; see its log, then \
                 retry the document"
            ),
            attempts: number(held.row.attempts),
        };
        ending::give_up(tx, &held, &document, failure).await?;
    } else {
        // The try does not count, and the job waits its turn again: it may be what ends the processes.
        ending::give_back(tx, &held, -1, now, None).await?;
    }
    Ok(true)
}
