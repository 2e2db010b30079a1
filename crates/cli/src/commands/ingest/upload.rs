//! Uploading one file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use prost_types::Struct;
use sha2::{Digest as _, Sha256};
use tokio::{fs::File, io::AsyncReadExt as _, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use vectrion::v1::{
    Document, DocumentFailure, DocumentState, UploadDocumentRequest, UploadHeader, upload_document_request::Part,
};

use vectrion::client::Client;

use crate::failure::Failure;

/// Bytes of a message.
const PIECE: usize = 256 * 1024;
/// Waits before an upload is tried again when the server cannot be reached.
const RETRIES: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(8)];

/// What all uploads of a run share.
pub(super) struct Settings {
    pub(super) collection: String,
    pub(super) metadata: Option<Struct>,
    pub(super) allow_duplicate: bool,
}

/// What became of reading the file.
struct Read {
    sha256: String,
    size: u64,
    error: Option<std::io::Error>,
}

/// Uploads a file. A file that the server refuses is a failed document without id; the command goes on with the others.
/// A wrong key, or a server that stays out of reach, ends the command.
pub(super) async fn upload(client: &Client, settings: &Settings, path: &Path) -> Result<Document, Failure> {
    let mut waits = RETRIES.iter();
    loop {
        let (sent, read) = send(client, settings, path).await;
        if let Some(error) = read.error {
            let message = format!("the file cannot be read: {error}");
            return Ok(refused(path, &Read { error: None, ..read }, "FILE_UNREADABLE".into(), message));
        }
        let status = match sent {
            Ok(document) => return Ok(document),
            Err(status) => status,
        };
        match status.code() {
            Code::Unavailable => match waits.next() {
                Some(wait) => tokio::time::sleep(*wait).await,
                None => return Err(status.into()),
            },
            Code::Unauthenticated | Code::PermissionDenied => return Err(status.into()),
            _ => {
                let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
                let reason = reason.unwrap_or_else(|| format!("{:?}", status.code()).to_uppercase());
                return Ok(refused(path, &read, reason, status.message().to_owned()));
            }
        }
    }
}

async fn send(client: &Client, settings: &Settings, path: &Path) -> (Result<Document, Status>, Read) {
    let (parts, receiver) = mpsc::channel(4);
    let header = UploadHeader {
        collection: settings.collection.clone(),
        external_id: absolute(path).to_string_lossy().into_owned(),
        filename: filename(path),
        size_bytes: None,
        sha256: String::new(),
        metadata: settings.metadata.clone(),
        allow_duplicate: settings.allow_duplicate,
    };
    let mut ingestion = client.ingestion();
    let call = ingestion.upload_document(ReceiverStream::new(receiver));
    let (sent, read) = tokio::join!(call, read(path, header, parts));
    let document = sent.and_then(|response| {
        response.into_inner().document.ok_or_else(|| Status::internal("the server's answer has no document"))
    });
    (document, read)
}

/// Sends header, bytes and checksum. The file is read to its end even if the server stops listening, for its checksum.
async fn read(path: &Path, header: UploadHeader, parts: mpsc::Sender<UploadDocumentRequest>) -> Read {
    let mut digest = Sha256::new();
    let mut size = 0;
    let outcome = async {
        let mut file = File::open(path).await?;
        let mut listening = parts.send(message(Part::Header(header))).await.is_ok();
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            if (&mut file).take(PIECE as u64).read_to_end(&mut piece).await? == 0 {
                return Ok(listening);
            }
            digest.update(&piece);
            size += piece.len() as u64;
            listening = listening && parts.send(message(Part::Chunk(piece.into()))).await.is_ok();
        }
    };
    let outcome: std::io::Result<bool> = outcome.await;
    let sha256 = hex::encode(digest.finalize());
    let last = match &outcome {
        Ok(true) => Some(sha256.clone()),
        Ok(false) => None,
        // Something that is no checksum, so that the server drops what it has: a stream that just ends is a whole file.
        Err(_) => Some("unreadable".to_owned()),
    };
    if let Some(checksum) = last {
        // Whether the server takes it shows in the call's own outcome.
        let _ = parts.send(message(Part::Checksum(checksum))).await;
    }
    Read { sha256, size, error: outcome.err() }
}

fn message(part: Part) -> UploadDocumentRequest {
    UploadDocumentRequest { request_id: String::new(), part: Some(part) }
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

fn filename(path: &Path) -> String {
    let name = path.file_name().or_else(|| path.as_os_str().into()).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "document".to_owned())
}

fn refused(path: &Path, read: &Read, reason: String, message: String) -> Document {
    Document {
        filename: filename(path),
        external_id: absolute(path).to_string_lossy().into_owned(),
        sha256: read.sha256.clone(),
        size_bytes: i64::try_from(read.size).unwrap_or(i64::MAX),
        state: DocumentState::Failed.into(),
        failure: Some(DocumentFailure { stage: "upload".into(), reason, message, attempts: 1 }),
        ..Document::default()
    }
}
