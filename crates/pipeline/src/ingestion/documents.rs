//! Reading, changing, deleting and retrying documents.

use vectrion_core::{
    Error, Result,
    chunk::Chunk,
    deletion::{DeletionCause, DeletionOrder, DeletionReceipt},
    document::{Document, DocumentFilter, DocumentOrder},
    ids::{DocumentId, JobId},
    job::Stage,
    metadata::Metadata,
    page::{Page, PageRequest},
    ports::catalog::PageInfo,
    tenancy::CallContext,
};

use super::{DocumentView, Ingestion, document_not_found};
use crate::CollectionRef;

impl Ingestion {
    /// A document. A foreign one and a missing one are the same: `NOT_FOUND`, reason `DOCUMENT_NOT_FOUND`.
    pub async fn get_document(&self, context: &CallContext, id: DocumentId) -> Result<DocumentView> {
        let tenant = context.principal.tenant;
        let document = self.ports.catalog.document(tenant, id).await?.ok_or_else(|| document_not_found(id))?;
        self.view(tenant, document).await
    }

    /// Documents. `collection`, if given, goes into the filter; a missing one is `COLLECTION_NOT_FOUND`.
    pub async fn list_documents(
        &self,
        context: &CallContext,
        collection: Option<&CollectionRef>,
        filter: DocumentFilter,
        order: DocumentOrder,
        page: &PageRequest,
    ) -> Result<Page<DocumentView>> {
        let tenant = context.principal.tenant;
        let filter = self.within(context, collection, filter).await?;
        let documents = self.ports.catalog.list_documents(tenant, &filter, order, page).await?;
        self.view_page(context, documents).await
    }

    /// Replaces the metadata.
    pub async fn update_metadata(
        &self,
        context: &CallContext,
        id: DocumentId,
        metadata: Metadata,
    ) -> Result<DocumentView> {
        let tenant = context.principal.tenant;
        let document = self.ports.catalog.update_metadata(tenant, id, metadata).await?;
        self.watching.changed();
        self.view(tenant, document).await
    }

    /// Hides the document and queues its removal.
    pub async fn delete_document(&self, context: &CallContext, id: DocumentId) -> Result<DocumentView> {
        let tenant = context.principal.tenant;
        let order = DeletionOrder {
            job: JobId::new(),
            max_attempts: self.settings.attempts(Stage::DeleteDocument),
            trace_id: context.trace_id.clone(),
            cause: DeletionCause::Request,
            key: Some(context.principal.key),
            at_revision: None,
        };
        let document = self.ports.catalog.begin_delete(tenant, id, &order).await?;
        self.ports.wake(Stage::DeleteDocument).await;
        self.watching.changed();
        self.view(tenant, document).await
    }

    /// What is kept of a document that was, or is being, deleted. Without any it is `NOT_FOUND`, reason
    /// `DELETION_RECEIPT_NOT_FOUND`.
    pub async fn deletion_receipt(&self, context: &CallContext, id: DocumentId) -> Result<DeletionReceipt> {
        self.ports.upkeep.deletion_receipt(context.principal.tenant, id).await?.ok_or_else(|| {
            Error::not_found(
                "DELETION_RECEIPT_NOT_FOUND",
                format!("there is no receipt of a deletion of document {id}"),
            )
            .with_metadata("document_id", id.to_string())
        })
    }

    /// Receipts and tombstones, newest request first.
    pub async fn list_deletion_receipts(
        &self,
        context: &CallContext,
        page: &PageRequest,
    ) -> Result<Page<DeletionReceipt>> {
        self.ports.upkeep.list_deletion_receipts(context.principal.tenant, page).await
    }

    /// Works on a failed document again.
    pub async fn retry_document(&self, context: &CallContext, id: DocumentId) -> Result<DocumentView> {
        let tenant = context.principal.tenant;
        let document = self.ports.catalog.retry(tenant, id, JobId::new(), &context.trace_id).await?;
        // Which stage failed is the catalog's knowledge; a wake-up too many costs a look.
        for stage in Stage::ALL {
            self.ports.wake(stage).await;
        }
        self.watching.changed();
        self.view(tenant, document).await
    }

    /// Calls off the work on a document that is neither indexed nor failed. What waits has failed with reason `CANCELLED`
    /// when this returns; what runs has soon after.
    pub async fn cancel_document(&self, context: &CallContext, id: DocumentId) -> Result<DocumentView> {
        let tenant = context.principal.tenant;
        let document = self.ports.catalog.cancel_work(tenant, id).await?;
        // Chunks of what had waited are to be removed.
        self.ports.wake(Stage::DeleteDocument).await;
        self.watching.changed();
        self.view(tenant, document).await
    }

    /// Versions, newest first.
    pub async fn list_versions(
        &self,
        context: &CallContext,
        id: DocumentId,
        page: &PageRequest,
    ) -> Result<Page<DocumentView>> {
        let versions = self.ports.catalog.list_versions(context.principal.tenant, id, page).await?;
        self.view_page(context, versions).await
    }

    /// Chunks of a version (none: the newest), in order.
    pub async fn list_chunks(
        &self,
        context: &CallContext,
        id: DocumentId,
        version: Option<u32>,
        page: &PageRequest,
    ) -> Result<Page<Chunk>> {
        self.ports.catalog.list_chunks(context.principal.tenant, id, version, page).await
    }

    /// Pages of a version (none: the newest), in order.
    pub async fn list_pages(
        &self,
        context: &CallContext,
        id: DocumentId,
        version: Option<u32>,
        page: &PageRequest,
    ) -> Result<Page<PageInfo>> {
        self.ports.catalog.list_pages(context.principal.tenant, id, version, page).await
    }

    /// The filter, with the collection that the caller names resolved into it.
    pub(super) async fn within(
        &self,
        context: &CallContext,
        collection: Option<&CollectionRef>,
        filter: DocumentFilter,
    ) -> Result<DocumentFilter> {
        let Some(collection) = collection else { return Ok(filter) };
        let found = self.ports.find_collection_id(context.principal.tenant, collection).await?;
        Ok(DocumentFilter { collection: Some(found), ..filter })
    }

    async fn view_page(&self, context: &CallContext, documents: Page<Document>) -> Result<Page<DocumentView>> {
        let items = Self::views(&self.ports, context.principal.tenant, documents.items).await?;
        Ok(Page { items, next: documents.next })
    }
}
