//! Cancelling, the history of jobs, causes of dead letters, rates of queues.

use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, sea_orm::DbErr};

use crate::ddl;

/// What operators see of jobs, and how a caller calls them off.
pub(crate) struct Migration;

const STATEMENTS: &[&str] = &[
    // When a caller called off a job that somebody works on.
    "ALTER TABLE jobs ADD COLUMN cancel_time BIGINT",
    // The last tries, as JSON; written with the end of each.
    "ALTER TABLE jobs ADD COLUMN history TEXT NOT NULL DEFAULT '[]'",
    // Takes the place of `jobs_ended`: retention reads its beginning, the rates of the queues its end, without the rows.
    "CREATE INDEX jobs_rates ON jobs (end_time, stage, state, tenant_id) WHERE end_time IS NOT NULL",
    "DROP INDEX jobs_ended",
    "CREATE INDEX dead_letters_cause ON dead_letters (tenant_id, stage, reason, create_time)",
];

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261121_000003_jobs"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, STATEMENTS).await
    }
}
