//! PostgreSQL: one pool.

use std::{str::FromStr as _, time::Duration};

use sea_orm::SqlxPostgresConnector;
use sqlx::{pool::PoolOptions, postgres::PgConnectOptions};
use vectrion_core::Result;

use super::{Inner, StoreSettings, cannot_connect, first, invalid_url};

pub(super) async fn connect(url: &str, settings: &StoreSettings) -> Result<Inner> {
    let timeout = settings.statement_timeout_ms.to_string();
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| invalid_url("is not `postgres://USER:PASSWORD@HOST:PORT/DATABASE`"))?
        .application_name("vectrion")
        .options([("statement_timeout", timeout.as_str()), ("idle_in_transaction_session_timeout", timeout.as_str())]);
    first::try_out(&options).await?;
    let pool = PoolOptions::new()
        .max_connections(settings.max_connections.max(2))
        .acquire_timeout(Duration::from_millis(settings.acquire_timeout_ms))
        .connect_with(options)
        .await
        .map_err(cannot_connect)?;
    let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    Ok(Inner {
        reader: connection.clone(),
        writer: connection,
        file: None,
        busy_timeout_ms: settings.busy_timeout_ms,
        announcer: settings.announcer(),
    })
}
