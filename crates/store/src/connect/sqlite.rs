//! SQLite: one connection that writes, several that read.

use std::{path::Path, str::FromStr as _, time::Duration};

use sea_orm::SqlxSqliteConnector;
use sqlx::{
    Connection as _, Sqlite,
    pool::PoolOptions,
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous},
};
use vectrion_core::{Error, Result};

use super::{Inner, StoreSettings, cannot_connect, invalid_url};

pub(super) async fn connect(url: &str, settings: &StoreSettings) -> Result<Inner> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|error| invalid_url("is not `sqlite://PATH`").with_source(error))?;
    let file = options.get_filename().to_path_buf();
    if file.as_os_str().is_empty() || url.contains(":memory:") || url.contains("mode=memory") {
        return Err(invalid_url("names no file; a database in memory cannot be shared by several connections"));
    }
    create_private(&file)?;
    let options = options
        .busy_timeout(Duration::from_millis(settings.busy_timeout_ms))
        .foreign_keys(true)
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", "-16000");
    // An acknowledged upload survives a power cut: FULL syncs the log at each commit. What is deleted is overwritten.
    let writing = options
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("secure_delete", "ON")
        .pragma("journal_size_limit", "67108864");
    let reading = options.pragma("query_only", "ON");

    let writer = pool(settings, 1).connect_with(writing).await.map_err(cannot_connect)?;
    let reader = pool(settings, settings.max_connections).connect_with(reading).await.map_err(cannot_connect)?;
    Ok(Inner {
        reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
        writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
        file: Some(file),
        busy_timeout_ms: settings.busy_timeout_ms,
        call_timeout: Duration::from_millis(settings.call_timeout_ms),
        announcer: settings.announcer(),
    })
}

fn pool(settings: &StoreSettings, connections: u32) -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .max_connections(connections.max(1))
        .acquire_timeout(Duration::from_millis(settings.acquire_timeout_ms))
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // On some errors (a full disk, for one) SQLite ends the transaction by itself. The driver's own rollback fails
        // then, and it goes on counting the transaction as open: every later one would be a savepoint, which takes no
        // lock at its beginning. Such a connection is thrown away. The ping comes after a rollback that is still queued.
        .before_acquire(|connection: &mut SqliteConnection, _| {
            Box::pin(async move {
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
}

/// Makes the file, for its owner's eyes only. SQLite gives the files beside it the same mode.
fn create_private(file: &Path) -> Result<()> {
    // The name of the file survives a power cut, too.
    match create_new_private(file).and_then(|()| sync_directory(file)) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(Error::unavailable(
            "DATABASE_UNAVAILABLE",
            format!(
                "the database file {} cannot be made; check that its directory exists and can be written",
                file.display()
            ),
        )
        .with_source(error)),
        _ => Ok(()),
    }
}

/// Makes an empty file of mode 0600; one that is there is an error.
pub(crate) fn create_new_private(file: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop)
}

/// Makes the name of a file durable.
pub(crate) fn sync_directory(file: &Path) -> std::io::Result<()> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    std::fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
