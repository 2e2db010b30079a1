//! Wake-ups that are to be published to a broker.

use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, sea_orm::DbErr};

use crate::ddl;

/// The outbox. An installation without a broker leaves it empty.
pub(crate) struct Migration;

const STATEMENTS: &[&str] = &[
    // No foreign key to the job: a row whose job is gone is published all the same, and wakes somebody for nothing.
    // `due_time` is when it may be taken: the job's time at first, later the end of the time for which it was taken.
    "CREATE TABLE outbox (
        id {uuid} NOT NULL PRIMARY KEY,
        job_id {uuid} NOT NULL,
        stage TEXT NOT NULL,
        due_time BIGINT NOT NULL,
        trace_id TEXT NOT NULL
    )",
    "CREATE INDEX outbox_due ON outbox (due_time)",
];

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261121_000002_outbox"
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
