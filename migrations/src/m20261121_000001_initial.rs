//! The first schema.
//!
//! Times are integer milliseconds since the Unix epoch, by the database's clock. Ids are UUIDs. Every row that belongs
//! to a tenant says so. Lists and nested values that are only ever read whole are JSON text.

mod answers;
mod documents;
mod jobs;
mod tenancy;
mod uploads;

use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, sea_orm::DbErr};

use crate::ddl;

/// The first schema.
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261121_000001_initial"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statements in
            [tenancy::STATEMENTS, documents::STATEMENTS, jobs::STATEMENTS, uploads::STATEMENTS, answers::STATEMENTS]
        {
            ddl::run(manager, statements).await?;
        }
        Ok(())
    }
}
