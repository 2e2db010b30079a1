//! The database's clock, and the lock of a tenant.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend};
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

/// Makes this transaction the only one that adds documents, collections or keys to the tenant, or changes its revision.
/// Gives the time from which on it is that, or none: there is no such tenant.
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
    let backend = tx.get_database_backend();
    let lock = match backend {
        DbBackend::Postgres => lock,
        _ => "",
    };
    let query = locked(backend, &format!("SELECT id FROM tenants WHERE id = $1{lock}"), "now");
    Ok(sql::for_tenant(tenant, query, []).scalar(tx).await?)
}

/// What a query that locks rows gives, and the current time, read when it has the locks. `columns` are of the query,
/// which is `held`, or `now`.
pub(crate) fn locked(backend: DbBackend, query: &str, columns: &str) -> String {
    let now = now_expression(backend);
    // Not in the same query: that would look at the clock before it waits for the locks.
    format!(
        "WITH held AS MATERIALIZED ({query}) SELECT {columns} FROM (SELECT held.*, {now} AS now FROM held) AS timed"
    )
}
