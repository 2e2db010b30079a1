//! Database migrations of Vectrion, for SQLite and PostgreSQL.
//!
//! Rules: a migration that was released is never changed. A release expands the schema (new tables, columns that may be
//! null or have a default, indexes) and only the next one contracts it, so that the release before still runs on it. All
//! pending migrations are applied in one transaction, which the caller opens: `vectrion-store` does, under a lock.

mod ddl;
mod m20261121_000001_initial;
mod m20261121_000002_outbox;
mod m20261121_000003_jobs;
mod m20261121_000004_upkeep;
mod m20261121_000005_servers;

use sea_orm_migration::{
    MigrationTrait, MigratorTrait, async_trait,
    sea_orm::{DynIden, sea_query::IntoIden},
};

/// All migrations, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_initial::Migration),
            Box::new(m20261121_000002_outbox::Migration),
            Box::new(m20261121_000003_jobs::Migration),
            Box::new(m20261121_000004_upkeep::Migration),
            Box::new(m20261121_000005_servers::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "schema_migrations".into_iden()
    }
}
