//! Uploads: what is said before the bytes, and the bytes.

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use tonic::{Code, Status};
use vectrion::v1::{self, upload_document_request::Part};
use vectrion_core::{
    Error, ErrorKind, Result,
    document::{ExternalId, Filename},
    ids::UploadId,
};
use vectrion_pipeline::{
    CollectionRef,
    ingestion::{UploadPart, UploadSpec},
};

use super::{
    fields::{count, id, sha256, within},
    metadata::metadata,
};

/// Bytes of a message of an upload in one call at the most.
const MAX_CHUNK: usize = 1024 * 1024;
/// Bytes of a piece of an upload in pieces at the most.
const MAX_PIECE: usize = 2 * 1024 * 1024;

/// What a caller says before the bytes.
pub(crate) fn upload_header(message: Option<v1::UploadHeader>) -> Result<UploadSpec> {
    let message = message.ok_or_else(|| Error::invalid_field("header", "is required"))?;
    let inside = |error| within("header", error);
    let external_id = match message.external_id.as_str() {
        "" => None,
        text => Some(ExternalId::new(text).map_err(inside)?),
    };
    Ok(UploadSpec {
        collection: CollectionRef::parse(&message.collection),
        external_id,
        filename: Filename::new(message.filename).map_err(inside)?,
        size: message.size_bytes.map(|size| count("header.size_bytes", size)).transpose()?,
        sha256: sha256("header.sha256", &message.sha256)?,
        metadata: metadata("header.metadata", message.metadata)?,
        allow_duplicate: message.allow_duplicate,
    })
}

/// The parts after the header: chunks, then at most one checksum, then nothing. Ends with the first error.
pub(crate) fn upload_parts(
    mut parts: BoxStream<'static, Result<Part>>,
) -> impl Stream<Item = Result<UploadPart>> + Send {
    async_stream::try_stream! {
        let mut complete = false;
        while let Some(part) = parts.next().await {
            let part = part?;
            if complete {
                Err(out_of_order("checksum", "must be the last message"))?;
            }
            match part {
                Part::Header(_) => Err(out_of_order("header", "must be the first message, and come once"))?,
                Part::Chunk(bytes) if bytes.len() > MAX_CHUNK => {
                    Err(Error::invalid_field("chunk", format!("has at most {MAX_CHUNK} bytes a message")))?;
                }
                Part::Chunk(bytes) if bytes.is_empty() => {}
                Part::Chunk(bytes) => yield UploadPart::Bytes(bytes),
                Part::Checksum(text) => {
                    let sum = sha256("checksum", &text)?
                        .ok_or_else(|| Error::invalid_field("checksum", "must be a SHA-256 as 64 hex digits"))?;
                    complete = true;
                    yield UploadPart::Checksum(sum);
                }
            }
        }
    }
}

fn out_of_order(field: &str, rule: &str) -> Error {
    Error::invalid(
        "UPLOAD_OUT_OF_ORDER",
        format!("{field}: {rule}; an upload is a header, chunks, and a checksum at the end"),
    )
    .with_violation(field, rule)
}

/// A stream of the caller's that broke.
pub(crate) fn upload_broken(status: Status) -> Error {
    let (kind, reason, message) = match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => (
            ErrorKind::ResourceExhausted,
            "MESSAGE_TOO_LARGE",
            "a message of the upload is too large; send chunks of up to 1 MiB",
        ),
        Code::Internal | Code::InvalidArgument => {
            (ErrorKind::InvalidArgument, "MALFORMED_MESSAGE", "a message of the upload cannot be read")
        }
        _ => (ErrorKind::Cancelled, "UPLOAD_BROKEN", "the upload broke off"),
    };
    Error::new(kind, reason, message).with_source(status)
}

/// The next bytes of an upload in pieces.
pub(crate) fn upload_chunk(message: v1::UploadChunkRequest) -> Result<(UploadId, u64, Bytes)> {
    let id = id("upload_id", &message.upload_id)?;
    let offset = count("write_offset", message.write_offset)?;
    if message.data.is_empty() || message.data.len() > MAX_PIECE {
        return Err(Error::invalid_field("data", format!("has 1 to {MAX_PIECE} bytes")));
    }
    Ok((id, offset, message.data))
}

#[cfg(test)]
mod tests {
    use futures::{TryStreamExt as _, stream};

    use super::*;
    use crate::decode::fields::tests::field;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn header() -> v1::UploadHeader {
        v1::UploadHeader { filename: "a.pdf".into(), ..Default::default() }
    }

    #[test]
    fn a_file_name_is_enough() {
        let spec = upload_header(Some(header())).expect("fine");
        assert_eq!(spec.collection, CollectionRef::Name("default".into()));
        assert_eq!((spec.external_id, spec.size, spec.sha256, spec.metadata), (None, None, None, None));
        assert_eq!(spec.filename.as_str(), "a.pdf");
    }

    #[test]
    fn broken_headers_are_named() {
        let broken = |change: fn(&mut v1::UploadHeader)| {
            let mut message = header();
            change(&mut message);
            field(upload_header(Some(message)))
        };
        assert_eq!(field(upload_header(None)), "header");
        assert_eq!(broken(|h| h.filename = String::new()), "header.filename");
        assert_eq!(broken(|h| h.filename = "a/b".into()), "header.filename");
        assert_eq!(broken(|h| h.external_id = "a\nb".into()), "header.external_id");
        assert_eq!(broken(|h| h.external_id = "x".repeat(1025)), "header.external_id");
        assert_eq!(broken(|h| h.size_bytes = Some(-1)), "header.size_bytes");
        assert_eq!(broken(|h| h.sha256 = "abc".into()), "header.sha256");
    }

    async fn parts(parts: Vec<Part>) -> Result<Vec<UploadPart>> {
        upload_parts(stream::iter(parts.into_iter().map(Ok)).boxed()).try_collect().await
    }

    fn chunk(size: usize) -> Part {
        Part::Chunk(vec![7; size].into())
    }

    #[tokio::test]
    async fn chunks_and_then_a_checksum_are_an_upload() {
        let sum = Part::Checksum(SUM.to_uppercase());
        let got = parts(vec![chunk(3), chunk(0), chunk(MAX_CHUNK), sum]).await.expect("fine");
        assert_eq!(got.len(), 3, "an empty chunk is nothing");
        assert!(matches!(got[2], UploadPart::Checksum(sum) if hex::encode(sum) == SUM));
        assert_eq!(parts(vec![chunk(3)]).await.expect("a checksum is optional").len(), 1);
        assert_eq!(parts(vec![]).await.expect("what an empty upload means is not decided here").len(), 0);
    }

    #[tokio::test]
    async fn any_other_order_is_an_error() {
        let sum = || Part::Checksum(SUM.into());
        for (sent, path) in [
            (vec![chunk(1), Part::Header(header())], "header"),
            (vec![sum(), chunk(1)], "checksum"),
            (vec![sum(), sum()], "checksum"),
        ] {
            let error = parts(sent).await.expect_err("out of order");
            assert_eq!((error.reason(), error.violations()[0].field.as_str()), ("UPLOAD_OUT_OF_ORDER", path));
        }
        assert_eq!(field(parts(vec![chunk(MAX_CHUNK + 1)]).await), "chunk");
        assert_eq!(field(parts(vec![Part::Checksum(String::new())]).await), "checksum");
    }

    #[test]
    fn pieces_have_one_byte_to_two_mebibytes() {
        let message = |offset, size: usize| v1::UploadChunkRequest {
            upload_id: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".into(),
            write_offset: offset,
            data: vec![0; size].into(),
        };
        assert_eq!(upload_chunk(message(5, MAX_PIECE)).expect("fine").1, 5);
        assert_eq!(field(upload_chunk(message(-1, 1))), "write_offset");
        assert_eq!(field(upload_chunk(message(0, 0))), "data");
        assert_eq!(field(upload_chunk(message(0, MAX_PIECE + 1))), "data");
        assert_eq!(field(upload_chunk(v1::UploadChunkRequest::default())), "upload_id");
    }

    #[test]
    fn a_broken_stream_says_whose_fault_it_was() {
        for (status, reason) in [
            (Status::out_of_range("decoded message length too large"), "MESSAGE_TOO_LARGE"),
            (Status::internal("failed to decode Protobuf message"), "MALFORMED_MESSAGE"),
            (Status::cancelled("h2"), "UPLOAD_BROKEN"),
        ] {
            assert_eq!(upload_broken(status).reason(), reason);
        }
    }
}
