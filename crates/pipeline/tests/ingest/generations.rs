//! A change of the embedding model.

use std::{path::Path, time::Duration};

use vectrion_core::{ErrorKind, tenancy::Role};
use vectrion_pipeline::generations::settle;

use super::world::{World, ingest_settings};

async fn open(path: &Path, model: &str) -> World {
    World::open_as(path, 0, ingest_settings(), model).await
}

async fn models(world: &World) -> Vec<String> {
    let found = world.ports.vectors.generations(world.tenant).await.expect("a listing");
    found.into_iter().map(|generation| generation.model).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_model_is_refused_while_a_document_needs_the_old_vectors() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = open(directory.path(), "words").await;
    settle(&world.ports).await.expect("nothing is there");
    let view = world.ingest("a.txt", "the harbour of Ness").await;
    settle(&world.ports).await.expect("nothing has changed");
    world.close().await;

    let world = open(directory.path(), "others").await;
    let error = settle(&world.ports).await.expect_err("the document would not be found");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::FailedPrecondition, "EMBEDDING_MODEL_CHANGED"));
    for part in ["words", "others", "models.embed", &view.document.id.to_string()] {
        assert!(error.message().contains(part), "{part} in {}", error.message());
    }
    assert_eq!(models(&world).await, ["words"], "nothing is dropped");
    world.close().await;

    let world = open(directory.path(), "words").await;
    settle(&world.ports).await.expect("set back");
    let editor = world.context_of(world.tenant, Role::Editor);
    world.ingestion.delete_document(&editor, view.document.id).await.expect("deleted");
    world.work().await;
    world.close().await;

    let world = open(directory.path(), "others").await;
    settle(&world.ports).await.expect("no document needs the old vectors");
    assert_eq!(models(&world).await, Vec::<String>::new(), "they are dropped");
    world.ingest("b.txt", "the quay of Ness").await;
    settle(&world.ports).await.expect("all is in the new generation");
    assert_eq!(models(&world).await, ["others"]);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_was_not_embedded_yet_is_embedded_by_the_new_model() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = open(directory.path(), "words").await;
    let gone = world.ingest("a.txt", "the harbour of Ness").await;
    let editor = world.context_of(world.tenant, Role::Editor);
    world.ingestion.delete_document(&editor, gone.document.id).await.expect("deleted");
    world.work().await;
    let (view, _) = world.upload("b.txt", "the quay of Ness").await.expect("uploaded");
    world.close().await;

    let world = open(directory.path(), "others").await;
    settle(&world.ports).await.expect("no document is searched yet");
    world.work().await;
    let view = world.document(&view.document).await;
    assert_eq!(view.vector_count, u64::from(view.document.chunk_count));
    assert!(view.vector_count > 0);
    assert_eq!(models(&world).await, ["others"]);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_processes_that_start_at_once_one_drops_and_the_others_wait() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = open(directory.path(), "words").await;
    let gone = world.ingest("a.txt", "the harbour of Ness").await;
    let editor = world.context_of(world.tenant, Role::Editor);
    world.ingestion.delete_document(&editor, gone.document.id).await.expect("deleted");
    world.work().await;
    world.close().await;

    let world = open(directory.path(), "others").await;
    let upkeep = &world.ports.upkeep;
    assert!(upkeep.hold_chore("generations", "another process", Duration::from_secs(600)).await.expect("an answer"));
    let mut settling = Box::pin(settle(&world.ports));
    tokio::time::timeout(Duration::from_millis(600), &mut settling).await.expect_err("another process is at it");
    assert_eq!(models(&world).await, ["words"]);
    upkeep.release_chore("generations", "another process").await.expect("given back");
    settling.as_mut().await.expect("its turn");
    drop(settling);
    assert_eq!(models(&world).await, Vec::<String>::new());
    world.close().await;
}
