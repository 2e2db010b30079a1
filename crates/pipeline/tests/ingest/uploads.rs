//! Uploads in one call: what they become, and what they leave when they fail.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use vectrion_core::{
    Error, ErrorKind,
    document::{DocumentState, ExternalId},
    metadata::{Metadata, MetadataValue},
    page::PageRequest,
    ports::catalog::Admitted,
};
use vectrion_pipeline::{
    CollectionRef,
    ingestion::{ContentKind, UploadPart, UploadSpec},
};

use super::world::{MAX_BYTES, World, paragraphs, parts, sha256, spec};

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_becomes_searchable_with_its_text_pages_and_bytes() {
    let world = World::new().await;
    let text = "Ledgers of the guild\n\nThe first page ends hér\u{c}And a second 漢字 page\n\nbegins.";
    let (uploaded, admitted) = world.upload("guild.txt", text).await.expect("an upload");
    assert!(matches!(admitted, Admitted::Created(_)));
    assert_eq!((uploaded.document.state, uploaded.vector_count), (DocumentState::Uploaded, 0));
    assert_eq!(uploaded.document.external_id, "guild.txt");
    assert_eq!(uploaded.document.sha256, hex::encode(sha256(text.as_bytes())));

    world.work().await;
    let view = world.document(&uploaded.document).await;
    let document = &view.document;
    assert_eq!(document.state, DocumentState::Indexed);
    assert_eq!((document.page_count, document.chunk_count, view.vector_count), (2, 4, 4));
    assert_eq!(document.title.as_deref(), Some("Ledgers of the guild"));
    assert_eq!(document.content_type, "text/plain");
    let progress = document.progress;
    assert_eq!((progress.pages_total, progress.pages_done), (2, 2));
    assert_eq!((progress.chunks_total, progress.chunks_done), (4, 4));

    let page = PageRequest::first();
    let context = world.context();
    let extracted = read(&world, document.id, ContentKind::Text, 0).await.expect("the text");
    let chars: Vec<char> = extracted.chars().collect();
    for chunk in world.ingestion.list_chunks(&context, document.id, None, &page).await.expect("chunks").items {
        let draft = &chunk.draft;
        let cut: String = chars[draft.char_start as usize..draft.char_end as usize].iter().collect();
        assert_eq!(cut, draft.text);
    }
    let pages = world.ingestion.list_pages(&context, document.id, None, &page).await.expect("pages").items;
    let second: String = chars[pages[1].char_start as usize..pages[1].char_end as usize].iter().collect();
    assert_eq!(second, "And a second 漢字 page\nbegins.");

    assert_eq!(read(&world, document.id, ContentKind::Original, 0).await.expect("the bytes"), text);
    let offset = text.find('漢').expect("there") as u64;
    assert_eq!(
        read(&world, document.id, ContentKind::Original, offset).await.expect("a rest"),
        text[offset as usize..]
    );
    let size = extracted.len() as u64;
    assert_eq!(read(&world, document.id, ContentKind::Text, size).await.expect("the end"), "");
    let error = read(&world, document.id, ContentKind::Text, size + 1).await.expect_err("beyond the end");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::OutOfRange, "WRONG_OFFSET"));
    world.assert_consistent().await;
}

async fn read(
    world: &World,
    id: vectrion_core::ids::DocumentId,
    kind: ContentKind,
    offset: u64,
) -> Result<String, Error> {
    let content = world.ingestion.content(&world.context(), id, None, kind, offset).await?;
    let size = content.size;
    let bytes = content.stream.try_collect::<Vec<Bytes>>().await?.concat();
    assert_eq!(bytes.len() as u64, size - offset);
    Ok(String::from_utf8(bytes).expect("UTF-8"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_leaves_nothing() {
    let world = World::new().await;
    let long = vec![b'x'; MAX_BYTES as usize + 1];
    let plain = b"plain text".as_slice();
    let other = sha256(b"other bytes");
    let sized = |size| UploadSpec { size: Some(size), ..spec("a.txt") };
    for (spec, bytes, kind, reason) in [
        (spec("a.txt"), b"".as_slice(), ErrorKind::InvalidArgument, "EMPTY_FILE"),
        (sized(0), b"", ErrorKind::InvalidArgument, "EMPTY_FILE"),
        (spec("a.txt"), b"\x00\x01\x02", ErrorKind::InvalidArgument, "UNSUPPORTED_TYPE"),
        (spec("a.txt"), long.as_slice(), ErrorKind::ResourceExhausted, "DOCUMENT_TOO_LARGE"),
        (sized(MAX_BYTES + 1), plain, ErrorKind::ResourceExhausted, "DOCUMENT_TOO_LARGE"),
        (sized(9), plain, ErrorKind::InvalidArgument, "SIZE_MISMATCH"),
        (sized(11), plain, ErrorKind::InvalidArgument, "SIZE_MISMATCH"),
        (UploadSpec { sha256: Some(other), ..spec("a.txt") }, plain, ErrorKind::InvalidArgument, "CHECKSUM_MISMATCH"),
        (
            UploadSpec { collection: CollectionRef::parse("missing"), ..spec("a.txt") },
            plain,
            ErrorKind::NotFound,
            "COLLECTION_NOT_FOUND",
        ),
    ] {
        let error = world.upload_as(spec, bytes).await.expect_err(reason);
        assert_eq!((error.kind(), error.reason()), (kind, reason));
        world.assert_consistent().await;
    }
    let wrong = parts(plain).chain(stream::iter([Ok(UploadPart::Checksum(other))])).boxed();
    let error = world.ingestion.upload(&world.context(), spec("a.txt"), wrong).await.expect_err("wrong checksum");
    assert_eq!(error.reason(), "CHECKSUM_MISMATCH");
    assert_eq!(world.documents(world.tenant).await.len(), 0);
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let world = World::new().await;
    let broken = parts(&[b'x'; 5000]).chain(stream::iter([Err(Error::new(
        ErrorKind::Cancelled,
        "CALL_CANCELLED",
        "the caller has gone",
    ))]));
    let error = world.ingestion.upload(&world.context(), spec("a.txt"), broken.boxed()).await.expect_err("broken off");
    assert_eq!(error.reason(), "CALL_CANCELLED");
    world.assert_consistent().await;

    // The call itself is dropped while it waits for the rest.
    let context = world.context();
    let endless = parts(&[b'x'; 5000]).chain(stream::pending()).boxed();
    let call = world.ingestion.upload(&context, spec("a.txt"), endless);
    tokio::time::timeout(Duration::from_millis(300), call).await.expect_err("it waits");
    // The look at what is left would expire the upload itself, so it has to come after the removal.
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_change_nothing_and_leave_nothing() {
    let world = World::new().await;
    let first = world.ingest("a.txt", "one and the same").await;

    let (again, admitted) = world.upload("a.txt", "one and the same").await.expect("an upload");
    assert!(matches!(admitted, Admitted::Unchanged(_)));
    assert_eq!((again.document.id, again.document.version, again.vector_count), (first.document.id, 1, 1));

    let (other, admitted) = world.upload("b.txt", "one and the same").await.expect("an upload");
    assert!(matches!(admitted, Admitted::Duplicate(_)));
    assert_eq!(other.document.id, first.document.id);
    world.assert_consistent().await;

    let own = UploadSpec { allow_duplicate: true, ..spec("b.txt") };
    let (own, admitted) = world.upload_as(own, b"one and the same").await.expect("an upload");
    assert!(matches!(admitted, Admitted::Created(_)));
    assert_ne!(own.document.id, first.document.id);
    world.work().await;
    world.assert_consistent().await;
    assert_eq!(world.documents(world.tenant).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_comes_with_an_upload_and_stays_when_the_next_has_none() {
    let world = World::new().await;
    let entries = BTreeMap::from([("year".to_owned(), MetadataValue::Number(1604.0))]);
    let metadata = Metadata::new(entries).expect("metadata");
    let with = UploadSpec {
        metadata: Some(metadata.clone()),
        external_id: Some(ExternalId::new("ledger").expect("an id")),
        ..spec("a.txt")
    };
    world.upload_as(with.clone(), b"first").await.expect("an upload");
    let (view, _) = world.upload_as(UploadSpec { metadata: None, ..with }, b"second").await.expect("an upload");
    assert_eq!((view.document.version, &view.document.metadata), (2, &metadata));
    let changed = world
        .ingestion
        .update_metadata(&world.context(), view.document.id, Metadata::default())
        .await
        .expect("a change");
    assert!(changed.document.metadata.is_empty());
    world.work().await;
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_nothing_is_taken_in() {
    let world = World::without_room().await;
    let error = world.upload("a.txt", "text").await.expect_err("no room");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::ResourceExhausted, "STORAGE_FULL"));
    let error = world.ingestion.create_upload(&world.context(), spec("a.txt")).await.expect_err("no room");
    assert_eq!(error.reason(), "STORAGE_FULL");
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_uploads_at_once_become_one_document_each() {
    let world = std::sync::Arc::new(World::new().await);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..24 {
        let world = std::sync::Arc::clone(&world);
        // Eight names, each uploaded three times with the same bytes.
        calls.spawn(async move { world.upload(&format!("{}.txt", n % 8), &paragraphs(n % 8 + 1)).await });
    }
    while let Some(call) = calls.join_next().await {
        call.expect("no panic").expect("an upload");
    }
    world.work().await;
    assert_eq!(world.documents(world.tenant).await.len(), 8);
    world.assert_consistent().await;
}
