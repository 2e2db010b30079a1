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

type Messages = BoxStream<'static, Result<v1::UploadDocumentRequest>>;
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
    let (header, request_id) = header(&mut messages).await?;
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

/// The header and the request id, which come first.
async fn header(messages: &mut Messages) -> Result<(v1::UploadHeader, String)> {
    match messages.try_next().await? {
        Some(v1::UploadDocumentRequest { part: Some(Part::Header(header)), request_id }) => Ok((header, request_id)),
        Some(_) | None => Err(Error::invalid("UPLOAD_HEADER_MISSING", "the first message of an upload is its header")
            .with_violation("header", "must be the first message")),
    }
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

/// The parts after the header.
fn parts(messages: Messages) -> Parts {
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

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn said(part: Option<Part>) -> Result<v1::UploadDocumentRequest, Status> {
        Ok(v1::UploadDocumentRequest { part, request_id: "id".into() })
    }

    fn chunk(bytes: &'static [u8]) -> Part {
        Part::Chunk(bytes.into())
    }

    fn hear(messages: Vec<Result<v1::UploadDocumentRequest, Status>>) -> Messages {
        heard(stream::iter(messages), Duration::from_secs(5)).boxed()
    }

    #[tokio::test]
    async fn the_header_comes_first() {
        let first = Part::Header(v1::UploadHeader { filename: "a".into(), ..Default::default() });
        let mut messages = hear(vec![said(Some(first)), said(Some(chunk(b"x")))]);
        let (header, request_id) = header(&mut messages).await.expect("a header");
        assert_eq!((header.filename.as_str(), request_id.as_str()), ("a", "id"));
        assert_eq!(parts(messages).try_collect::<Vec<_>>().await.expect("fine"), [chunk(b"x")]);
        for other in
            [vec![], vec![said(None)], vec![said(Some(chunk(b"x")))], vec![said(Some(Part::Checksum("0".into())))]]
        {
            let error = super::header(&mut hear(other)).await.expect_err("no header");
            assert_eq!(error.reason(), "UPLOAD_HEADER_MISSING");
        }
    }

    #[tokio::test]
    async fn a_message_without_a_part_and_a_broken_stream_are_errors() {
        let error = parts(hear(vec![said(None)])).try_collect::<Vec<_>>().await.expect_err("no part");
        assert_eq!(error.violations()[0].field, "part");
        let error = parts(hear(vec![Err(Status::aborted("gone"))])).try_collect::<Vec<_>>().await.expect_err("broken");
        assert_eq!(error.reason(), "UPLOAD_BROKEN");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_sends_nothing_is_not_waited_for() {
        let mut messages = heard(stream::pending(), Duration::from_secs(5)).boxed();
        assert_eq!(header(&mut messages).await.expect_err("silent").reason(), "UPLOAD_STALLED");
    }

    #[tokio::test]
    async fn a_replay_takes_the_same_bytes() {
        let sum = hex::encode(Sha256::digest(b"abc"));
        let document = v1::Document { sha256: sum, ..Default::default() };
        let response = v1::UploadDocumentResponse { document: Some(document), ..Default::default() };
        let sent =
            |chunks: &[&'static [u8]]| parts(hear(chunks.iter().map(|bytes| said(Some(chunk(bytes)))).collect()));
        check_replay(sent(&[b"a", b"bc"]), &response).await.expect("the same");
        let error = check_replay(sent(&[b"abd"]), &response).await.expect_err("others");
        assert_eq!(error.reason(), "REQUEST_ID_REUSED");
    }
}
