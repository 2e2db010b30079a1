//! What several servers on one database need of each other.

use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, sea_orm::DbErr};

use crate::ddl;

/// Claims of uploads and request ids with fencing tokens, what became of uploads, and who follows an answer.
pub(crate) struct Migration;

const STATEMENTS: &[&str] = &[
    // `claim_expire_time` is 0 while nobody is ending the upload. The token grows with every claim.
    "ALTER TABLE uploads ADD COLUMN claim_token BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE uploads ADD COLUMN claim_expire_time BIGINT NOT NULL DEFAULT 0",
    // What an upload in pieces became, for who completes it again. No foreign keys: a document may go before.
    "CREATE TABLE completed_uploads (
        tenant_id {uuid} NOT NULL,
        upload_id {uuid} NOT NULL,
        document_id {uuid} NOT NULL,
        version INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        complete_time BIGINT NOT NULL,
        PRIMARY KEY (tenant_id, upload_id)
    )",
    "CREATE INDEX completed_uploads_time ON completed_uploads (complete_time)",
    "ALTER TABLE requests ADD COLUMN claim_token BIGINT NOT NULL DEFAULT 0",
    // When somebody last followed the answer through another server than the one that writes it; 0: never.
    "ALTER TABLE answers ADD COLUMN follow_time BIGINT NOT NULL DEFAULT 0",
];

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261121_000005_servers"
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
