//! Connections: one writer and several readers on SQLite, one pool on PostgreSQL.

mod first;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sea_orm::{
    AccessMode, ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend, IsolationLevel,
    SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
};
use serde::Deserialize;
use vectrion_core::{Error, Result};

pub(crate) use self::sqlite::{create_new_private, sync_directory};
use crate::{
    failure::{Failure, Outcome, explain_driver},
    outbox::Announcer,
    sql,
};

/// Settings of the connections.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// Connections at the most: those that read (SQLite, which has one more that writes), or all (PostgreSQL).
    pub max_connections: u32,
    /// Milliseconds to wait for a free connection; then the call fails as `UNAVAILABLE`, `DATABASE_UNAVAILABLE`.
    pub acquire_timeout_ms: u64,
    /// Milliseconds to wait for another process that has locked the file (SQLite); then `DATABASE_BUSY`.
    pub busy_timeout_ms: u64,
    /// Milliseconds that the database may take for a call, with all of its waits; then `UNAVAILABLE`,
    /// `DATABASE_UNAVAILABLE`. What writes or removes all rows of a document may take 20 times as long, one statement of
    /// it twice as long.
    pub call_timeout_ms: u64,
    /// Milliseconds that a statement may take (PostgreSQL); then `DATABASE_TIMEOUT`.
    pub statement_timeout_ms: u64,
    /// Milliseconds that a statement may wait for a lock (PostgreSQL); then `TRANSACTION_CONFLICT`, and it is tried again.
    pub lock_timeout_ms: u64,
    /// Whether every job that becomes ready is announced in the outbox, for a relay to publish. Without a relay the outbox
    /// would only grow.
    pub outbox: bool,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            max_connections: 8,
            acquire_timeout_ms: 10_000,
            busy_timeout_ms: 5_000,
            call_timeout_ms: 15_000,
            statement_timeout_ms: 60_000,
            lock_timeout_ms: 5_000,
            outbox: false,
        }
    }
}

/// The database. Clones share its connections.
///
/// Implements the ports [`Directory`](vectrion_core::ports::Directory), [`Catalog`](vectrion_core::ports::Catalog),
/// [`Jobs`](vectrion_core::ports::Jobs), [`Uploads`](vectrion_core::ports::Uploads),
/// [`Answers`](vectrion_core::ports::Answers), [`Idempotency`](vectrion_core::ports::Idempotency) and
/// [`Outbox`](vectrion_core::ports::Outbox). Beside the reasons that these name, every method may fail with:
///
/// - `UNAVAILABLE`: `DATABASE_UNAVAILABLE` (out of reach, or no connection free), `DATABASE_BUSY` (another process has
///   locked the SQLite file);
/// - `RESOURCE_EXHAUSTED`, `STORAGE_FULL`: the disk is full, nothing was changed;
/// - `DEADLINE_EXCEEDED`, `DATABASE_TIMEOUT`; `ABORTED`, `TRANSACTION_CONFLICT`: the same call may succeed later;
/// - `FAILED_PRECONDITION`: `DATABASE_READ_ONLY`, `DATABASE_LOGIN_REFUSED`, `DATABASE_MISSING`;
/// - `DATA_LOSS`, `DATABASE_CORRUPT`;
/// - `INTERNAL`, `DATABASE_ERROR`: a defect.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
    file: Option<PathBuf>,
    busy_timeout_ms: u64,
    call_timeout: Duration,
    announcer: Announcer,
}

impl Store {
    /// Connects to `sqlite://PATH` (the file is made if it is not there, readable by its owner alone) or
    /// `postgres://USER:PASSWORD@HOST/DATABASE`. Creates and changes no table: see [`Store::migrate`].
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, reason `DATABASE_URL_INVALID`; else those of [`Store`]. The URL, which may hold a password, is
    /// never part of the message.
    pub async fn connect(url: &str, settings: &StoreSettings) -> Result<Self> {
        let inner = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => sqlite::connect(url, settings).await?,
            Some("postgres" | "postgresql") => postgres::connect(url, settings).await?,
            _ => return Err(invalid_url("must begin with `sqlite://` or `postgres://`")),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether other processes may use the database at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.inner.file.is_none()
    }

    /// Whether jobs that become ready are announced in the outbox.
    #[must_use]
    pub fn has_outbox(&self) -> bool {
        self.inner.announcer == Announcer::Outbox
    }

    /// Whether the database answers now.
    ///
    /// # Errors
    /// Those of [`Store`].
    pub async fn check(&self) -> Result<()> {
        let look = || async { Ok(sql::across_tenants("SELECT 1", []).scalar(self.reader()).await?) };
        let answer: Option<i32> = self.unit(look).await?;
        debug_assert_eq!(answer, Some(1));
        Ok(())
    }

    /// Waits for the calls under way and closes all connections; later calls fail as `DATABASE_UNAVAILABLE`.
    ///
    /// # Errors
    /// Those of [`Store`].
    pub async fn close(&self) -> Result<()> {
        // The last connection to a SQLite file moves the log into it and needs to be one that writes.
        self.inner.reader.close_by_ref().await.map_err(Failure::from)?;
        self.inner.writer.close_by_ref().await.map_err(Failure::from)?;
        Ok(())
    }

    /// The path of the SQLite file.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.inner.file.as_deref()
    }

    /// For reads of one statement.
    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.inner.reader
    }

    /// For writes of one statement.
    pub(crate) fn writer(&self) -> &DatabaseConnection {
        &self.inner.writer
    }

    /// Time that the database may take for a call.
    pub(crate) fn call_timeout(&self) -> Duration {
        self.inner.call_timeout
    }

    /// Who is told of jobs that become ready.
    pub(crate) fn announcer(&self) -> Announcer {
        self.inner.announcer
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.inner.writer.get_database_backend()
    }

    /// A transaction that writes. Dropped without commit, it changes nothing.
    pub(crate) async fn begin(&self) -> Outcome<DatabaseTransaction> {
        let sqlite_transaction_mode = match self.backend() {
            DbBackend::Sqlite => Some(SqliteTransactionMode::Immediate),
            _ => None,
        };
        let options = TransactionOptions { sqlite_transaction_mode, ..Default::default() };
        Ok(self.inner.writer.begin_with_options(options).await?)
    }

    /// A transaction whose reads all see the same moment.
    pub(crate) async fn snapshot(&self) -> Outcome<DatabaseTransaction> {
        let options = match self.backend() {
            DbBackend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
                ..Default::default()
            },
            _ => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                sqlite_transaction_mode: None,
            },
        };
        Ok(self.inner.reader.begin_with_options(options).await?)
    }

    /// Empties SQLite's write-ahead log, in which removed rows can still be read. Gives up quietly when a reader is in
    /// the way: the next removal, or the end of the process, does it.
    pub(crate) async fn truncate_log(&self) -> Outcome<()> {
        if self.backend() == DbBackend::Sqlite {
            let usual = self.inner.busy_timeout_ms;
            let statements =
                format!("PRAGMA busy_timeout = 200; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = {usual}");
            self.inner.writer.execute_unprepared(&statements).await?;
        }
        Ok(())
    }
}

impl StoreSettings {
    fn announcer(&self) -> Announcer {
        if self.outbox { Announcer::Outbox } else { Announcer::Silent }
    }
}

fn invalid_url(rule: &str) -> Error {
    Error::invalid("DATABASE_URL_INVALID", format!("database.url {rule}")).with_violation("database.url", rule)
}

fn cannot_connect(error: sqlx::Error) -> Error {
    explain_driver(&error).with_source(error)
}
