//! Uploads in one call.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::oneshot,
};
use tokio_stream::Stream;
use tonic::Status;

use super::Client;
use crate::v1::{UploadDocumentRequest, UploadDocumentResponse, UploadHeader, upload_document_request::Part};

/// Bytes of a message.
const CHUNK: usize = 256 * 1024;

/// Why an upload failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum UploadError {
    /// The content could not be read; nothing was stored.
    Read(io::Error),
    /// The server refused it, or was out of reach.
    Call(Status),
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(_) => f.write_str("the content to upload cannot be read"),
            Self::Call(status) => f.write_str(status.message()),
        }
    }
}

impl std::error::Error for UploadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(source) => Some(source),
            Self::Call(source) => Some(source),
        }
    }
}

impl From<Status> for UploadError {
    fn from(status: Status) -> Self {
        Self::Call(status)
    }
}

impl Client {
    /// Uploads bytes. Size and SHA-256 go into the header, so that the server knows them beforehand.
    ///
    /// # Errors
    /// The server's.
    pub async fn upload_bytes(
        &self,
        header: UploadHeader,
        content: impl Into<Bytes>,
    ) -> Result<UploadDocumentResponse, UploadError> {
        let content = content.into();
        let header = UploadHeader {
            size_bytes: Some(i64::try_from(content.len()).unwrap_or(i64::MAX)),
            sha256: hex(&Sha256::digest(&content)),
            ..header
        };
        self.upload_reader(header, Whole(content)).await
    }

    /// Uploads what a reader gives, without holding it in memory, and its SHA-256 at the end.
    ///
    /// # Errors
    /// The reader's, then nothing was stored; the server's.
    pub async fn upload_reader(
        &self,
        header: UploadHeader,
        content: impl AsyncRead + Send + 'static,
    ) -> Result<UploadDocumentResponse, UploadError> {
        let (failed, failure) = oneshot::channel();
        let messages = Messages {
            content: Box::pin(content),
            hash: Sha256::new(),
            at: At::Header(Box::new(header)),
            failed: Some(failed),
        };
        let mut client = self.ingestion();
        tokio::select! {
            // A stream of messages cannot end in an error: without this, half a file would look like a whole one.
            Ok(error) = failure => Err(UploadError::Read(error)),
            uploaded = client.upload_document(messages) => Ok(uploaded?.into_inner()),
        }
    }
}

/// The messages of an upload: header, chunks, checksum. Stays silent after an error of the reader.
struct Messages<R> {
    content: Pin<Box<R>>,
    hash: Sha256,
    at: At,
    failed: Option<oneshot::Sender<io::Error>>,
}

enum At {
    Header(Box<UploadHeader>),
    Content,
    End,
    Failed,
}

fn message(part: Part) -> Poll<Option<UploadDocumentRequest>> {
    Poll::Ready(Some(UploadDocumentRequest { part: Some(part), request_id: String::new() }))
}

impl<R: AsyncRead> Stream for Messages<R> {
    type Item = UploadDocumentRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<UploadDocumentRequest>> {
        let this = &mut *self;
        match std::mem::replace(&mut this.at, At::Content) {
            At::Header(header) => message(Part::Header(*header)),
            At::Content => match ready!(read_chunk(this.content.as_mut(), cx)) {
                Ok(chunk) if chunk.is_empty() => {
                    this.at = At::End;
                    message(Part::Checksum(hex(&this.hash.finalize_reset())))
                }
                Ok(chunk) => {
                    this.hash.update(&chunk);
                    message(Part::Chunk(chunk))
                }
                Err(error) => {
                    this.at = At::Failed;
                    if let Some(failed) = this.failed.take() {
                        // The call is dropped in answer to it.
                        let _ = failed.send(error);
                    }
                    Poll::Pending
                }
            },
            At::End => {
                this.at = At::End;
                Poll::Ready(None)
            }
            At::Failed => {
                this.at = At::Failed;
                Poll::Pending
            }
        }
    }
}

/// The next bytes; none at the end.
fn read_chunk<R: AsyncRead>(reader: Pin<&mut R>, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
    let mut chunk = BytesMut::zeroed(CHUNK);
    let mut buf = ReadBuf::new(&mut chunk);
    ready!(reader.poll_read(cx, &mut buf))?;
    let filled = buf.filled().len();
    chunk.truncate(filled);
    Poll::Ready(Ok(chunk.freeze()))
}

/// Bytes as a reader.
struct Whole(Bytes);

impl AsyncRead for Whole {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let many = self.0.len().min(buf.remaining());
        buf.put_slice(&self.0.split_to(many));
        Poll::Ready(Ok(()))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
