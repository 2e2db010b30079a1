//! Checking bytes while they come in.

use async_stream::try_stream;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream::BoxStream};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use vectrion_core::{
    Error, ErrorKind, Result,
    ports::{
        DocumentParser,
        documents::SNIFF_BYTES,
        objects::{ByteStream, ObjectKey, ObjectStore},
    },
};

use super::UploadPart;

/// What the bytes of an upload must be.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Bytes at the most.
    pub max_bytes: u64,
    /// Bytes, if the caller said.
    pub size: Option<u64>,
    /// SHA-256, as often as the caller said.
    pub sha256: Vec<[u8; 32]>,
}

/// Bytes that met what was expected of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub content_type: String,
    pub size: u64,
    pub sha256: [u8; 32],
}

impl Expected {
    /// Refuses a size as soon as it is known.
    pub(super) fn check_size(&self, size: u64) -> Result<()> {
        if size > self.max_bytes {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                "DOCUMENT_TOO_LARGE",
                format!("the document is larger than the {} bytes that are allowed; split it", self.max_bytes),
            )
            .with_metadata("max_bytes", self.max_bytes.to_string()));
        }
        match self.size {
            Some(declared) if size > declared => Err(size_mismatch(declared, size)),
            _ => Ok(()),
        }
    }

    fn check_end(&self, size: u64, sha256: &[u8; 32]) -> Result<()> {
        match self.size {
            Some(declared) if size != declared => return Err(size_mismatch(declared, size)),
            _ => {}
        }
        if self.sha256.iter().any(|expected| expected != sha256) {
            return Err(checksum_mismatch(&hex::encode(sha256)));
        }
        Ok(())
    }
}

pub(super) fn checksum_mismatch(sha256: &str) -> Error {
    Error::invalid(
        "CHECKSUM_MISMATCH",
        "the bytes that arrived do not have the SHA-256 that was announced; upload the file again",
    )
    .with_metadata("sha256", sha256)
}

pub(super) fn size_mismatch(declared: u64, size: u64) -> Error {
    Error::invalid("SIZE_MISMATCH", format!("{declared} bytes were announced, but there are {size}"))
        .with_metadata("size_bytes", declared.to_string())
        .with_metadata("committed_size", size.to_string())
}

/// Sniffs the first bytes, then stores all of them under `key` while size and checksum are checked. On any error nothing
/// is stored: the check of the end stands before the end of what the store gets.
pub(super) async fn store(
    objects: &dyn ObjectStore,
    parser: &dyn DocumentParser,
    key: &ObjectKey,
    filename: &str,
    expected: Expected,
    parts: BoxStream<'static, Result<UploadPart>>,
) -> Result<Received> {
    let mut gate = Gate::new(expected, parts);
    let content_type = gate.sniff(parser, filename).await?;
    let (told, received) = oneshot::channel();
    objects.put(key, gate.into_stream(told)).await?;
    let (size, sha256) = received.await.map_err(|error| {
        Error::internal("PUT_INCOMPLETE", "the object store did not take all of the bytes").with_source(error)
    })?;
    Ok(Received { content_type, size, sha256 })
}

/// The same checks on bytes that are stored already.
pub(super) async fn check(
    parser: &dyn DocumentParser,
    filename: &str,
    expected: Expected,
    parts: BoxStream<'static, Result<UploadPart>>,
) -> Result<Received> {
    let mut gate = Gate::new(expected, parts);
    let content_type = gate.sniff(parser, filename).await?;
    let (told, received) = oneshot::channel();
    let mut bytes = gate.into_stream(told);
    while let Some(part) = bytes.next().await {
        part?;
    }
    let (size, sha256) = received.await.map_err(|error| {
        Error::internal("READ_INCOMPLETE", "the bytes ended without their check").with_source(error)
    })?;
    Ok(Received { content_type, size, sha256 })
}

/// Lets bytes through as long as they are what was expected.
struct Gate {
    expected: Expected,
    parts: BoxStream<'static, Result<UploadPart>>,
    held: BytesMut,
    size: u64,
    digest: Sha256,
    ended: bool,
}

impl Gate {
    fn new(expected: Expected, parts: BoxStream<'static, Result<UploadPart>>) -> Self {
        Self { expected, parts, held: BytesMut::new(), size: 0, digest: Sha256::new(), ended: false }
    }

    /// Holds the first bytes back until there are enough of them to tell the type.
    async fn sniff(&mut self, parser: &dyn DocumentParser, filename: &str) -> Result<String> {
        while self.held.len() < SNIFF_BYTES {
            let Some(bytes) = self.next().await? else { break };
            self.held.extend_from_slice(&bytes);
        }
        parser.sniff(&self.held[..self.held.len().min(SNIFF_BYTES)], filename)
    }

    /// The next bytes; none at the end, which has been checked then.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.parts.next().await.transpose()? {
                Some(UploadPart::Bytes(bytes)) if bytes.is_empty() => {}
                Some(UploadPart::Bytes(bytes)) => {
                    if self.ended {
                        return Err(Error::invalid_field(
                            "chunk",
                            "comes before the checksum, which is the last message",
                        ));
                    }
                    self.size += bytes.len() as u64;
                    self.expected.check_size(self.size)?;
                    self.digest.update(&bytes);
                    return Ok(Some(bytes));
                }
                Some(UploadPart::Checksum(sha256)) => {
                    if self.ended {
                        return Err(Error::invalid_field("checksum", "is sent once"));
                    }
                    self.ended = true;
                    self.expected.sha256.push(sha256);
                }
                None => {
                    self.expected.check_end(self.size, &self.sha256())?;
                    return Ok(None);
                }
            }
        }
    }

    fn sha256(&self) -> [u8; 32] {
        self.digest.clone().finalize().into()
    }

    /// The bytes from the first on. Size and SHA-256 are told when the last was taken.
    fn into_stream(mut self, told: oneshot::Sender<(u64, [u8; 32])>) -> ByteStream {
        let stream = try_stream! {
            let held = std::mem::take(&mut self.held).freeze();
            if !held.is_empty() {
                yield held;
            }
            while let Some(bytes) = self.next().await? {
                yield bytes;
            }
            // Nobody to tell: the caller has gone, and with it the store's call.
            let _gone = told.send((self.size, self.sha256()));
        };
        stream.boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use async_trait::async_trait;
    use futures::stream;
    use vectrion_core::{chunk::ChunkDraft, extraction::Extracted, ports::documents::ParseProgress};

    use super::*;

    /// Takes everything for text but nothing at all, and tells how much it saw.
    struct Sniffer;

    #[async_trait]
    impl DocumentParser for Sniffer {
        fn sniff(&self, head: &[u8], _filename: &str) -> Result<String> {
            if head.is_empty() {
                return Err(Error::invalid("EMPTY_FILE", "the file is empty"));
            }
            Ok(format!("text/plain; seen={}", head.len()))
        }

        async fn parse(&self, _file: &Path, _media_type: &str, _progress: ParseProgress<'_>) -> Result<Extracted> {
            Err(Error::internal("NOT_HERE", "sniffs only"))
        }

        async fn chunk(&self, _extracted: Arc<Extracted>) -> Result<Vec<ChunkDraft>> {
            Err(Error::internal("NOT_HERE", "sniffs only"))
        }

        fn chunker_version(&self) -> &str {
            "none"
        }
    }

    fn expected() -> Expected {
        Expected { max_bytes: 10_000, size: None, sha256: vec![] }
    }

    fn parts(parts: Vec<UploadPart>) -> BoxStream<'static, Result<UploadPart>> {
        stream::iter(parts.into_iter().map(Ok)).boxed()
    }

    fn bytes(n: usize) -> UploadPart {
        UploadPart::Bytes(Bytes::from(vec![b'x'; n]))
    }

    async fn run(expected: Expected, given: Vec<UploadPart>) -> Result<Received> {
        check(&Sniffer, "a.txt", expected, parts(given)).await
    }

    #[tokio::test]
    async fn whole_bytes_pass_with_their_size_and_digest() {
        let sha256: [u8; 32] = Sha256::digest(vec![b'x'; 6000]).into();
        let wanted = Expected { size: Some(6000), sha256: vec![sha256], ..expected() };
        let given = vec![bytes(100), bytes(0), bytes(3000), bytes(2900), UploadPart::Checksum(sha256)];
        let received = run(wanted, given).await.expect("what was announced");
        let content_type = format!("text/plain; seen={SNIFF_BYTES}");
        assert_eq!(received, Received { content_type, size: 6000, sha256 });
    }

    #[tokio::test]
    async fn wrong_bytes_are_refused_with_their_reason() {
        let other = [7; 32];
        for (wanted, given, reason) in [
            (expected(), vec![], "EMPTY_FILE"),
            (expected(), vec![bytes(0), UploadPart::Checksum(Sha256::digest(b"").into())], "EMPTY_FILE"),
            (expected(), vec![bytes(10_001)], "DOCUMENT_TOO_LARGE"),
            (expected(), vec![bytes(6000), bytes(4001)], "DOCUMENT_TOO_LARGE"),
            (Expected { size: Some(5), ..expected() }, vec![bytes(6)], "SIZE_MISMATCH"),
            (Expected { size: Some(5), ..expected() }, vec![bytes(4)], "SIZE_MISMATCH"),
            (Expected { size: Some(5000), ..expected() }, vec![bytes(4500)], "SIZE_MISMATCH"),
            (Expected { sha256: vec![other], ..expected() }, vec![bytes(5)], "CHECKSUM_MISMATCH"),
            (expected(), vec![bytes(5), UploadPart::Checksum(other)], "CHECKSUM_MISMATCH"),
            (expected(), vec![bytes(5000), UploadPart::Checksum(other)], "CHECKSUM_MISMATCH"),
            (expected(), vec![bytes(5), UploadPart::Checksum(other), bytes(1)], "INVALID_FIELD"),
            (expected(), vec![UploadPart::Checksum(other), UploadPart::Checksum(other)], "INVALID_FIELD"),
        ] {
            let error = run(wanted, given.clone()).await.expect_err(reason);
            assert_eq!(error.reason(), reason, "{} parts", given.len());
        }
    }

    #[tokio::test]
    async fn an_upload_that_is_too_large_is_refused_before_the_rest_is_read() {
        let given = stream::iter([Ok(bytes(10_001))]).chain(stream::pending()).boxed();
        let error = check(&Sniffer, "a.txt", expected(), given).await.expect_err("too large");
        assert_eq!(error.reason(), "DOCUMENT_TOO_LARGE");
    }

    #[tokio::test]
    async fn an_error_of_the_caller_ends_the_intake_with_it() {
        let given = stream::iter([Ok(bytes(5000)), Err(Error::new(ErrorKind::Cancelled, "CALL_CANCELLED", "gone"))]);
        let error = check(&Sniffer, "a.txt", expected(), given.boxed()).await.expect_err("cancelled");
        assert_eq!(error.reason(), "CALL_CANCELLED");
    }
}
