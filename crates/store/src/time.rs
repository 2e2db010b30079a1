//! The database's clock, and locks.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, QueryResult};
use uuid::Uuid;
use vectrion_core::ids::TenantId;

use crate::{
    failure::{Outcome, damaged},
    sql,
};

/// The current time in milliseconds since the epoch, as an expression. On PostgreSQL it moves on within a transaction
/// (`now()` would not), on SQLite within a statement it does not.
pub(crate) fn now_expression(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        _ => "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)",
    }
}

/// The current time by the database's clock. Read it after the locks were taken: waiting for them takes time.
pub(crate) async fn now<C: ConnectionTrait>(connection: &C) -> Outcome<i64> {
    let expression = now_expression(connection.get_database_backend());
    let now = sql::across_tenants(format!("SELECT {expression}"), []).scalar(connection).await?;
    Ok(now.ok_or_else(|| damaged("the clock gave no row"))?)
}

/// Makes this transaction the only one that changes the tenant, its collections, their policies, its keys or its revision. Gives
/// the time from which on it is that, or none: there is no such tenant.
///
/// On SQLite a writing transaction is alone in any case.
pub(crate) async fn lock_tenant(tx: &DatabaseTransaction, tenant: TenantId) -> Outcome<Option<i64>> {
    // Weaker than FOR UPDATE: rows that refer to the tenant can still be inserted by others.
    lock_tenant_by(tx, tenant, " FOR NO KEY UPDATE").await
}

/// The same without waiting: gives none also if another transaction holds the tenant.
pub(crate) async fn try_lock_tenant(tx: &DatabaseTransaction, tenant: TenantId) -> Outcome<Option<i64>> {
    lock_tenant_by(tx, tenant, " FOR NO KEY UPDATE SKIP LOCKED").await
}

async fn lock_tenant_by(tx: &DatabaseTransaction, tenant: TenantId, lock: &str) -> Outcome<Option<i64>> {
    let query = locked(tx.get_database_backend(), "SELECT id FROM tenants WHERE id = $1", lock, "now");
    Ok(sql::for_tenant(tenant, query, []).scalar(tx).await?)
}

/// Makes this transaction the only one that holds these keys, which may be equal. Whoever waits for one of them waits for the
/// end of the other's transaction.
///
/// On SQLite a writing transaction is alone in any case.
pub(crate) async fn lock_keys(tx: &DatabaseTransaction, one: i64, other: i64) -> Outcome<()> {
    if tx.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    // In the same order for all, so that none waits for another that waits for it.
    sql::across_tenants(
        "SELECT pg_advisory_xact_lock(held.key) FROM (VALUES (1, $1::BIGINT), (2, $2::BIGINT)) AS held (place, key)
            ORDER BY held.place",
        [one.min(other).into(), one.max(other).into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A row that was locked, and the time from which on it is.
pub(crate) struct Timed<M> {
    pub(crate) row: M,
    pub(crate) now: i64,
}

impl<M: FromQueryResult> FromQueryResult for Timed<M> {
    fn from_query_result(found: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        Ok(Self { row: M::from_query_result(found, prefix)?, now: found.try_get(prefix, "now")? })
    }
}

/// Locks a row of a tenant, in the way that `lock` says in words of PostgreSQL. On SQLite a writing transaction is alone in
/// any case.
pub(crate) async fn lock_row<M: FromQueryResult>(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    table: &str,
    id: Uuid,
    lock: &str,
) -> Outcome<Option<Timed<M>>> {
    let row = format!("SELECT * FROM {table} WHERE tenant_id = $1 AND id = $2");
    let query = locked(tx.get_database_backend(), &row, lock, "*");
    Ok(sql::for_tenant(tenant, query, [id.into()]).one(tx).await?)
}

/// A query that locks rows as `lock` says, and the current time, read when it has the locks. `columns` are of the query, or
/// `now`.
fn locked(backend: DbBackend, query: &str, lock: &str, columns: &str) -> String {
    let lock = if backend == DbBackend::Postgres { lock } else { "" };
    let now = now_expression(backend);
    // Not in the same query: that would look at the clock before it waits for the locks.
    format!(
        "WITH held AS MATERIALIZED ({query}{lock}) SELECT {columns} FROM (SELECT held.*, {now} AS now FROM held) AS timed"
    )
}
