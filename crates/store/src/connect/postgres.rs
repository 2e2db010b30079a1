//! PostgreSQL: one pool.

use std::{future::Future, str::FromStr as _, time::Duration};

use sea_orm::SqlxPostgresConnector;
use sqlx::{
    Connection as _, PgConnection,
    pool::PoolOptions,
    postgres::{PgConnectOptions, Postgres},
};
use vectrion_core::Result;

use super::{Inner, StoreSettings, cannot_connect, first, invalid_url};

/// A connection that was not used for so long is asked whether it still works.
const FRESH: Duration = Duration::from_secs(1);
/// How long it has for the answer, and to come to rest after a call was dropped half way.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn connect(url: &str, settings: &StoreSettings) -> Result<Inner> {
    let timeout = |ms: u64| ms.to_string();
    // The last five let the server notice that this process, or its host, is gone, and give up the locks that it held.
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| invalid_url("is not `postgres://USER:PASSWORD@HOST:PORT/DATABASE`"))?
        .application_name("vectrion")
        .options([
            ("statement_timeout", timeout(settings.statement_timeout_ms).as_str()),
            ("lock_timeout", timeout(settings.lock_timeout_ms).as_str()),
            ("idle_in_transaction_session_timeout", timeout(settings.call_timeout_ms).as_str()),
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "25000"),
            ("client_connection_check_interval", "5000"),
        ]);
    first::try_out(&options).await?;
    let pool: sqlx::Pool<Postgres> = PoolOptions::new()
        .max_connections(settings.max_connections.max(2))
        .acquire_timeout(Duration::from_millis(settings.acquire_timeout_ms))
        // The connection rests when it comes back, so one that is fresh needs no further look.
        .test_before_acquire(false)
        .before_acquire(|connection: &mut PgConnection, about| {
            let fresh = about.idle_for < FRESH;
            Box::pin(async move {
                if fresh {
                    return Ok(true);
                }
                in_time(connection.ping()).await.map(|()| true)
            })
        })
        // What was dropped half way leaves a statement under way and a transaction to roll back. If the server stands still,
        // the connection is cut, so that its place in the pool is free.
        .after_release(|connection: &mut PgConnection, _| {
            Box::pin(async move { in_time(connection.ping()).await.map(|()| true) })
        })
        .connect_with(options)
        .await
        .map_err(cannot_connect)?;
    let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    Ok(Inner {
        reader: connection.clone(),
        writer: connection,
        file: None,
        busy_timeout_ms: settings.busy_timeout_ms,
        call_timeout: Duration::from_millis(settings.call_timeout_ms),
        announcer: settings.announcer(),
    })
}

async fn in_time(answer: impl Future<Output = Result<(), sqlx::Error>>) -> Result<(), sqlx::Error> {
    let silent = |_elapsed| sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::TimedOut));
    tokio::time::timeout(ANSWER_WITHIN, answer).await.map_err(silent)?
}
