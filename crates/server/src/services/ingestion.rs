//! IngestionService.

mod upload;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming, async_trait};
use vectrion::v1::{self, ingestion_service_server::IngestionService};
use vectrion_core::{Error, Result};
use vectrion_pipeline::ingestion::{Content, Ingestion};

use super::{
    handling::{Responses, streaming, unary},
    replay::Mutations,
};
use crate::{decode, encode};

/// Bytes of a message of content.
const PIECE: usize = 256 * 1024;

/// IngestionService over the use cases.
pub(crate) struct IngestionApi {
    ingestion: Arc<Ingestion>,
    mutations: Mutations,
    /// How long an upload in one call waits for the next message.
    patience: Duration,
}

impl IngestionApi {
    pub(crate) fn new(ingestion: Arc<Ingestion>, mutations: Mutations, patience: Duration) -> Self {
        Self { ingestion, mutations, patience }
    }
}

#[async_trait]
impl IngestionService for IngestionApi {
    type WatchDocumentsStream = Responses<v1::WatchDocumentsResponse>;
    type GetDocumentContentStream = Responses<v1::GetDocumentContentResponse>;

    async fn upload_document(
        &self,
        request: Request<Streaming<v1::UploadDocumentRequest>>,
    ) -> Result<Response<v1::UploadDocumentResponse>, Status> {
        let (ingestion, patience) = (Arc::clone(&self.ingestion), self.patience);
        self.mutations
            .finish(request, move |known, call, messages| upload::document(ingestion, known, patience, call, messages))
            .await
    }

    async fn create_upload(
        &self,
        request: Request<v1::CreateUploadRequest>,
    ) -> Result<Response<v1::CreateUploadResponse>, Status> {
        self.mutations
            .run(&self.ingestion, request, |ingestion, call, message| async move {
                let spec = decode::upload_header(message.header)?;
                let upload = ingestion.create_upload(&call.context, spec).await?;
                Ok(v1::CreateUploadResponse { upload: Some(encode::upload(upload)) })
            })
            .await
    }

    async fn upload_chunk(
        &self,
        request: Request<v1::UploadChunkRequest>,
    ) -> Result<Response<v1::UploadChunkResponse>, Status> {
        unary(request, |call, message| async move {
            let (id, offset, data) = decode::upload_chunk(message)?;
            let committed = self.ingestion.upload_chunk(&call.context, id, offset, data).await?;
            Ok(v1::UploadChunkResponse { committed_size: encode::size(committed) })
        })
        .await
    }

    async fn get_upload(
        &self,
        request: Request<v1::GetUploadRequest>,
    ) -> Result<Response<v1::GetUploadResponse>, Status> {
        unary(request, |call, message| async move {
            let id = decode::id("upload_id", &message.upload_id)?;
            let upload = self.ingestion.get_upload(&call.context, id).await?;
            Ok(v1::GetUploadResponse { upload: Some(encode::upload(upload)) })
        })
        .await
    }

    async fn complete_upload(
        &self,
        request: Request<v1::CompleteUploadRequest>,
    ) -> Result<Response<v1::CompleteUploadResponse>, Status> {
        self.mutations
            .run(&self.ingestion, request, |ingestion, call, message| async move {
                let id = decode::id("upload_id", &message.upload_id)?;
                let sha256 = decode::sha256("sha256", &message.sha256)?;
                let (view, admitted) = ingestion.complete_upload(&call.context, id, sha256).await?;
                let (document, outcome) = encode::uploaded(view, &admitted);
                Ok(v1::CompleteUploadResponse { document: Some(document), outcome: outcome.into() })
            })
            .await
    }

    async fn abort_upload(
        &self,
        request: Request<v1::AbortUploadRequest>,
    ) -> Result<Response<v1::AbortUploadResponse>, Status> {
        self.mutations
            .run(&self.ingestion, request, |ingestion, call, message| async move {
                let id = decode::id("upload_id", &message.upload_id)?;
                ingestion.abort_upload(&call.context, id).await?;
                Ok(v1::AbortUploadResponse {})
            })
            .await
    }

    async fn get_document(
        &self,
        request: Request<v1::GetDocumentRequest>,
    ) -> Result<Response<v1::GetDocumentResponse>, Status> {
        unary(request, |call, message| async move {
            let id = decode::id("document_id", &message.document_id)?;
            let view = self.ingestion.get_document(&call.context, id).await?;
            Ok(v1::GetDocumentResponse { document: Some(encode::document(view)) })
        })
        .await
    }

    async fn list_documents(
        &self,
        request: Request<v1::ListDocumentsRequest>,
    ) -> Result<Response<v1::ListDocumentsResponse>, Status> {
        unary(request, |call, message| async move {
            let page = decode::page(message.page_size, message.page_token)?;
            let order = decode::document_order(&message.order_by)?;
            let (collection, filter) = decode::document_filter(message.filter)?;
            let found = self.ingestion.list_documents(&call.context, collection.as_ref(), filter, order, &page).await?;
            let (documents, next_page_token) = encode::page(found, encode::document);
            Ok(v1::ListDocumentsResponse { documents, next_page_token })
        })
        .await
    }

    async fn update_document(
        &self,
        request: Request<v1::UpdateDocumentRequest>,
    ) -> Result<Response<v1::UpdateDocumentResponse>, Status> {
        self.mutations
            .run(&self.ingestion, request, |ingestion, call, message| async move {
                let id = decode::id("document_id", &message.document_id)?;
                let metadata = decode::required_metadata("metadata", message.metadata)?;
                let view = ingestion.update_metadata(&call.context, id, metadata).await?;
                Ok(v1::UpdateDocumentResponse { document: Some(encode::document(view)) })
            })
            .await
    }

    async fn delete_document(
        &self,
        request: Request<v1::DeleteDocumentRequest>,
    ) -> Result<Response<v1::DeleteDocumentResponse>, Status> {
        self.mutations
            .run(&self.ingestion, request, |ingestion, call, message| async move {
                let id = decode::id("document_id", &message.document_id)?;
                let view = ingestion.delete_document(&call.context, id).await?;
                Ok(v1::DeleteDocumentResponse { document: Some(encode::document(view)) })
            })
            .await
    }

    async fn retry_document(
        &self,
        request: Request<v1::RetryDocumentRequest>,
    ) -> Result<Response<v1::RetryDocumentResponse>, Status> {
        self.mutations
            .run(&self.ingestion, request, |ingestion, call, message| async move {
                let id = decode::id("document_id", &message.document_id)?;
                let view = ingestion.retry_document(&call.context, id).await?;
                Ok(v1::RetryDocumentResponse { document: Some(encode::document(view)) })
            })
            .await
    }

    async fn watch_documents(
        &self,
        request: Request<v1::WatchDocumentsRequest>,
    ) -> Result<Response<Self::WatchDocumentsStream>, Status> {
        streaming(request, |call, message| async move {
            let after = decode::revision("after_revision", message.after_revision)?;
            let (collection, filter) = decode::document_filter(message.filter)?;
            let events = self.ingestion.watch(&call.context, collection.as_ref(), filter, after).await?;
            let end = async {
                Err(Error::unavailable("SERVER_SHUTTING_DOWN", "the server is shutting down; connect again and go on"))
            };
            Ok(events.map(|event| event.map(encode::watch_event)).chain(futures::stream::once(end)))
        })
        .await
    }

    async fn list_document_versions(
        &self,
        request: Request<v1::ListDocumentVersionsRequest>,
    ) -> Result<Response<v1::ListDocumentVersionsResponse>, Status> {
        unary(request, |call, message| async move {
            let id = decode::id("document_id", &message.document_id)?;
            let page = decode::page(message.page_size, message.page_token)?;
            let found = self.ingestion.list_versions(&call.context, id, &page).await?;
            let (documents, next_page_token) = encode::page(found, encode::document);
            Ok(v1::ListDocumentVersionsResponse { documents, next_page_token })
        })
        .await
    }

    async fn list_chunks(
        &self,
        request: Request<v1::ListChunksRequest>,
    ) -> Result<Response<v1::ListChunksResponse>, Status> {
        unary(request, |call, message| async move {
            let id = decode::id("document_id", &message.document_id)?;
            let version = decode::version("version", message.version)?;
            let page = decode::page(message.page_size, message.page_token)?;
            let found = self.ingestion.list_chunks(&call.context, id, version, &page).await?;
            let (chunks, next_page_token) = encode::page(found, encode::chunk);
            Ok(v1::ListChunksResponse { chunks, next_page_token })
        })
        .await
    }

    async fn list_pages(
        &self,
        request: Request<v1::ListPagesRequest>,
    ) -> Result<Response<v1::ListPagesResponse>, Status> {
        unary(request, |call, message| async move {
            let id = decode::id("document_id", &message.document_id)?;
            let version = decode::version("version", message.version)?;
            let page = decode::page(message.page_size, message.page_token)?;
            let found = self.ingestion.list_pages(&call.context, id, version, &page).await?;
            let (pages, next_page_token) = encode::page(found, encode::page_info);
            Ok(v1::ListPagesResponse { pages, next_page_token })
        })
        .await
    }

    async fn get_document_content(
        &self,
        request: Request<v1::GetDocumentContentRequest>,
    ) -> Result<Response<Self::GetDocumentContentStream>, Status> {
        streaming(request, |call, message| async move {
            let id = decode::id("document_id", &message.document_id)?;
            let version = decode::version("version", message.version)?;
            let kind = decode::content_kind("kind", message.kind)?;
            let offset = decode::count("read_offset", message.read_offset)?;
            let content = self.ingestion.content(&call.context, id, version, kind, offset).await?;
            Ok(pieces(content))
        })
        .await
    }

    async fn cancel_document(
        &self,
        request: Request<v1::CancelDocumentRequest>,
    ) -> Result<Response<v1::CancelDocumentResponse>, Status> {
        self.mutations
            .run(&self.ingestion, request, |ingestion, call, message| async move {
                let id = decode::id("document_id", &message.document_id)?;
                let view = ingestion.cancel_document(&call.context, id).await?;
                Ok(v1::CancelDocumentResponse { document: Some(encode::document(view)) })
            })
            .await
    }

    async fn get_deletion_receipt(
        &self,
        request: Request<v1::GetDeletionReceiptRequest>,
    ) -> Result<Response<v1::GetDeletionReceiptResponse>, Status> {
        unary(request, |call, message| async move {
            let id = decode::id("document_id", &message.document_id)?;
            let receipt = self.ingestion.deletion_receipt(&call.context, id).await?;
            Ok(v1::GetDeletionReceiptResponse { receipt: Some(encode::deletion_receipt(receipt)) })
        })
        .await
    }

    async fn list_deletion_receipts(
        &self,
        request: Request<v1::ListDeletionReceiptsRequest>,
    ) -> Result<Response<v1::ListDeletionReceiptsResponse>, Status> {
        unary(request, |call, message| async move {
            let page = decode::page(message.page_size, message.page_token)?;
            let found = self.ingestion.list_deletion_receipts(&call.context, &page).await?;
            let (receipts, next_page_token) = encode::page(found, encode::deletion_receipt);
            Ok(v1::ListDeletionReceiptsResponse { receipts, next_page_token })
        })
        .await
    }
}

/// The content in messages of one size, whatever pieces the store gives; read no faster than the caller takes them.
fn pieces(content: Content) -> impl Stream<Item = Result<v1::GetDocumentContentResponse>> + Send + 'static {
    let Content { content_type, size, mut stream } = content;
    async_stream::try_stream! {
        yield v1::GetDocumentContentResponse { content_type, size_bytes: encode::size(size), data: Bytes::new() };
        let mut gathered = Vec::new();
        while let Some(bytes) = stream.next().await {
            let mut bytes = bytes?;
            while gathered.len() + bytes.len() >= PIECE {
                let part = bytes.split_to(PIECE - gathered.len());
                let data = if gathered.is_empty() {
                    part
                } else {
                    gathered.extend_from_slice(&part);
                    Bytes::from(std::mem::take(&mut gathered))
                };
                yield v1::GetDocumentContentResponse { data, ..Default::default() };
            }
            gathered.extend_from_slice(&bytes);
        }
        if !gathered.is_empty() {
            yield v1::GetDocumentContentResponse { data: Bytes::from(gathered), ..Default::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{TryStreamExt as _, stream};

    use super::*;

    #[tokio::test]
    async fn content_comes_in_messages_of_one_size() {
        for sizes in [vec![], vec![1], vec![PIECE], vec![PIECE - 1, 2], vec![3 * PIECE + 5], vec![1000; 700]] {
            let bytes: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(n, size)| vec![u8::try_from(n % 251).unwrap_or(0); *size]).collect();
            let whole = bytes.concat();
            let stream = stream::iter(bytes.into_iter().map(|part| Ok(Bytes::from(part)))).boxed();
            let content = Content { content_type: "text/plain".into(), size: whole.len() as u64, stream };
            let messages: Vec<_> = pieces(content).try_collect().await.expect("no error");
            assert_eq!((messages[0].content_type.as_str(), messages[0].size_bytes), ("text/plain", whole.len() as i64));
            let data: Vec<_> = messages[1..].iter().map(|message| message.data.clone()).collect();
            assert_eq!(data.concat(), whole);
            assert!(data.iter().rev().skip(1).all(|data| data.len() == PIECE), "all but the last are full");
            assert!(data.last().is_none_or(|data| (1..=PIECE).contains(&data.len())));
        }
    }

    #[tokio::test]
    async fn an_error_of_the_store_ends_the_content() {
        let stream = stream::iter([Ok(Bytes::from_static(b"ab")), Err(Error::unavailable("X", "gone"))]).boxed();
        let content = Content { content_type: "text/plain".into(), size: 9, stream };
        assert_eq!(pieces(content).try_collect::<Vec<_>>().await.expect_err("broken").reason(), "X");
    }
}
