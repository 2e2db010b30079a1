//! Ends of answers that nobody writes any more, and of old ones.

use sea_orm::{ConnectionTrait as _, DbBackend, FromQueryResult};
use uuid::Uuid;
use vectrion_core::{
    answer::{AnswerEvent, AnswerEventKind},
    ids::{AnswerId, TenantId},
};

use super::events;
use crate::{Store, failure::Outcome, rows::size, sql, time};

/// gRPC's `UNAVAILABLE`: the server that wrote the answer is gone; asking again may succeed.
const UNAVAILABLE: u32 = 14;
/// Answers removed in a transaction, so that the writer is soon free for others.
const PURGE_BATCH: i64 = 500;

#[derive(FromQueryResult)]
struct Abandoned {
    id: Uuid,
    tenant_id: Uuid,
    last_sequence: i64,
}

pub(super) async fn end_abandoned(store: &Store, idle_ms: i64, reason: &str, message: &str) -> Outcome<u64> {
    let tx = store.begin().await?;
    let now = time::now(&tx).await?;
    let skip = match tx.get_database_backend() {
        DbBackend::Postgres => " FOR UPDATE OF a SKIP LOCKED",
        _ => "",
    };
    let abandoned: Vec<Abandoned> = sql::across_tenants(
        format!(
            "SELECT a.id, a.tenant_id, (SELECT COALESCE(MAX(e.sequence), 0) FROM answer_events e
                    WHERE e.answer_id = a.id) AS last_sequence
                FROM answers a WHERE a.end_time IS NULL AND a.event_time <= $1{skip}"
        ),
        [now.saturating_sub(idle_ms).into()],
    )
    .all(&tx)
    .await?;
    let mut ended = 0;
    for answer in abandoned {
        let tenant = TenantId(answer.tenant_id);
        let kind = AnswerEventKind::Error { code: UNAVAILABLE, reason: reason.to_owned(), message: message.to_owned() };
        let event = AnswerEvent { sequence: size(answer.last_sequence) + 1, kind };
        events::insert(&tx, tenant, AnswerId(answer.id), &[event]).await?;
        sql::for_tenant(
            tenant,
            "UPDATE answers SET event_time = $3, end_time = $3 WHERE tenant_id = $1 AND id = $2",
            [answer.id.into(), now.into()],
        )
        .execute(&tx)
        .await?;
        ended += 1;
    }
    tx.commit().await?;
    Ok(ended)
}

pub(super) async fn purge(store: &Store, keep_ms: i64) -> Outcome<u64> {
    let cutoff = time::now(store.reader()).await?.saturating_sub(keep_ms);
    let skip = match store.backend() {
        DbBackend::Postgres => " FOR UPDATE SKIP LOCKED",
        _ => "",
    };
    let mut purged = 0;
    loop {
        // Events, turns and links go with them.
        let removed = sql::across_tenants(
            format!("DELETE FROM answers WHERE id IN (SELECT id FROM answers WHERE create_time < $1 LIMIT $2{skip})"),
            [cutoff.into(), PURGE_BATCH.into()],
        )
        .execute(store.writer())
        .await?;
        purged += removed;
        if removed < size(PURGE_BATCH) {
            return Ok(purged);
        }
    }
}
