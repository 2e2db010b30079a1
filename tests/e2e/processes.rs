//! The program as a process: how it ends, and what it keeps when it is killed.

use std::{collections::BTreeSet, os::unix::process::ExitStatusExt as _, path::Path, time::Duration};

use sha2::{Digest as _, Sha256};
use tonic::Status;
use vectrion::v1::{
    CompleteUploadRequest, CreateUploadRequest, DeleteDocumentRequest, Document, DocumentState, RetrieveRequest,
    SearchFilter, UploadChunkRequest, UploadHeader,
};
use vectrion_pipeline::faults::FAILPOINTS;

use crate::support::{
    Client, PATIENCE, Process,
    client::{header, reason},
    objects,
};

const SIGABRT: i32 = 6;

#[tokio::test]
async fn sigterm_ends_it_well_and_nothing_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path(), &[], "").await;
    let document = process.operator().await.index("a.txt", b"The ferry to Skarvoy leaves at six.").await;
    assert_eq!(process.terminate().await.code(), Some(0));

    let process = Process::start(data.path(), &[], "").await;
    let client = process.operator().await;
    assert_eq!(client.get(&document.document_id).await.unwrap(), document);
    assert_eq!(client.search("When does the ferry leave?").await.len(), 1);
    assert_eq!(process.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let first = Process::start(data.path(), &[], "").await;
    let Err((status, log)) = Process::try_start(data.path(), &[], "").await else {
        panic!("two servers on one directory")
    };
    assert!(!status.success(), "{status}");
    assert!(log.contains("in use by another process") && log.contains(&data.path().display().to_string()), "{log}");
    assert!(first.operator().await.list().await.is_empty(), "the first one goes on");
}

#[tokio::test]
async fn a_kill_at_any_step_of_an_upload_loses_doubles_and_orphans_nothing() {
    kill_at_each_step_of("upload").await;
}

#[tokio::test]
async fn a_kill_at_any_step_of_processing_loses_doubles_and_orphans_nothing() {
    kill_at_each_step_of("process").await;
}

#[tokio::test]
async fn a_kill_at_any_step_of_embedding_loses_doubles_and_orphans_nothing() {
    kill_at_each_step_of("embed").await;
}

#[tokio::test]
async fn a_kill_at_any_step_of_a_deletion_loses_doubles_and_orphans_nothing() {
    kill_at_each_step_of("delete").await;
}

#[test]
fn every_step_is_killed_at() {
    let tested = ["upload", "process", "embed", "delete"];
    assert!(FAILPOINTS.iter().all(|point| tested.contains(&point.split_once("::").unwrap().0)), "{FAILPOINTS:?}");
}

/// One installation; at each step a process that dies there, and one that goes on.
async fn kill_at_each_step_of(stage: &str) {
    let data = tempfile::tempdir().unwrap();
    let mut kept = BTreeSet::new();
    let points: Vec<&str> =
        FAILPOINTS.iter().copied().filter(|point| point.split("::").next() == Some(stage)).collect();
    assert!(points.len() > 2, "{points:?}");
    for (round, point) in points.into_iter().enumerate() {
        let (one, two) = (format!("one-{round}.txt"), format!("two-{round}.txt"));
        // Of two documents, the second is hit in the middle of work; some points are met once.
        let once = stage == "delete" || matches!(point, "upload::begun" | "upload::parts_removed");
        let action = if once { "return" } else { "1*off->return" };
        let mut process = Process::start(data.path(), &[], &format!("{point}={action}")).await;
        let client = process.operator().await;
        let pieces = begin_pieces(&client, &two).await;
        let mut acknowledged = vec![upload(&client, &one).await];
        if let Ok(upload_id) = &pieces {
            acknowledged.push(complete(&client, upload_id).await);
        }
        if stage == "delete" {
            let victim = acknowledged[0].as_ref().unwrap();
            for document in acknowledged.iter().flatten() {
                client.settled(&document.document_id).await;
            }
            // The process may die before it answers.
            let _ = delete(&client, victim).await;
        }
        let status = process.end().await;
        assert_eq!(status.signal(), Some(SIGABRT), "{point}: {status}\n{}", process.log());
        // Of the second one the answer may be lost, because its job dies as soon as it is there.
        assert!(stage == "upload" || acknowledged[0].is_ok(), "{point}: {acknowledged:?}");

        let process = Process::start(data.path(), &[], "").await;
        let client = process.operator().await;
        for document in acknowledged.iter().flatten() {
            if stage == "delete" && document.external_id == one {
                client.gone(&document.document_id).await;
            } else {
                let settled = client.settled(&document.document_id).await;
                assert_eq!(settled.state(), DocumentState::Indexed, "{point}: {:?}", settled.failure);
            }
        }
        // What was not acknowledged may be there or not; its client goes on with it or sends it again, and then it is
        // there once.
        if let (Ok(upload_id), Some(Err(_))) = (&pieces, acknowledged.get(1))
            && let Err(status) = complete(&client, upload_id).await
        {
            assert_eq!(reason(&status), "UPLOAD_NOT_FOUND", "{point}: it became a document before the end");
        }
        for name in [&one, &two].into_iter().filter(|name| stage != "delete" || **name == two) {
            let document = upload(&client, name).await.unwrap();
            client.settled(&document.document_id).await;
            kept.insert(name.clone());
        }
        check(&client, data.path(), &kept, point).await;
        assert_eq!(process.terminate().await.code(), Some(0));
    }
}

fn text(name: &str) -> String {
    let marker: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("Beacon {marker} stands on the northern skerries.\n\nIts keeper logs {marker} every night.\n")
}

fn named(name: &str) -> UploadHeader {
    UploadHeader { external_id: name.into(), ..header(name) }
}

/// The document if the server acknowledged it.
async fn upload(client: &Client, name: &str) -> Result<Document, Status> {
    Ok(client.try_upload(named(name), text(name).as_bytes()).await?.document.expect("a document"))
}

/// An upload of which all bytes are there.
async fn begin_pieces(client: &Client, name: &str) -> Result<String, Status> {
    let mut ingestion = client.ingestion.clone();
    let request = CreateUploadRequest { header: Some(named(name)), request_id: String::new() };
    let upload_id = ingestion.create_upload(request).await?.into_inner().upload.expect("an upload").upload_id;
    let bytes = text(name).into_bytes();
    let (start, end) = bytes.split_at(bytes.len() / 2);
    for (offset, piece) in [(0, start), (start.len(), end)] {
        let request = UploadChunkRequest {
            upload_id: upload_id.clone(),
            write_offset: i64::try_from(offset).unwrap(),
            data: piece.to_vec().into(),
        };
        ingestion.upload_chunk(request).await?;
    }
    Ok(upload_id)
}

async fn complete(client: &Client, upload_id: &str) -> Result<Document, Status> {
    let request = CompleteUploadRequest { upload_id: upload_id.into(), ..CompleteUploadRequest::default() };
    Ok(client.ingestion.clone().complete_upload(request).await?.into_inner().document.expect("a document"))
}

async fn delete(client: &Client, document: &Document) -> Result<(), Status> {
    let request = DeleteDocumentRequest { document_id: document.document_id.clone(), request_id: String::new() };
    client.ingestion.clone().delete_document(request).await.map(drop)
}

/// I1 to I3, over the interface and on the disk.
async fn check(client: &Client, data: &Path, kept: &BTreeSet<String>, point: &str) {
    let documents = client.list().await;
    let names: Vec<&str> = documents.iter().map(|document| document.external_id.as_str()).collect();
    assert_eq!(names.len(), kept.len(), "{point}: {names:?}");
    assert_eq!(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), *kept, "{point}");
    for document in &documents {
        assert_eq!(document.state(), DocumentState::Indexed, "{point}: {:?}", document.failure);
        assert_eq!(document.version, 1, "{point}: {}", document.external_id);
        assert!(document.chunk_count > 0 && document.chunk_count == document.vector_count, "{point}: {document:?}");
        let filter = SearchFilter { document_ids: vec![document.document_id.clone()], ..SearchFilter::default() };
        let query = text(&document.external_id);
        let request = RetrieveRequest { query, top_k: 20, filter: Some(filter), ..RetrieveRequest::default() };
        let found = client.retrieve(request).await;
        assert_eq!(found.len(), usize::try_from(document.chunk_count).unwrap(), "{point}: {}", document.external_id);
        let ids: BTreeSet<&str> = found.iter().map(|passage| passage.passage_id.as_str()).collect();
        assert_eq!(ids.len(), found.len(), "{point}: a passage twice");
    }
    let stranger = client
        .search("Which beacon stands on the northern skerries?")
        .await
        .into_iter()
        .find(|passage| !documents.iter().any(|document| document.document_id == passage.document_id));
    assert_eq!(stranger, None, "{point}: a passage of no document");

    // The last parts of an upload are removed behind its answer.
    let settled = async {
        while objects(data).iter().any(|path| path.components().any(|part| part.as_os_str() == "uploads")) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.unwrap_or_else(|_| panic!("{point}: parts: {:?}", objects(data)));
    let files = objects(data);
    let (originals, others): (Vec<_>, Vec<_>) = files.iter().partition(|path| path.ends_with("original"));
    assert!(others.iter().all(|path| path.ends_with("extracted.json")), "{point}: {others:?}");
    assert_eq!((originals.len(), others.len()), (documents.len(), documents.len()), "{point}: {files:?}");
    let stored: BTreeSet<String> =
        originals.iter().map(|path| hex::encode(Sha256::digest(std::fs::read(path).unwrap()))).collect();
    assert_eq!(stored, documents.iter().map(|document| document.sha256.clone()).collect(), "{point}: other bytes");
}
