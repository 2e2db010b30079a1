//! What keeps an installation in order.

mod chores;
pub(crate) mod inventory;
pub(crate) mod lifecycle;
pub(crate) mod receipts;
mod requeue;

use std::time::Duration;

use async_trait::async_trait;
use vectrion_core::{
    Result,
    deletion::{DeletionReceipt, Left, Removed},
    ids::{ChunkId, CollectionId, DocumentId, JobId, TenantId, UploadId, VersionId},
    job::JobPayload,
    lifecycle::{LifecycleCandidate, LifecyclePolicy, LifecycleRule, LifecycleRules},
    page::{Page, PageRequest},
    ports::upkeep::{Upkeep, VersionRecord},
};

use crate::{Store, jobs::millis};

#[async_trait]
impl Upkeep for Store {
    async fn walk_versions(
        &self,
        tenant: TenantId,
        collection: Option<CollectionId>,
        after: Option<VersionId>,
        limit: u32,
    ) -> Result<Vec<VersionRecord>> {
        self.long_unit(|| inventory::versions(self.reader(), tenant, collection, after, limit)).await
    }

    async fn version_record(&self, tenant: TenantId, version: VersionId) -> Result<Option<VersionRecord>> {
        self.unit(|| inventory::version(self.reader(), tenant, version)).await
    }

    async fn known_versions(&self, tenant: TenantId, versions: &[VersionId]) -> Result<Vec<VersionId>> {
        self.unit(|| async { inventory::known_versions(&self.snapshot().await?, tenant, versions).await }).await
    }

    async fn known_uploads(&self, tenant: TenantId, uploads: &[UploadId]) -> Result<Vec<UploadId>> {
        self.unit(|| inventory::known_uploads(self.reader(), tenant, uploads)).await
    }

    async fn known_chunks(&self, tenant: TenantId, chunks: &[ChunkId]) -> Result<Vec<ChunkId>> {
        self.unit(|| inventory::known_chunks(self.reader(), tenant, chunks)).await
    }

    async fn requeue(
        &self,
        tenant: TenantId,
        document: DocumentId,
        payload: JobPayload,
        job: JobId,
        max_attempts: u32,
        trace_id: &str,
    ) -> Result<bool> {
        self.unit(|| requeue::requeue(self, tenant, document, payload.clone(), job, max_attempts, trace_id)).await
    }

    async fn deletion_receipt(&self, tenant: TenantId, document: DocumentId) -> Result<Option<DeletionReceipt>> {
        self.unit(|| receipts::get(self.reader(), tenant, document)).await
    }

    async fn list_deletion_receipts(&self, tenant: TenantId, page: &PageRequest) -> Result<Page<DeletionReceipt>> {
        self.unit(|| receipts::list(self.reader(), tenant, page)).await
    }

    async fn note_removal(&self, tenant: TenantId, document: DocumentId, removed: Removed) -> Result<()> {
        self.unit(|| receipts::note_removal(self, tenant, document, removed)).await
    }

    async fn unverified_receipts(&self, after: Option<&DeletionReceipt>, limit: u32) -> Result<Vec<DeletionReceipt>> {
        self.unit(|| receipts::unverified(self.reader(), after, limit)).await
    }

    async fn rows_left(&self, receipt: &DeletionReceipt) -> Result<u64> {
        self.long_unit(|| async { receipts::rows_left(&self.snapshot().await?, receipt).await }).await
    }

    async fn note_left(&self, tenant: TenantId, document: DocumentId, left: Left) -> Result<()> {
        self.unit(|| receipts::note_left(self, tenant, document, left)).await
    }

    async fn purge_receipts(&self, keep_ms: i64) -> Result<u64> {
        self.long_unit(|| receipts::purge(self, keep_ms)).await
    }

    async fn lifecycle_policy(&self, tenant: TenantId, collection: CollectionId) -> Result<LifecyclePolicy> {
        self.unit(|| lifecycle::policy(self.reader(), tenant, collection)).await
    }

    async fn set_lifecycle_policy(
        &self,
        tenant: TenantId,
        collection: CollectionId,
        rules: LifecycleRules,
    ) -> Result<LifecyclePolicy> {
        self.unit(|| lifecycle::set(self, tenant, collection, rules)).await
    }

    async fn walk_lifecycle_policies(&self, after: Option<CollectionId>, limit: u32) -> Result<Vec<LifecyclePolicy>> {
        self.unit(|| lifecycle::walk(self.reader(), after, limit)).await
    }

    async fn begin_orphans(&self, tenant: TenantId, collection: CollectionId, every: Duration) -> Result<bool> {
        self.unit(|| lifecycle::begin_orphans(self, tenant, collection, millis(every))).await
    }

    async fn lifecycle_candidates(
        &self,
        tenant: TenantId,
        collection: CollectionId,
        rule: LifecycleRule,
        after: Option<VersionId>,
        limit: u32,
    ) -> Result<Vec<LifecycleCandidate>> {
        self.long_unit(|| lifecycle::candidates(self, tenant, collection, rule, after, limit)).await
    }

    async fn hold_chore(&self, chore: &str, holder: &str, hold_for: Duration) -> Result<bool> {
        self.unit(|| chores::hold(self, chore, holder, millis(hold_for))).await
    }

    async fn release_chore(&self, chore: &str, holder: &str) -> Result<()> {
        self.unit(|| chores::release(self, chore, holder)).await
    }
}
