//! What keeps an installation in order: chores, receipts of deletions, lifecycle policies.

use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, sea_orm::DbErr};

use crate::ddl;

/// Chores that one process does at a time, receipts of deletions, lifecycle policies of collections.
pub(crate) struct Migration;

const STATEMENTS: &[&str] = &[
    // For walks over all versions of a tenant.
    "CREATE INDEX document_versions_walk ON document_versions (tenant_id, id)",
    "CREATE TABLE chores (
        name {name} NOT NULL PRIMARY KEY,
        holder TEXT NOT NULL,
        expire_time BIGINT NOT NULL
    )",
    // A row outlives its document: as the tombstone while that is removed, as the receipt when it is gone. `versions` are
    // the ids of its versions as JSON, by which is looked whether anything is left; `left_…` are what was found then.
    "CREATE TABLE deletions (
        document_id {uuid} NOT NULL PRIMARY KEY,
        tenant_id {uuid} NOT NULL REFERENCES tenants (id),
        collection_id {uuid} NOT NULL,
        external_id_sha256 {bytes} NOT NULL,
        cause TEXT NOT NULL,
        key_id {uuid},
        trace_id TEXT NOT NULL,
        versions TEXT NOT NULL,
        removed_versions BIGINT NOT NULL,
        removed_chunks BIGINT NOT NULL,
        removed_points BIGINT NOT NULL,
        removed_objects BIGINT NOT NULL,
        removed_bytes BIGINT NOT NULL,
        request_time BIGINT NOT NULL,
        end_time BIGINT,
        verify_time BIGINT,
        left_rows BIGINT NOT NULL,
        left_points BIGINT NOT NULL,
        left_objects BIGINT NOT NULL
    )",
    "CREATE INDEX deletions_list ON deletions (tenant_id, request_time, document_id)",
    "CREATE INDEX deletions_unverified ON deletions (end_time) WHERE verify_time IS NULL",
    "CREATE INDEX deletions_ended ON deletions (end_time) WHERE end_time IS NOT NULL",
    "CREATE TABLE lifecycle_policies (
        collection_id {uuid} NOT NULL PRIMARY KEY REFERENCES collections (id),
        tenant_id {uuid} NOT NULL REFERENCES tenants (id),
        retention_days INTEGER,
        keep_versions INTEGER,
        purge_failed_days INTEGER,
        purge_orphans BOOLEAN NOT NULL,
        update_time BIGINT NOT NULL,
        orphans_time BIGINT
    )",
];

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261121_000004_upkeep"
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
