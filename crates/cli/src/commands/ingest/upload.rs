//! Uploading one file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use prost_types::Struct;
use sha2::{Digest as _, Sha256};
use tokio::{fs::File, io::AsyncReadExt as _, sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status};
use vectrion::v1::{
    Document, DocumentFailure, DocumentState, ListDocumentsRequest, UploadDocumentRequest, UploadHeader,
    upload_document_request::Part,
};
use vectrion::{client::Client, error::Details};

use crate::failure::Failure;

/// Bytes of a message.
const PIECE: usize = 256 * 1024;
/// Wait before an upload is tried again, doubled each time up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// An upload that went on for so long before it broke was no part of the trouble before it.
const WENT_WELL: Duration = Duration::from_secs(10);
/// Tries of one file at the most, however well each of them begins.
const TRIES: u32 = 50;
/// Calls that are made to see whether the server is there.
const LOOKS: u32 = 3;

/// What all uploads of a run share.
pub(super) struct Settings {
    pub(super) collection: String,
    pub(super) metadata: Option<Struct>,
    pub(super) allow_duplicate: bool,
    /// How long a broken connection is tried again.
    pub(super) retry_for: Duration,
}

/// What became of reading the file.
struct Read {
    sha256: String,
    size: u64,
    error: Option<std::io::Error>,
}

/// Uploads a file. A file that the server refuses is a failed document without id; the command goes on with the others.
/// A connection that breaks is tried again for a while: the same bytes under the same name are stored once. If it keeps
/// breaking, the file is a failed document as long as the server answers other calls. A wrong key, a missing
/// collection, or a server that stays out of reach, ends the command.
pub(super) async fn upload(client: &Client, settings: &Settings, path: &Path) -> Result<Document, Failure> {
    let mut wait = FIRST_WAIT;
    let mut trouble_since = Instant::now();
    let mut tries = 0;
    loop {
        tries += 1;
        let begun = Instant::now();
        let (sent, read) = send(client, settings, path).await;
        if let Some(error) = read.error {
            let message = format!("the file cannot be read: {error}");
            return Ok(refused(path, &Read { error: None, ..read }, "FILE_UNREADABLE".into(), message));
        }
        let status = match sent {
            Ok(document) => return Ok(document),
            Err(status) => status,
        };
        let details = vectrion::error::details(&status);
        if let Some(details) = &details
            && ends_the_command(&status, &details.reason)
        {
            return Err(status.into());
        }
        let passing = passing(&status, details.as_ref());
        if tries == 1 || begun.elapsed() > WENT_WELL {
            trouble_since = Instant::now();
            wait = FIRST_WAIT;
        }
        let given_up = trouble_since.elapsed() + wait > settings.retry_for || tries >= TRIES;
        match passing {
            Some(Passing::Connection) if given_up => return lost(client, path, &read, &status).await,
            Some(_) if !given_up => {}
            _ => {
                let reason = details.map_or_else(|| code_name(&status), |details| details.reason);
                return Ok(refused(path, &read, reason, status.message().to_owned()));
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Why it may go better at the next try.
enum Passing {
    /// The server, or the way to it, is in trouble.
    Connection,
    /// The server says when to try again.
    Refused,
}

/// Whether the next try may go better. A status without details was not made by the server.
fn passing(status: &Status, details: Option<&Details>) -> Option<Passing> {
    match (details, status.code()) {
        (None, Code::Unimplemented | Code::Unauthenticated | Code::PermissionDenied) => None,
        (None, _) | (Some(_), Code::Unavailable) => Some(Passing::Connection),
        (Some(details), _) if details.reason == "UPLOAD_BROKEN" => Some(Passing::Connection),
        (Some(details), _) if details.retry_after.is_some() => Some(Passing::Refused),
        (Some(_), _) => None,
    }
}

/// What holds for every file of the run.
fn ends_the_command(status: &Status, reason: &str) -> bool {
    matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) || reason == "COLLECTION_NOT_FOUND"
}

/// The connection broke again and again. Whether that is about this file shows a call without one.
async fn lost(client: &Client, path: &Path, read: &Read, status: &Status) -> Result<Document, Failure> {
    let mut answered = false;
    // The first call after a break may only find out that the old connection is gone.
    for _ in 0..LOOKS {
        let mut request = Request::new(ListDocumentsRequest { page_size: 1, ..ListDocumentsRequest::default() });
        request.set_timeout(Duration::from_secs(10));
        answered = match client.ingestion().list_documents(request).await {
            Ok(_) => true,
            Err(status) => status.code() != Code::Unavailable && vectrion::error::details(&status).is_some(),
        };
        if answered {
            break;
        }
        tokio::time::sleep(FIRST_WAIT).await;
    }
    if !answered {
        return Err(Failure::Unreachable(format!(
            "the connection to the server was lost while {} was uploaded, and it cannot be reached any more ({}); run the \
             command again when it is back: files that are there already are recognised",
            path.display(),
            status.message()
        )));
    }
    let message = format!("the connection broke during the upload, also when it was repeated: {}", status.message());
    Ok(refused(path, read, "CONNECTION_LOST".into(), message))
}

fn code_name(status: &Status) -> String {
    format!("{:?}", status.code()).to_uppercase()
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
