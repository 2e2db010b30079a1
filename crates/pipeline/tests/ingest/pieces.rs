//! Uploads in pieces.

use bytes::Bytes;
use vectrion_core::{ErrorKind, document::DocumentState, ids::UploadId, ports::catalog::Admitted, tenancy::Role};
use vectrion_pipeline::ingestion::UploadSpec;

use super::world::{MAX_BYTES, World, paragraphs, sha256, spec};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_become_a_document_across_a_restart() {
    let world = World::new().await;
    let text = paragraphs(300);
    let (first, second) = text.split_at(7_001);
    let declared = UploadSpec { size: Some(text.len() as u64), ..spec("a.txt") };
    let upload = world.ingestion.create_upload(&world.context(), declared).await.expect("an upload");
    let committed = world.ingestion.upload_chunk(&world.context(), upload.id, 0, bytes(first)).await.expect("bytes");
    assert_eq!(committed, 7_001);

    let error = world.ingestion.complete_upload(&world.context(), upload.id, None).await.expect_err("incomplete");
    assert_eq!(error.reason(), "SIZE_MISMATCH");
    assert_eq!(error.metadata().get("committed_size").map(String::as_str), Some("7001"));

    let directory = world.close().await.expect("the directory");
    let world = World::open(directory.path()).await;
    world.housekeeping.recover().await.expect("recovery");
    let found = world.ingestion.get_upload(&world.context(), upload.id).await.expect("still there");
    assert_eq!(found.committed, 7_001);
    world.ingestion.upload_chunk(&world.context(), upload.id, 7_001, bytes(second)).await.expect("bytes");
    let sum = Some(sha256(text.as_bytes()));
    let (view, _) = world.ingestion.complete_upload(&world.context(), upload.id, sum).await.expect("a document");
    assert_eq!(view.document.sha256, hex::encode(sha256(text.as_bytes())));
    world.work().await;
    assert_eq!(world.document(&view.document).await.document.state, DocumentState::Indexed);
    world.assert_consistent().await;

    let (again, _) = world.ingestion.complete_upload(&world.context(), upload.id, None).await.expect("ended");
    assert_eq!((again.document.id, again.document.version), (view.document.id, 1));
    world.ingestion.delete_document(&world.context(), view.document.id).await.expect("deleted");
    world.work().await;
    let error = world.ingestion.complete_upload(&world.context(), upload.id, None).await.expect_err("deleted");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::NotFound, "DOCUMENT_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_offset_says_the_right_one() {
    let world = World::new().await;
    let context = world.context();
    let upload = world.ingestion.create_upload(&context, spec("a.txt")).await.expect("an upload");
    world.ingestion.upload_chunk(&context, upload.id, 0, bytes("abc")).await.expect("bytes");
    // Sent again because the answer was lost; beyond the end; before it.
    for offset in [0, 4, 2] {
        let error = world.ingestion.upload_chunk(&context, upload.id, offset, bytes("abc")).await.expect_err("wrong");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::OutOfRange, "WRONG_OFFSET"));
        assert_eq!(error.metadata().get("committed_size").map(String::as_str), Some("3"));
    }
    let error = world.ingestion.upload_chunk(&context, upload.id, 3, Bytes::new()).await.expect_err("no bytes");
    assert_eq!(error.reason(), "INVALID_FIELD");
    world.ingestion.abort_upload(&context, upload.id).await.expect("aborted");
    world.ingestion.abort_upload(&context, upload.id).await.expect("aborting twice is no error");
    let error = world.ingestion.upload_chunk(&context, upload.id, 3, bytes("def")).await.expect_err("aborted");
    assert_eq!(error.reason(), "UPLOAD_NOT_FOUND");
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn size_and_type_are_checked_with_the_first_bytes_that_show_them() {
    let world = World::new().await;
    let context = world.context();
    let too_large = UploadSpec { size: Some(MAX_BYTES + 1), ..spec("a.txt") };
    let error = world.ingestion.create_upload(&context, too_large).await.expect_err("too large");
    assert_eq!(error.reason(), "DOCUMENT_TOO_LARGE");

    let upload = world.ingestion.create_upload(&context, spec("a.txt")).await.expect("an upload");
    let binary = Bytes::from(vec![0; 5000]);
    let error = world.ingestion.upload_chunk(&context, upload.id, 0, binary).await.expect_err("no text");
    assert_eq!(error.reason(), "UNSUPPORTED_TYPE");

    let part = Bytes::from(vec![b'x'; 600 * 1024]);
    world.ingestion.upload_chunk(&context, upload.id, 0, part.clone()).await.expect("bytes");
    let error = world.ingestion.upload_chunk(&context, upload.id, 600 * 1024, part).await.expect_err("too large");
    assert_eq!(error.reason(), "DOCUMENT_TOO_LARGE");
    world.ingestion.abort_upload(&context, upload.id).await.expect("aborted");
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_chunks_at_once_one_wins_and_its_bytes_count() {
    let world = World::new().await;
    let context = world.context();
    for round in 0..8 {
        let name = format!("{round}.txt");
        let upload = world.ingestion.create_upload(&context, spec(&name)).await.expect("an upload");
        let short = "s".repeat(10 + round);
        let long = "l".repeat(30 + round);
        let (one, two) = tokio::join!(
            world.ingestion.upload_chunk(&context, upload.id, 0, bytes(&short)),
            world.ingestion.upload_chunk(&context, upload.id, 0, bytes(&long)),
        );
        let (winner, loser) = match (one, two) {
            (Ok(_), Err(error)) => (short, error),
            (Err(error), Ok(_)) => (long, error),
            both => panic!("one of them wins: {both:?}"),
        };
        assert_eq!(loser.reason(), "WRONG_OFFSET");
        assert_eq!(loser.metadata().get("committed_size"), Some(&winner.len().to_string()));
        let sum = Some(sha256(winner.as_bytes()));
        world.ingestion.complete_upload(&context, upload.id, sum).await.expect("the winner's bytes");
    }
    world.work().await;
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_twice_at_once_makes_one_document() {
    let world = World::new().await;
    let context = world.context();
    let upload = world.ingestion.create_upload(&context, spec("a.txt")).await.expect("an upload");
    world.ingestion.upload_chunk(&context, upload.id, 0, bytes("some text")).await.expect("bytes");
    let complete = || world.ingestion.complete_upload(&context, upload.id, None);
    let (one, two) = tokio::join!(complete(), complete());
    let answers = [one, two, complete().await].map(|answer| answer.expect("the document"));
    for (view, admitted) in &answers {
        assert_eq!((view.document.id, view.document.version), (answers[0].0.document.id, 1));
        assert!(matches!(admitted, Admitted::Created(_)), "{admitted:?}");
    }
    let other = world.ingestion.complete_upload(&context, upload.id, Some(sha256(b"other"))).await;
    assert_eq!(other.expect_err("other bytes").reason(), "CHECKSUM_MISMATCH");
    world.ingestion.abort_upload(&context, upload.id).await.expect("nothing to abort any more");
    world.work().await;
    assert_eq!(world.documents(world.tenant).await.len(), 1);
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_cannot_become_the_document_end_the_upload() {
    let world = World::new().await;
    let context = world.context();
    let upload = world.ingestion.create_upload(&context, spec("a.txt")).await.expect("an upload");
    let error = world.ingestion.complete_upload(&context, upload.id, None).await.expect_err("no bytes");
    assert_eq!(error.reason(), "EMPTY_FILE");
    world.ingestion.upload_chunk(&context, upload.id, 0, bytes("some text")).await.expect("bytes");
    let other = Some(sha256(b"other"));
    let error = world.ingestion.complete_upload(&context, upload.id, other).await.expect_err("other bytes");
    assert_eq!(error.reason(), "CHECKSUM_MISMATCH");
    let error = world.ingestion.get_upload(&context, upload.id).await.expect_err("ended");
    assert_eq!(error.reason(), "UPLOAD_NOT_FOUND");
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_upload_is_as_if_it_were_missing() {
    let world = World::new().await;
    let operator = world.context_of(world.tenant, Role::Operator);
    let other = world.administration.create_tenant(&operator, "other").await.expect("a tenant");
    let foreign = world.context_of(other.id, Role::Admin);
    let upload = world.ingestion.create_upload(&world.context(), spec("a.txt")).await.expect("an upload");
    let found = world.ingestion.get_upload(&foreign, upload.id).await.expect_err("foreign");
    let missing = world.ingestion.get_upload(&foreign, UploadId::new()).await.expect_err("missing");
    assert_eq!((found.kind(), found.reason()), (missing.kind(), missing.reason()));
    world.ingestion.abort_upload(&foreign, upload.id).await.expect("nothing to abort");
    world.ingestion.get_upload(&world.context(), upload.id).await.expect("still there");
    world.ingestion.abort_upload(&world.context(), upload.id).await.expect("aborted");
}
