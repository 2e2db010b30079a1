//! Documents, chunks, pages, uploads, watches.

use vectrion::v1::{self, watch_documents_response::Event};
use vectrion_core::{
    chunk::Chunk,
    document::{DocumentState, Failure, Warning},
    ports::{
        catalog::{Admitted, PageInfo},
        uploads::{Upload, UploadHeader},
    },
};
use vectrion_pipeline::ingestion::{DocumentView, WatchEvent, WatchEventKind};

use super::{
    metadata::metadata,
    values::{boxes, number, size, small, time},
};

/// A document through the version that the view shows.
pub(crate) fn document(view: DocumentView) -> v1::Document {
    let DocumentView { document, vector_count } = view;
    v1::Document {
        document_id: document.id.to_string(),
        collection_id: document.collection.to_string(),
        external_id: document.external_id,
        filename: document.filename,
        title: document.title.unwrap_or_default(),
        content_type: document.content_type,
        size_bytes: size(document.size),
        sha256: document.sha256,
        version: number(document.version),
        state: state(document.state).into(),
        progress: Some(v1::DocumentProgress {
            pages_total: number(document.progress.pages_total),
            pages_done: number(document.progress.pages_done),
            chunks_total: number(document.progress.chunks_total),
            chunks_done: number(document.progress.chunks_done),
        }),
        page_count: number(document.page_count),
        chunk_count: number(document.chunk_count),
        vector_count: small(vector_count),
        failure: document.failure.map(failure),
        warnings: document.warnings.into_iter().map(warning).collect(),
        metadata: Some(metadata(&document.metadata)),
        create_time: Some(time(document.create_time)),
        update_time: Some(time(document.update_time)),
        indexed_version: document.indexed_version.map_or(0, number),
        revision: document.revision,
    }
}

fn state(state: DocumentState) -> v1::DocumentState {
    match state {
        DocumentState::Uploaded => v1::DocumentState::Uploaded,
        DocumentState::Processing => v1::DocumentState::Processing,
        DocumentState::Processed => v1::DocumentState::Processed,
        DocumentState::Embedding => v1::DocumentState::Embedding,
        DocumentState::Indexed => v1::DocumentState::Indexed,
        DocumentState::Failed => v1::DocumentState::Failed,
        DocumentState::Deleting => v1::DocumentState::Deleting,
    }
}

fn failure(failure: Failure) -> v1::DocumentFailure {
    let Failure { stage, reason, message, attempts } = failure;
    v1::DocumentFailure { stage, reason, message, attempts: number(attempts) }
}

fn warning(warning: Warning) -> v1::DocumentWarning {
    let Warning { reason, message } = warning;
    v1::DocumentWarning { reason, message }
}

/// A chunk.
pub(crate) fn chunk(chunk: Chunk) -> v1::Chunk {
    let draft = chunk.draft;
    v1::Chunk {
        chunk_id: chunk.id.to_string(),
        document_id: chunk.document.to_string(),
        version: number(chunk.version),
        ordinal: number(chunk.ordinal),
        text: draft.text,
        page_start: number(draft.page_start),
        page_end: number(draft.page_end),
        boxes: boxes(draft.boxes),
        heading_path: draft.heading_path,
        token_count: small(draft.token_ids.len() as u64),
        char_start: number(draft.char_start),
        char_end: number(draft.char_end),
    }
}

/// A page.
pub(crate) fn page_info(page: PageInfo) -> v1::PageInfo {
    v1::PageInfo {
        number: number(page.number),
        width: page.width,
        height: page.height,
        rotation: i32::from(page.rotation),
        char_start: number(page.char_start),
        char_end: number(page.char_end),
    }
}

/// An upload in pieces.
pub(crate) fn upload(upload: Upload) -> v1::Upload {
    v1::Upload {
        upload_id: upload.id.to_string(),
        header: Some(upload_header(upload.header)),
        committed_size: size(upload.committed),
        expire_time: Some(time(upload.expire_time)),
    }
}

fn upload_header(header: UploadHeader) -> v1::UploadHeader {
    v1::UploadHeader {
        collection: header.collection.to_string(),
        external_id: header.external_id.as_str().to_owned(),
        filename: header.filename.as_str().to_owned(),
        size_bytes: header.size.map(size),
        sha256: header.sha256.map(hex::encode).unwrap_or_default(),
        metadata: header.metadata.as_ref().map(metadata),
        allow_duplicate: header.allow_duplicate,
    }
}

/// The document of an upload that ended, and what became of the upload.
pub(crate) fn uploaded(view: DocumentView, admitted: &Admitted) -> (v1::Document, v1::UploadOutcome) {
    let outcome = match admitted {
        Admitted::Created(_) => v1::UploadOutcome::Created,
        Admitted::NewVersion(_) => v1::UploadOutcome::NewVersion,
        Admitted::Unchanged(_) => v1::UploadOutcome::Unchanged,
        Admitted::Duplicate(_) => v1::UploadOutcome::Duplicate,
    };
    (document(view), outcome)
}

/// A message of a watch.
pub(crate) fn watch_event(event: WatchEvent) -> v1::WatchDocumentsResponse {
    let kind = match event.kind {
        WatchEventKind::Changed(view) => Event::Changed(document(*view)),
        WatchEventKind::Removed(id) => Event::Removed(v1::DocumentRemoved { document_id: id.to_string() }),
        WatchEventKind::Heartbeat => Event::Heartbeat(v1::WatchHeartbeat {}),
        WatchEventKind::Resync => Event::Resync(v1::WatchResync {}),
    };
    v1::WatchDocumentsResponse { revision: event.revision, event: Some(kind) }
}
