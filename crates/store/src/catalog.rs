//! Documents, versions, pages and chunks.

pub(crate) mod admission;
mod cancel;
pub(crate) mod change;
pub(crate) mod chunk_rows;
mod conditions;
pub(crate) mod deletion;
pub(crate) mod history;
pub(crate) mod lists;
mod metadata;
mod retry;
pub(crate) mod search;
pub(crate) mod view;

use async_trait::async_trait;
use vectrion_core::{
    Result,
    chunk::Chunk,
    deletion::DeletionOrder,
    document::{Document, DocumentFilter, DocumentOrder, DocumentState},
    ids::{ChunkId, DocumentId, JobId, TenantId, VersionId},
    metadata::Metadata,
    page::{Page, PageRequest},
    ports::catalog::{Admission, Admitted, Catalog, Changes, PageInfo, VisibleChunk},
    search::SearchFilter,
};

use crate::Store;

#[async_trait]
impl Catalog for Store {
    async fn admit(&self, admission: Admission) -> Result<Admitted> {
        self.unit(|| admission::admit(self, &admission)).await
    }

    async fn document(&self, tenant: TenantId, id: DocumentId) -> Result<Option<Document>> {
        self.unit(|| view::newest(self.reader(), tenant, id)).await
    }

    async fn document_version(&self, tenant: TenantId, id: DocumentId, version: u32) -> Result<Option<Document>> {
        self.unit(|| view::version(self.reader(), tenant, id, version)).await
    }

    async fn list_documents(
        &self,
        tenant: TenantId,
        filter: &DocumentFilter,
        order: DocumentOrder,
        page: &PageRequest,
    ) -> Result<Page<Document>> {
        self.unit(|| lists::documents(self.reader(), tenant, filter, order, page)).await
    }

    async fn list_versions(&self, tenant: TenantId, id: DocumentId, page: &PageRequest) -> Result<Page<Document>> {
        self.unit(|| lists::versions(self.reader(), tenant, id, page)).await
    }

    async fn update_metadata(&self, tenant: TenantId, id: DocumentId, metadata: Metadata) -> Result<Document> {
        self.long_unit(|| metadata::update(self, tenant, id, &metadata)).await
    }

    async fn begin_delete(&self, tenant: TenantId, id: DocumentId, order: &DeletionOrder) -> Result<Document> {
        self.long_unit(|| deletion::begin(self, tenant, id, order)).await
    }

    async fn retry(&self, tenant: TenantId, id: DocumentId, job: JobId, trace_id: &str) -> Result<Document> {
        self.unit(|| retry::retry(self, tenant, id, job, trace_id)).await
    }

    async fn cancel_work(&self, tenant: TenantId, id: DocumentId) -> Result<Document> {
        self.unit(|| cancel::cancel(self, tenant, id)).await
    }

    async fn list_chunks(
        &self,
        tenant: TenantId,
        id: DocumentId,
        version: Option<u32>,
        page: &PageRequest,
    ) -> Result<Page<Chunk>> {
        self.unit(|| async { lists::chunks(&self.snapshot().await?, tenant, id, version, page).await }).await
    }

    async fn list_pages(
        &self,
        tenant: TenantId,
        id: DocumentId,
        version: Option<u32>,
        page: &PageRequest,
    ) -> Result<Page<PageInfo>> {
        self.unit(|| async { lists::pages(&self.snapshot().await?, tenant, id, version, page).await }).await
    }

    async fn chunks_from(&self, tenant: TenantId, version: VersionId, ordinal: u32, limit: u32) -> Result<Vec<Chunk>> {
        self.unit(|| chunk_rows::from(self.reader(), tenant, version, ordinal, limit)).await
    }

    async fn visible_chunks(
        &self,
        tenant: TenantId,
        ids: &[ChunkId],
        filter: &SearchFilter,
    ) -> Result<Vec<VisibleChunk>> {
        self.unit(|| search::visible_chunks(self, tenant, ids, filter)).await
    }

    async fn matching_documents(&self, tenant: TenantId, filter: &SearchFilter, limit: u32) -> Result<Vec<DocumentId>> {
        self.unit(|| search::matching_documents(self.reader(), tenant, filter, limit)).await
    }

    async fn changes(
        &self,
        tenant: TenantId,
        filter: &DocumentFilter,
        after: i64,
        first_look: bool,
        limit: u32,
    ) -> Result<Changes> {
        self.unit(|| async {
            history::changes(&self.snapshot().await?, tenant, filter, after, first_look, limit).await
        })
        .await
    }

    async fn revision(&self, tenant: TenantId) -> Result<i64> {
        self.unit(|| history::revision(self.reader(), tenant)).await
    }

    async fn trim_history(&self, keep_ms: i64) -> Result<u64> {
        self.long_unit(|| history::trim(self, keep_ms)).await
    }

    async fn count_by_state(&self) -> Result<Vec<(DocumentState, u64)>> {
        self.unit(|| history::count_by_state(self.reader())).await
    }
}
