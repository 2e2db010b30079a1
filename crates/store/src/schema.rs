//! The version of the tables: what it is, and bringing it up to date.

use std::path::{Path, PathBuf};

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend};
use sea_orm_migration::{MigratorTrait, SchemaManager};
use vectrion_core::{Error, Result};
use vectrion_migrations::Migrator;

use crate::{
    Store,
    connect::{create_new_private, sync_directory},
    failure::{Failure, Outcome},
    sql,
};

/// Advisory lock that keeps two migrations apart on PostgreSQL, whose migrator takes none of its own.
const MIGRATION_LOCK: i64 = 0x7665_6374_7269_6f6e;

/// How the tables compare with what this program needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaStatus {
    /// They are as needed.
    UpToDate,
    /// These migrations are missing, oldest first; on a new database all of them.
    Behind(Vec<String>),
    /// A newer program has applied these migrations, which this one does not know.
    Ahead(Vec<String>),
}

/// What [`Store::migrate`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Migrations applied, oldest first.
    pub applied: Vec<String>,
    /// Copy of the SQLite file from before; none if it was new or up to date.
    pub backup: Option<PathBuf>,
}

impl Store {
    /// Compares the tables with what this program needs. Changes nothing.
    ///
    /// # Errors
    /// Those of [`Store`].
    pub async fn schema_status(&self) -> Result<SchemaStatus> {
        Ok(self.status::<Migrator>().await?)
    }

    /// Brings the tables up to date: all that is missing in one transaction, one process at a time. An existing SQLite
    /// file is copied first, to `<file>.before-<migration>` beside it.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION`, reason `SCHEMA_TOO_NEW`, if a newer program has been here; else those of [`Store`].
    pub async fn migrate(&self) -> Result<Migrated> {
        Ok(self.migrate_with::<Migrator>().await?)
    }

    async fn status<M: MigratorTrait>(&self) -> Outcome<SchemaStatus> {
        Ok(compare::<M>(&applied(&self.snapshot().await?).await?))
    }

    async fn migrate_with<M: MigratorTrait>(&self) -> Outcome<Migrated> {
        let backup = match self.status::<M>().await? {
            SchemaStatus::UpToDate => return Ok(Migrated::default()),
            SchemaStatus::Ahead(unknown) => return Err(too_new(&unknown).into()),
            SchemaStatus::Behind(missing) => self.back_up(&missing).await?,
        };
        let tx = self.begin().await?;
        if tx.get_database_backend() == DbBackend::Postgres {
            // Another process's migration may take longer than a lock is waited for otherwise.
            tx.execute_unprepared("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '5min'").await?;
            sql::across_tenants("SELECT pg_advisory_xact_lock($1)", [MIGRATION_LOCK.into()]).execute(&tx).await?;
            tx.execute_unprepared("SET LOCAL lock_timeout TO DEFAULT").await?;
        }
        let before = applied(&tx).await?;
        if let SchemaStatus::Ahead(unknown) = compare::<M>(&before) {
            return Err(too_new(&unknown).into());
        }
        M::up(&tx, None).await?;
        let after = applied(&tx).await?;
        tx.commit().await?;
        let applied: Vec<String> = after.into_iter().filter(|name| !before.contains(name)).collect();
        tracing::info!(migrations = ?applied, backup = ?backup, "database schema brought up to date");
        Ok(Migrated { applied, backup })
    }

    /// Copies an existing SQLite file, before the first of the missing migrations changes it.
    async fn back_up(&self, missing: &[String]) -> Outcome<Option<PathBuf>> {
        let (Some(file), Some(first)) = (self.file(), missing.first()) else { return Ok(None) };
        if applied(&self.snapshot().await?).await?.is_empty() {
            return Ok(None);
        }
        let copy = beside(file, &format!("before-{first}"));
        let unfinished = beside(file, &format!("before-{first}.tmp"));
        // A copy that an earlier attempt left unfinished.
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot_copy(&copy, error)),
            _ => {}
        }
        create_new_private(&unfinished).map_err(|error| cannot_copy(&copy, error))?;
        let target = unfinished.to_str().ok_or_else(|| {
            Error::precondition("DATABASE_PATH_INVALID", "the path of the database file is not valid UTF-8")
        })?;
        sql::across_tenants("VACUUM INTO $1", [target.into()]).execute(self.writer()).await?;
        make_durable(&unfinished, &copy).map_err(|error| cannot_copy(&copy, error))?;
        Ok(Some(copy))
    }
}

/// Names of the migrations that were applied, oldest first.
async fn applied(tx: &DatabaseTransaction) -> Outcome<Vec<String>> {
    if !SchemaManager::new(tx).has_table("schema_migrations").await? {
        return Ok(Vec::new());
    }
    Ok(sql::across_tenants("SELECT version FROM schema_migrations ORDER BY version", []).scalars(tx).await?)
}

fn known<M: MigratorTrait>() -> Vec<String> {
    M::migrations().iter().map(|migration| migration.name().to_owned()).collect()
}

fn compare<M: MigratorTrait>(applied: &[String]) -> SchemaStatus {
    let known = known::<M>();
    let unknown: Vec<String> = applied.iter().filter(|name| !known.contains(name)).cloned().collect();
    if !unknown.is_empty() {
        return SchemaStatus::Ahead(unknown);
    }
    let missing: Vec<String> = known.into_iter().filter(|name| !applied.contains(name)).collect();
    if missing.is_empty() { SchemaStatus::UpToDate } else { SchemaStatus::Behind(missing) }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Gives the finished copy its name, so that it survives a power cut. `VACUUM INTO` does not sync.
fn make_durable(unfinished: &Path, copy: &Path) -> std::io::Result<()> {
    std::fs::File::open(unfinished)?.sync_all()?;
    std::fs::rename(unfinished, copy)?;
    sync_directory(copy)
}

fn cannot_copy(copy: &Path, error: std::io::Error) -> Failure {
    Error::unavailable(
        "DATABASE_BACKUP_FAILED",
        format!("the database cannot be copied to {} before its migration; nothing was changed", copy.display()),
    )
    .with_source(error)
    .into()
}

fn too_new(unknown: &[String]) -> Error {
    Error::precondition(
        "SCHEMA_TOO_NEW",
        "the database was brought up to date by a newer version of Vectrion; use that version, or restore the copy made \
         before",
    )
    .with_metadata("migrations", unknown.join(", "))
}

#[cfg(test)]
mod tests {
    use sea_orm::DbErr;
    use sea_orm_migration::{MigrationName, MigrationTrait, async_trait};
    use vectrion_core::{ids::TenantId, ports::Directory as _};

    use super::*;
    use crate::{StoreSettings, test_database::connected};

    /// The migrations of a later release.
    struct Later;

    #[async_trait::async_trait]
    impl MigratorTrait for Later {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            let mut all = Migrator::migrations();
            all.push(Box::new(AddNote));
            all
        }

        fn migration_table_name() -> sea_orm::DynIden {
            Migrator::migration_table_name()
        }
    }

    /// The migrations of a later release with a mistake.
    struct Broken;

    #[async_trait::async_trait]
    impl MigratorTrait for Broken {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            let mut all = Later::migrations();
            all.push(Box::new(Mistake));
            all
        }

        fn migration_table_name() -> sea_orm::DynIden {
            Migrator::migration_table_name()
        }
    }

    struct AddNote;

    impl MigrationName for AddNote {
        fn name(&self) -> &str {
            "m20990101_000001_note"
        }
    }

    #[async_trait::async_trait]
    impl MigrationTrait for AddNote {
        async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
            manager.get_connection().execute_unprepared("ALTER TABLE tenants ADD COLUMN note TEXT").await.map(drop)
        }
    }

    struct Mistake;

    impl MigrationName for Mistake {
        fn name(&self) -> &str {
            "m20990101_000002_mistake"
        }
    }

    #[async_trait::async_trait]
    impl MigrationTrait for Mistake {
        async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
            manager.get_connection().execute_unprepared("ALTER TABLE no_such_table ADD COLUMN x TEXT").await.map(drop)
        }
    }

    #[tokio::test]
    async fn a_new_database_is_brought_up_to_date_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = connected(&directory).await;
        assert_eq!(store.schema_status().await.expect("a look"), SchemaStatus::Behind(known::<Migrator>()));
        let migrated = store.migrate().await.expect("migrated");
        assert_eq!(migrated, Migrated { applied: known::<Migrator>(), backup: None }, "there was nothing to copy");
        assert_eq!(store.schema_status().await.expect("a look"), SchemaStatus::UpToDate);
        assert_eq!(store.migrate().await.expect("nothing to do"), Migrated::default());
    }

    #[tokio::test]
    async fn an_existing_file_is_copied_before_its_migration() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = connected(&directory).await;
        store.migrate().await.expect("migrated");
        store.create_tenant(TenantId::new(), "before").await.expect("a tenant");
        let left_over = directory.path().join("vectrion.db.before-m20990101_000001_note.tmp");
        std::fs::write(&left_over, "an attempt that was cut off").expect("written");
        let migrated = store.migrate_with::<Later>().await.expect("migrated");
        assert_eq!(migrated.applied, ["m20990101_000001_note"]);
        store.create_tenant(TenantId::new(), "after").await.expect("a tenant");

        let copy = migrated.backup.expect("a copy");
        assert_eq!(copy, directory.path().join("vectrion.db.before-m20990101_000001_note"));
        assert!(!left_over.exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&copy).expect("the copy").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "it holds what the file holds");
        }
        let url = format!("sqlite://{}", copy.display());
        let old = Store::connect(&url, &StoreSettings::default()).await.expect("the copy");
        assert_eq!(old.schema_status().await.expect("a look"), SchemaStatus::UpToDate);
        assert!(old.tenant_by_name("before").await.expect("a look").is_some());
        assert!(old.tenant_by_name("after").await.expect("a look").is_none());
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = connected(&directory).await;
        store.migrate_with::<Later>().await.expect("migrated");
        let unknown = vec!["m20990101_000001_note".to_owned()];
        assert_eq!(store.schema_status().await.expect("a look"), SchemaStatus::Ahead(unknown));
        let error = store.migrate().await.expect_err("too new");
        assert_eq!(error.reason(), "SCHEMA_TOO_NEW");
        assert_eq!(error.metadata()["migrations"], "m20990101_000001_note");
    }

    #[tokio::test]
    async fn a_migration_that_fails_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = connected(&directory).await;
        store.migrate().await.expect("migrated");
        assert!(store.migrate_with::<Broken>().await.is_err());
        assert_eq!(store.schema_status().await.expect("a look"), SchemaStatus::UpToDate, "not even the sound one");
        store.create_tenant(TenantId::new(), "still works").await.expect("a tenant");
        store.migrate_with::<Later>().await.expect("the next attempt succeeds");
    }
}
