//! Who writes an answer, and who follows it, when these are different servers.

use sea_orm::DbBackend;
use uuid::Uuid;
use vectrion_core::ids::{AnswerId, TenantId};

use crate::{Store, failure::Outcome, sql, time};

pub(super) async fn to_stop(store: &Store, ids: &[AnswerId]) -> Outcome<Vec<AnswerId>> {
    let text = "SELECT id FROM answers WHERE (cancel_requested = TRUE OR end_time IS NOT NULL) AND id IN ";
    let mut query = sql::across_tenants(text, []);
    query.bind_list(ids.iter().map(|id| id.0));
    let found: Vec<Uuid> = query.scalars(store.reader()).await?;
    Ok(found.into_iter().map(AnswerId).collect())
}

pub(super) async fn keep(store: &Store, ids: &[AnswerId]) -> Outcome<()> {
    let now = time::now_expression(store.backend());
    // One that is locked is being written to right now.
    let skip = match store.backend() {
        DbBackend::Postgres => " FOR UPDATE SKIP LOCKED",
        _ => "",
    };
    let mut query = sql::across_tenants(
        format!(
            "UPDATE answers SET event_time = {now} WHERE id IN (SELECT id FROM answers WHERE end_time IS NULL AND id IN "
        ),
        [],
    );
    query.bind_list(ids.iter().map(|id| id.0)).push(skip).push(")");
    query.execute(store.writer()).await?;
    Ok(())
}

pub(super) async fn follow(store: &Store, tenant: TenantId, id: AnswerId) -> Outcome<()> {
    let now = time::now_expression(store.backend());
    let text = format!("UPDATE answers SET follow_time = {now} WHERE tenant_id = $1 AND id = $2 AND end_time IS NULL");
    sql::for_tenant(tenant, text, [id.0.into()]).execute(store.writer()).await?;
    Ok(())
}

pub(super) async fn is_followed(store: &Store, tenant: TenantId, id: AnswerId, within_ms: i64) -> Outcome<bool> {
    let now = time::now_expression(store.backend());
    let found: Option<i32> = sql::for_tenant(
        tenant,
        format!("SELECT 1 FROM answers WHERE tenant_id = $1 AND id = $2 AND follow_time > {now} - $3"),
        [id.0.into(), within_ms.into()],
    )
    .scalar(store.reader())
    .await?;
    Ok(found.is_some())
}
