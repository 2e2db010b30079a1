//! Uploads, in one call and in pieces.

use bytes::Bytes;
use futures::stream::BoxStream;
use vectrion_core::{
    Result,
    ids::UploadId,
    ports::{catalog::Admitted, uploads::Upload},
    tenancy::CallContext,
};

use super::{DocumentView, Ingestion, UploadPart, UploadSpec};

impl Ingestion {
    /// Uploads a document in one call. Size, type and checksum are checked while the bytes come in; nothing is left of an
    /// upload that fails.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: `EMPTY_FILE`, `UNSUPPORTED_TYPE`, `CHECKSUM_MISMATCH`, `SIZE_MISMATCH`;
    /// `RESOURCE_EXHAUSTED`: `DOCUMENT_TOO_LARGE`, `STORAGE_FULL`; `NOT_FOUND`: `COLLECTION_NOT_FOUND`.
    pub async fn upload(
        &self,
        context: &CallContext,
        spec: UploadSpec,
        parts: BoxStream<'static, Result<UploadPart>>,
    ) -> Result<(DocumentView, Admitted)> {
        let _ = (context, spec, parts);
        todo!()
    }

    /// Begins an upload in pieces.
    pub async fn create_upload(&self, context: &CallContext, spec: UploadSpec) -> Result<Upload> {
        let _ = (context, spec);
        todo!()
    }

    /// Stores the next bytes and returns the new committed size. `OUT_OF_RANGE`, reason `WRONG_OFFSET`, with metadata
    /// `committed_size`, if `offset` is not the committed size.
    pub async fn upload_chunk(&self, context: &CallContext, id: UploadId, offset: u64, data: Bytes) -> Result<u64> {
        let _ = (context, id, offset, data);
        todo!()
    }

    /// An upload in pieces. `NOT_FOUND`, reason `UPLOAD_NOT_FOUND`.
    pub async fn get_upload(&self, context: &CallContext, id: UploadId) -> Result<Upload> {
        let _ = (context, id);
        todo!()
    }

    /// Ends an upload in pieces, with the checks of [`Ingestion::upload`].
    pub async fn complete_upload(
        &self,
        context: &CallContext,
        id: UploadId,
        sha256: Option<[u8; 32]>,
    ) -> Result<(DocumentView, Admitted)> {
        let _ = (context, id, sha256);
        todo!()
    }

    /// Gives an upload up and removes its bytes. A missing one is no error.
    pub async fn abort_upload(&self, context: &CallContext, id: UploadId) -> Result<()> {
        let _ = (context, id);
        todo!()
    }
}
