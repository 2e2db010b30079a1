//! Opening the database, and its schema.

use serde::Deserialize;
use vectrion_backends::wakeups::WakeupBackend;
use vectrion_core::Error;
use vectrion_store::{Migrated, SchemaStatus, Store, StoreSettings};

use super::{backend, scheme};
use crate::{
    app::StartError,
    config::{Config, ConfigError, redacted},
    data_dir::DataDir,
    doctor::Finding,
};

/// `[database]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatabaseSettings {
    #[serde(rename = "url")]
    _url: String,
    max_connections: u32,
    acquire_timeout_ms: u64,
    call_timeout_ms: u64,
    statement_timeout_ms: u64,
    lock_timeout_ms: u64,
}

impl DatabaseSettings {
    fn store(&self) -> StoreSettings {
        StoreSettings {
            max_connections: self.max_connections,
            acquire_timeout_ms: self.acquire_timeout_ms,
            call_timeout_ms: self.call_timeout_ms,
            statement_timeout_ms: self.statement_timeout_ms,
            lock_timeout_ms: self.lock_timeout_ms,
            ..StoreSettings::default()
        }
    }
}

fn section(config: &Config) -> Result<DatabaseSettings, ConfigError> {
    config.section("database")
}

/// What cannot work.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let settings = section(config)?;
    for (key, value) in [
        ("database.max_connections", u64::from(settings.max_connections)),
        ("database.acquire_timeout_ms", settings.acquire_timeout_ms),
        ("database.call_timeout_ms", settings.call_timeout_ms),
        ("database.statement_timeout_ms", settings.statement_timeout_ms),
        ("database.lock_timeout_ms", settings.lock_timeout_ms),
    ] {
        if value == 0 {
            return Err(ConfigError::invalid(key, "must be at least 1"));
        }
    }
    Ok(())
}

/// Whether other processes may use the database at the same time.
pub(super) fn is_shared(config: &Config) -> bool {
    scheme(config.text("database.url")) != "sqlite"
}

/// A database of one process is brought up to date at once, after a copy of the file. One that is shared must be already:
/// when to do that is for an operator to decide.
pub(super) async fn open(config: &Config) -> Result<Store, StartError> {
    let store = connect(config).await?;
    let status = store.schema_status().await.map_err(backend("database"))?;
    if status == SchemaStatus::UpToDate {
        return Ok(store);
    }
    if store.is_shared() {
        return Err(backend("database")(out_of_date(&status)));
    }
    let migrated = store.migrate().await.map_err(backend("database"))?;
    tracing::info!(migrations = ?migrated.applied, backup = ?migrated.backup, "database migrated");
    Ok(store)
}

/// Brings the database up to date. Several processes may do so at once: one does it, the others wait.
///
/// # Errors
/// The database cannot be used, or a newer program has been there.
pub async fn migrate(config: &Config) -> Result<Migrated, StartError> {
    // The file of one process: not while that process runs.
    let _data_dir = if is_shared(config) { None } else { Some(DataDir::open(config.data_dir())?) };
    let store = connect(config).await?;
    let migrated = store.migrate().await.map_err(backend("database"))?;
    store.close().await.map_err(backend("database"))?;
    Ok(migrated)
}

/// Whether a database server can be used, with the schema that it has. A file is not opened: a server of ours may be
/// using it.
pub(super) async fn examine(config: &Config) -> Option<Finding> {
    if !is_shared(config) {
        return None;
    }
    Some(match open(config).await {
        Ok(store) => {
            let closed = store.close().await;
            closed.map_or_else(
                |error| Finding::bad("database", error.to_string()),
                |()| Finding::good("database", redacted(config.text("database.url"))),
            )
        }
        Err(error) => Finding::bad("database", error.to_string()),
    })
}

async fn connect(config: &Config) -> Result<Store, StartError> {
    let outbox = WakeupBackend::needs_outbox(config.text("queue.url"));
    let settings = StoreSettings { outbox, ..section(config)?.store() };
    Store::connect(config.text("database.url"), &settings).await.map_err(backend("database"))
}

fn out_of_date(status: &SchemaStatus) -> Error {
    match status {
        SchemaStatus::Ahead(unknown) => Error::precondition(
            "SCHEMA_TOO_NEW",
            format!(
                "a newer version of Vectrion has run `vectrion migrate` on the database of database.url ({}); use that \
                 version here too",
                unknown.join(", ")
            ),
        ),
        SchemaStatus::Behind(missing) => Error::precondition(
            "SCHEMA_TOO_OLD",
            format!(
                "the database of database.url is not up to date; run `vectrion migrate`, or start a server with \
                 `vectrion serve --migrate` (missing: {})",
                missing.join(", ")
            ),
        ),
        SchemaStatus::UpToDate => Error::internal("SCHEMA_UP_TO_DATE", "the database is up to date"),
    }
}
