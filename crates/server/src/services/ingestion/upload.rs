//! An upload in one call.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tonic::Status;
use vectrion::v1::{self, upload_document_request::Part};
use vectrion_core::{Error, ErrorKind, Result, ports::Idempotency};
use vectrion_pipeline::{
    idempotency,
    ingestion::{Ingestion, UploadPart},
};

use crate::{
    call::Call,
    decode, encode,
    services::replay::{once, read_replayed},
};

type Messages = BoxStream<'static, Result<v1::UploadDocumentRequest>>;
type Parts = BoxStream<'static, Result<Part>>;

/// Takes the header, then gives the rest to the use case as it comes. What came in whole is stored even if the caller has
/// gone by then.
pub(super) async fn document(
    ingestion: Arc<Ingestion>,
    known: Arc<dyn Idempotency>,
    patience: Duration,
    call: Call,
    messages: impl Stream<Item = Result<v1::UploadDocumentRequest, Status>> + Send + Unpin + 'static,
) -> Result<v1::UploadDocumentResponse> {
    let mut messages = heard(messages, patience, call.context.deadline.map(Instant::from_std)).boxed();
    let (header, request_id) = header(&mut messages).await?;
    let request_id = decode::request_id(&request_id)?;
    // What the caller says of the content beforehand is part of the header; see `check_replay` for the rest.
    let once = once(&call.context, "UploadDocument", request_id, &[&header.encode_to_vec()]);
    let declared = !header.sha256.is_empty();
    let spec = decode::upload_header(Some(header))?;

    let mut parts = Some(parts(messages));
    let made = idempotency::run(&known, &once, async {
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

/// The messages as they come, with errors of ours; an error if the next takes too long, and at the deadline, when nobody
/// waits for the outcome any more.
fn heard(
    mut messages: impl Stream<Item = Result<v1::UploadDocumentRequest, Status>> + Send + Unpin + 'static,
    patience: Duration,
    deadline: Option<Instant>,
) -> impl Stream<Item = Result<v1::UploadDocumentRequest>> + Send + 'static {
    async_stream::try_stream! {
        loop {
            let next = tokio::select! {
                next = messages.next() => Ok(next),
                () = tokio::time::sleep(patience) => Err(stalled(patience)),
                () = until(deadline) => Err(out_of_time()),
            };
            match next? {
                Some(message) => yield message.map_err(decode::upload_broken)?,
                None => return,
            }
        }
    }
}

fn stalled(patience: Duration) -> Error {
    Error::new(
        ErrorKind::DeadlineExceeded,
        "UPLOAD_STALLED",
        format!("no message came for {} s; begin the upload again", patience.as_secs()),
    )
}

fn out_of_time() -> Error {
    Error::new(
        ErrorKind::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "the time allowed for this upload ran out; begin it again with more, or upload in pieces",
    )
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
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
        heard(stream::iter(messages), Duration::from_secs(5), None).boxed()
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
        let mut messages = heard(stream::pending(), Duration::from_secs(5), None).boxed();
        assert_eq!(header(&mut messages).await.expect_err("silent").reason(), "UPLOAD_STALLED");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_heard_after_the_deadline() {
        let slow = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Some((said(Some(chunk(b"x"))), ()))
        });
        let deadline = Some(Instant::now() + Duration::from_secs(8));
        let mut messages = heard(slow.boxed(), Duration::from_secs(5), deadline).boxed();
        for _ in 0..2 {
            assert!(messages.try_next().await.expect("in time").is_some());
        }
        assert_eq!(messages.try_next().await.expect_err("too late").reason(), "DEADLINE_EXCEEDED");
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
