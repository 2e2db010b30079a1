//! Reading, changing, deleting and retrying documents.

use vectrion_core::{
    Result,
    chunk::Chunk,
    document::{DocumentFilter, DocumentOrder},
    ids::DocumentId,
    metadata::Metadata,
    page::{Page, PageRequest},
    ports::catalog::PageInfo,
    tenancy::CallContext,
};

use super::{DocumentView, Ingestion};
use crate::CollectionRef;

impl Ingestion {
    /// A document. A foreign one and a missing one are the same: `NOT_FOUND`, reason `DOCUMENT_NOT_FOUND`.
    pub async fn get_document(&self, context: &CallContext, id: DocumentId) -> Result<DocumentView> {
        let _ = (context, id);
        todo!()
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
        let _ = (context, collection, filter, order, page);
        todo!()
    }

    /// Replaces the metadata.
    pub async fn update_metadata(
        &self,
        context: &CallContext,
        id: DocumentId,
        metadata: Metadata,
    ) -> Result<DocumentView> {
        let _ = (context, id, metadata);
        todo!()
    }

    /// Hides the document and queues its removal.
    pub async fn delete_document(&self, context: &CallContext, id: DocumentId) -> Result<DocumentView> {
        let _ = (context, id);
        todo!()
    }

    /// Works on a failed document again.
    pub async fn retry_document(&self, context: &CallContext, id: DocumentId) -> Result<DocumentView> {
        let _ = (context, id);
        todo!()
    }

    /// Versions, newest first.
    pub async fn list_versions(
        &self,
        context: &CallContext,
        id: DocumentId,
        page: &PageRequest,
    ) -> Result<Page<DocumentView>> {
        let _ = (context, id, page);
        todo!()
    }

    /// Chunks of a version (none: the newest), in order.
    pub async fn list_chunks(
        &self,
        context: &CallContext,
        id: DocumentId,
        version: Option<u32>,
        page: &PageRequest,
    ) -> Result<Page<Chunk>> {
        let _ = (context, id, version, page);
        todo!()
    }

    /// Pages of a version (none: the newest), in order.
    pub async fn list_pages(
        &self,
        context: &CallContext,
        id: DocumentId,
        version: Option<u32>,
        page: &PageRequest,
    ) -> Result<Page<PageInfo>> {
        let _ = (context, id, version, page);
        todo!()
    }
}
