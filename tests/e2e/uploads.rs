//! Uploads: identity, doubles, versions, pieces, refusals.

use sha2::{Digest as _, Sha256};
use tonic::Code;
use vectrion::v1::{
    AbortUploadRequest, CompleteUploadRequest, CreateUploadRequest, DocumentState, GetUploadRequest,
    ListDocumentVersionsRequest, UploadChunkRequest, UploadHeader, UploadOutcome,
};

use crate::support::{
    TestApp,
    client::{header, reason},
};

const TEXT: &[u8] = b"The lighthouse of Brem was built in 1874.\n\nIts keeper was Ada Nordin.\n";

#[tokio::test]
async fn the_same_bytes_make_one_document_and_other_bytes_a_version() {
    let app = TestApp::start().await;
    let client = app.operator().await;
    let named = |external_id: &str| UploadHeader { external_id: external_id.into(), ..header("a.txt") };

    let first = client.try_upload(named("one"), TEXT).await.unwrap();
    assert_eq!(first.outcome(), UploadOutcome::Created);
    let id = first.document.unwrap().document_id;
    client.settled(&id).await;

    let again = client.try_upload(named("one"), TEXT).await.unwrap();
    assert_eq!(again.outcome(), UploadOutcome::Unchanged);
    let elsewhere = client.try_upload(named("two"), TEXT).await.unwrap();
    assert_eq!(elsewhere.outcome(), UploadOutcome::Duplicate);
    assert_eq!(elsewhere.document.unwrap().document_id, id);
    let wanted = UploadHeader { allow_duplicate: true, ..named("two") };
    let twin = client.try_upload(wanted, TEXT).await.unwrap();
    assert_eq!(twin.outcome(), UploadOutcome::Created);
    let twin = twin.document.unwrap().document_id;
    assert_ne!(twin, id);
    client.settled(&twin).await;

    let newer = client.try_upload(named("one"), b"The lighthouse of Brem was torn down in 1990.\n").await.unwrap();
    assert_eq!(newer.outcome(), UploadOutcome::NewVersion);
    let newer = client.settled(&id).await;
    assert_eq!((newer.version, newer.indexed_version), (2, 2));
    let request = ListDocumentVersionsRequest { document_id: id.clone(), ..ListDocumentVersionsRequest::default() };
    let versions = client.ingestion.clone().list_document_versions(request).await.unwrap().into_inner().documents;
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [2, 1]);
    let found = client.search("When was the lighthouse of Brem torn down?").await;
    assert!(found.iter().any(|passage| passage.document_id == id && passage.version == 2));
    assert!(
        found.iter().all(|passage| passage.document_id != id || passage.version == 2),
        "no passage of the old version"
    );
    app.stop().await;
}

#[tokio::test]
async fn an_upload_in_pieces_survives_mistakes() {
    let app = TestApp::start().await;
    let client = app.operator().await;
    let mut ingestion = client.ingestion.clone();
    let begin = async || {
        let request = CreateUploadRequest { header: Some(header("pieces.txt")), request_id: String::new() };
        client.ingestion.clone().create_upload(request).await.unwrap().into_inner().upload.unwrap().upload_id
    };
    let chunk = |upload_id: &str, offset: usize, data: &[u8]| UploadChunkRequest {
        upload_id: upload_id.into(),
        write_offset: i64::try_from(offset).unwrap(),
        data: data.to_vec().into(),
    };
    let complete = |upload_id: &str, sha256: &str| CompleteUploadRequest {
        upload_id: upload_id.into(),
        sha256: sha256.into(),
        request_id: String::new(),
    };

    let id = begin().await;
    let committed = ingestion.upload_chunk(chunk(&id, 0, &TEXT[..20])).await.unwrap().into_inner().committed_size;
    assert_eq!(committed, 20);
    let wrong = ingestion.upload_chunk(chunk(&id, 7, &TEXT[7..])).await.unwrap_err();
    assert_eq!((wrong.code(), reason(&wrong).as_str()), (Code::OutOfRange, "WRONG_OFFSET"));
    let request = GetUploadRequest { upload_id: id.clone() };
    let state = ingestion.get_upload(request).await.unwrap().into_inner().upload.unwrap();
    assert_eq!(state.committed_size, 20);
    ingestion.upload_chunk(chunk(&id, 20, &TEXT[20..])).await.unwrap();
    let sum = hex::encode(Sha256::digest(TEXT));
    let document = ingestion.complete_upload(complete(&id, &sum)).await.unwrap().into_inner().document.unwrap();
    assert_eq!(document.sha256, sum);
    let document = client.settled(&document.document_id).await;
    assert_eq!(document.state(), DocumentState::Indexed);

    // Bytes that are not those that were meant cannot be mended: they are dropped.
    let id = begin().await;
    ingestion.upload_chunk(chunk(&id, 0, b"Something else.")).await.unwrap();
    let wrong = ingestion.complete_upload(complete(&id, &sum)).await.unwrap_err();
    assert_eq!((wrong.code(), reason(&wrong).as_str()), (Code::InvalidArgument, "CHECKSUM_MISMATCH"));
    let request = GetUploadRequest { upload_id: id };
    assert_eq!(reason(&ingestion.get_upload(request).await.unwrap_err()), "UPLOAD_NOT_FOUND");
    assert_eq!(client.list().await.len(), 1);
    assert!(!app.objects().await.iter().any(|key| key.contains("/uploads/")), "parts are gone");
    app.stop().await;
}

#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    let app = TestApp::start_with(&[("ingest.max_document_bytes", "1000")]).await;
    let client = app.operator().await;
    let refused = async |header: UploadHeader, bytes: &[u8]| {
        let status = client.try_upload(header, bytes).await.expect_err("a refusal");
        assert!(status.message().len() > 15, "{status}");
        (status.code(), reason(&status))
    };
    let is = |code: Code, reason: &str| (code, reason.to_owned());
    assert_eq!(refused(header("a.txt"), b"").await, is(Code::InvalidArgument, "EMPTY_FILE"));
    assert_eq!(refused(header("a.txt"), &[b'x'; 2000]).await, is(Code::ResourceExhausted, "DOCUMENT_TOO_LARGE"));
    assert_eq!(
        refused(header("a.png"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").await,
        is(Code::InvalidArgument, "UNSUPPORTED_TYPE")
    );
    let wrong_sum = UploadHeader { sha256: "ab".repeat(32), ..header("a.txt") };
    assert_eq!(refused(wrong_sum, TEXT).await, is(Code::InvalidArgument, "CHECKSUM_MISMATCH"));
    let wrong_size = UploadHeader { size_bytes: Some(3), ..header("a.txt") };
    assert_eq!(refused(wrong_size, TEXT).await, is(Code::InvalidArgument, "SIZE_MISMATCH"));
    let nowhere = UploadHeader { collection: "missing".into(), ..header("a.txt") };
    assert_eq!(refused(nowhere, TEXT).await, is(Code::NotFound, "COLLECTION_NOT_FOUND"));
    assert_eq!(refused(header("a/b.txt"), TEXT).await.0, Code::InvalidArgument);

    let request = CreateUploadRequest { header: Some(header("a.txt")), request_id: String::new() };
    let upload = client.ingestion.clone().create_upload(request).await.unwrap().into_inner().upload.unwrap();
    let request = AbortUploadRequest { upload_id: upload.upload_id.clone(), request_id: String::new() };
    client.ingestion.clone().abort_upload(request).await.unwrap();
    let request = GetUploadRequest { upload_id: upload.upload_id };
    let status = client.ingestion.clone().get_upload(request).await.unwrap_err();
    assert_eq!(reason(&status), "UPLOAD_NOT_FOUND");

    assert!(client.list().await.is_empty());
    assert!(app.objects().await.is_empty(), "{:?}", app.objects().await);
    app.stop().await;
}
