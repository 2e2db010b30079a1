//! An upload in one call.

use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tonic::Status;
use vectrion::v1::{self, upload_document_request::Part};
use vectrion_core::{Error, ErrorKind, Result};
use vectrion_pipeline::{
    Ports, idempotency,
    ingestion::{Ingestion, UploadPart},
};

use crate::{
    call::Call,
    decode, encode,
    services::replay::{once, read_replayed},
};

type Parts = BoxStream<'static, Result<Part>>;

/// Takes the header, then gives the rest to the use case as it comes.
pub(super) async fn document(
    ingestion: &Ingestion,
    ports: &Ports,
    patience: Duration,
    call: Call,
    messages: impl Stream<Item = Result<v1::UploadDocumentRequest, Status>> + Send + Unpin + 'static,
) -> Result<v1::UploadDocumentResponse> {
    let mut messages = heard(messages, patience).boxed();
    let Some(v1::UploadDocumentRequest { part: Some(Part::Header(header)), request_id }) = messages.try_next().await?
    else {
        return Err(Error::invalid("UPLOAD_HEADER_MISSING", "the first message of an upload is its header")
            .with_violation("header", "must be the first message"));
    };
    let request_id = decode::request_id(&request_id)?;
    // What the caller says of the content beforehand is part of the header; see `check_replay` for the rest.
    let once = once(&call.context, "UploadDocument", request_id, &[&header.encode_to_vec()]);
    let declared = !header.sha256.is_empty();
    let spec = decode::upload_header(Some(header))?;

    let mut parts = Some(parts(messages));
    let made = idempotency::run(ports, &once, async {
        let parts = parts.take().unwrap_or_else(|| futures::stream::empty().boxed());
        let parts = decode::upload_parts(parts).boxed();
        let (view, admitted) = ingestion.upload(&call.context, spec, parts).await?;
        let (document, outcome) = encode::uploaded(view, &admitted);
        Ok(v1::UploadDocumentResponse { document: Some(document), outcome: outcome.into() }.encode_to_vec())
    })
    .await?;
    let (response, replayed): (v1::UploadDocumentResponse, bool) = read_replayed(made)?;
    if replayed
        && !declared
        && let Some(parts) = parts
    {
        check_replay(parts, &response).await?;
    }
    Ok(response)
}

/// A replay takes the same content as the first call; without a checksum in the header only the content itself shows it.
async fn check_replay(parts: Parts, response: &v1::UploadDocumentResponse) -> Result<()> {
    let mut hash = Sha256::new();
    let mut parts = decode::upload_parts(parts).boxed();
    while let Some(part) = parts.try_next().await? {
        if let UploadPart::Bytes(bytes) = part {
            hash.update(&bytes);
        }
    }
    let same = response.document.as_ref().is_some_and(|document| document.sha256 == hex::encode(hash.finalize()));
    if same {
        return Ok(());
    }
    Err(Error::already_exists(
        "REQUEST_ID_REUSED",
        "this request id was used for an upload of other bytes; use a new one",
    ))
}

/// The parts after the header. A second header, or a request id, is no part.
fn parts(messages: BoxStream<'static, Result<v1::UploadDocumentRequest>>) -> Parts {
    messages
        .map(|message| {
            let part = message?.part;
            part.ok_or_else(|| {
                Error::invalid_field("part", "a message of an upload holds a header, a chunk or a checksum")
            })
        })
        .boxed()
}

/// The messages as they come, with errors of ours; an error if the next takes too long.
fn heard(
    mut messages: impl Stream<Item = Result<v1::UploadDocumentRequest, Status>> + Send + Unpin + 'static,
    patience: Duration,
) -> impl Stream<Item = Result<v1::UploadDocumentRequest>> + Send + 'static {
    async_stream::try_stream! {
        loop {
            let next = tokio::time::timeout(patience, messages.next()).await.map_err(|_| {
                Error::new(
                    ErrorKind::DeadlineExceeded,
                    "UPLOAD_STALLED",
                    format!("no message came for {} s; begin the upload again", patience.as_secs()),
                )
            })?;
            match next {
                Some(message) => yield message.map_err(decode::upload_broken)?,
                None => return,
            }
        }
    }
}
