//! Watching documents.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;
use vectrion_core::document::{DocumentFilter, DocumentState};
use vectrion_pipeline::ingestion::{Ingestion, WatchEvent, WatchEventKind, WatchStream};

use super::world::{World, ingest_settings, paragraphs};

async fn next(watch: &mut WatchStream) -> WatchEvent {
    let event = tokio::time::timeout(Duration::from_secs(5), watch.next()).await.expect("an event in time");
    event.expect("the stream goes on").expect("no error")
}

/// Reads until a document of this name is in this state.
async fn until(watch: &mut WatchStream, name: &str, state: DocumentState) -> WatchEvent {
    loop {
        let event = next(watch).await;
        match &event.kind {
            WatchEventKind::Changed(view) if view.document.filename == name && view.document.state == state => {
                return event;
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_is_there_and_then_what_changes() {
    let world = World::new().await;
    world.ingest("a.txt", &paragraphs(2)).await;
    let mut watch = world.ingestion.watch(&world.context(), None, DocumentFilter::default(), 0).await.expect("a watch");
    let event = until(&mut watch, "a.txt", DocumentState::Indexed).await;
    let WatchEventKind::Changed(view) = event.kind else { panic!("a change") };
    assert_eq!(view.vector_count, 2);

    let (uploaded, _) = world.upload("b.txt", "text").await.expect("an upload");
    until(&mut watch, "b.txt", DocumentState::Uploaded).await;
    world.work().await;
    let indexed = until(&mut watch, "b.txt", DocumentState::Indexed).await;

    world.ingestion.delete_document(&world.context(), uploaded.document.id).await.expect("a deletion");
    until(&mut watch, "b.txt", DocumentState::Deleting).await;
    world.work().await;
    let removed = next(&mut watch).await;
    assert_eq!(removed.kind, WatchEventKind::Removed(uploaded.document.id));

    // Taken up again after a revision that was seen.
    let mut later = world
        .ingestion
        .watch(&world.context(), None, DocumentFilter::default(), indexed.revision)
        .await
        .expect("a watch");
    let event = next(&mut later).await;
    assert_eq!((event.kind, event.revision), (WatchEventKind::Removed(uploaded.document.id), removed.revision));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_moment_are_told_once() {
    let world = World::new().await;
    let mut watch = world.ingestion.watch(&world.context(), None, DocumentFilter::default(), 0).await.expect("a watch");
    world.ingest("a.txt", &paragraphs(2)).await;
    let event = next(&mut watch).await;
    let WatchEventKind::Changed(view) = event.kind else { panic!("a change") };
    assert_eq!(view.document.state, DocumentState::Indexed, "the states that nobody waited for are left out");
    tokio::time::timeout(Duration::from_millis(700), watch.next()).await.expect_err("nothing else happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_some_documents_tells_of_no_others() {
    let world = World::new().await;
    let filter = DocumentFilter { external_id: Some("b.txt".to_owned()), ..DocumentFilter::default() };
    let mut watch = world.ingestion.watch(&world.context(), None, filter, 0).await.expect("a watch");
    world.ingest("a.txt", "of no interest").await;
    world.ingest("b.txt", "of interest").await;
    let WatchEventKind::Changed(view) = next(&mut watch).await.kind else { panic!("a change") };
    assert_eq!(view.document.filename, "b.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_of_the_future_gets_a_resync() {
    let world = World::new().await;
    world.ingest("a.txt", "text").await;
    let mut watch =
        world.ingestion.watch(&world.context(), None, DocumentFilter::default(), 1_000_000).await.expect("a watch");
    let event = next(&mut watch).await;
    assert_eq!(event.kind, WatchEventKind::Resync);
    world.ingest("b.txt", "other text").await;
    let event = next(&mut watch).await;
    assert!(matches!(event.kind, WatchEventKind::Changed(_)), "{event:?}");
    let error = world.ingestion.watch(&world.context(), None, DocumentFilter::default(), -1).await;
    assert_eq!(error.err().expect("refused").reason(), "INVALID_FIELD");
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_end_when_the_server_winds_down() {
    let world = World::new().await;
    let shutdown = CancellationToken::new();
    let ingestion = Ingestion::new(Arc::clone(&world.ports), ingest_settings()).with_shutdown(shutdown.clone());
    let mut watch = ingestion.watch(&world.context(), None, DocumentFilter::default(), 0).await.expect("a watch");
    let waiting = tokio::spawn(async move { watch.next().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    shutdown.cancel();
    let end = tokio::time::timeout(Duration::from_secs(2), waiting).await.expect("it ends").expect("no panic");
    assert!(end.is_none());
}
