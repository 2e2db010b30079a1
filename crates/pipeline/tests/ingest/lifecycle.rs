//! Versions and deletion.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt as _;
use vectrion_core::{
    ErrorKind, document::DocumentState, ids::DocumentId, page::PageRequest, ports::catalog::Admitted,
    search::SearchFilter, tenancy::Role,
};
use vectrion_pipeline::ingestion::ContentKind;
use vectrion_testkit::fakes::Fault;

use super::world::{World, paragraphs};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_replaces_the_old_one_when_it_is_ready() {
    let world = World::new().await;
    let first = world.ingest("a.txt", &paragraphs(4)).await.document;
    let old = world.ports.vectors.point_ids(&world.ports.vector_scope(world.tenant), first.id).await.expect("points");

    let (second, admitted) = world.upload("a.txt", &paragraphs(40)).await.expect("an upload");
    assert!(matches!(admitted, Admitted::NewVersion(_)));
    assert_eq!((second.document.id, second.document.version, second.document.indexed_version), (first.id, 2, Some(1)));
    let visible = |ids: Vec<_>| {
        let catalog = Arc::clone(&world.ports.catalog);
        async move { catalog.visible_chunks(world.tenant, &ids, &SearchFilter::default()).await.expect("chunks").len() }
    };
    assert!(world.step().await, "processed");
    assert_eq!(visible(old.clone()).await, 4, "the old version stays searchable");
    assert!(world.step().await, "embedded");
    assert_eq!(visible(old.clone()).await, 0, "and leaves in one step");
    world.work().await;

    let view = world.document(&second.document).await;
    assert_eq!((view.document.indexed_version, view.vector_count), (Some(2), 40));
    let versions =
        world.ingestion.list_versions(&world.context(), first.id, &PageRequest::first()).await.expect("list");
    let counts: Vec<_> = versions.items.iter().map(|view| (view.document.version, view.vector_count)).collect();
    assert_eq!(counts, [(2, 40), (1, 0)]);
    for (kind, wanted) in
        [(ContentKind::Original, paragraphs(4)), (ContentKind::Text, paragraphs(4).trim().replace("\n\n", "\n"))]
    {
        let content = world.ingestion.content(&world.context(), first.id, Some(1), kind, 0).await.expect("content");
        let bytes: Vec<bytes::Bytes> = content.stream.try_collect().await.expect("bytes");
        assert_eq!(String::from_utf8(bytes.concat()).expect("UTF-8"), wanted, "{kind:?}");
    }
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_document_is_gone_with_all_that_belongs_to_it() {
    let world = World::new().await;
    let kept = world.ingest("kept.txt", &paragraphs(3)).await.document;
    world.ingest("a.txt", &paragraphs(4)).await;
    let gone = world.ingest("a.txt", &paragraphs(5)).await.document;
    let deleting = world.ingestion.delete_document(&world.context(), gone.id).await.expect("a deletion");
    assert_eq!(deleting.document.state, DocumentState::Deleting);
    let again = world.ingestion.delete_document(&world.context(), gone.id).await.expect("as it is");
    assert_eq!(again.document.state, DocumentState::Deleting);
    let content = world.ingestion.content(&world.context(), gone.id, None, ContentKind::Original, 0).await;
    assert_eq!(content.err().expect("hidden").reason(), "DOCUMENT_NOT_FOUND");

    // The same bytes make a new document at once.
    let (new, admitted) = world.upload("a.txt", &paragraphs(5)).await.expect("an upload");
    assert!(matches!(admitted, Admitted::Created(_)), "{admitted:?}");
    world.work().await;
    let error = world.ingestion.get_document(&world.context(), gone.id).await.expect_err("gone");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::NotFound, "DOCUMENT_NOT_FOUND"));
    let ids: Vec<DocumentId> = world.documents(world.tenant).await.iter().map(|document| document.id).collect();
    assert_eq!(ids, [kept.id, new.document.id]);
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_ends_the_work_in_hand() {
    let world = Arc::new(World::new().await);
    world.parser.faults.push(Fault::Hang);
    let (view, _) = world.upload("a.txt", "text").await.expect("an upload");
    let lease_for = Duration::from_millis(900);
    let lease = world.claim(lease_for).await.expect("a job");
    let work = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.run(&lease, lease_for).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.ingestion.delete_document(&world.context(), view.document.id).await.expect("a deletion");
    tokio::time::timeout(Duration::from_secs(5), work).await.expect("it ends").expect("no panic").expect("cancelled");
    world.work().await;
    assert_eq!(world.documents(world.tenant).await.len(), 0);
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_document_is_as_if_it_were_missing() {
    let world = World::new().await;
    let document = world.ingest("a.txt", "text").await.document;
    let operator = world.context_of(world.tenant, Role::Operator);
    let other = world.administration.create_tenant(&operator, "other").await.expect("a tenant");
    // Not even an operator's key crosses here.
    let foreign = world.context_of(other.id, Role::Operator);
    let missing = world.ingestion.get_document(&foreign, DocumentId::new()).await.expect_err("missing");
    let page = PageRequest::first();
    for error in [
        world.ingestion.get_document(&foreign, document.id).await.err(),
        world.ingestion.delete_document(&foreign, document.id).await.err(),
        world.ingestion.retry_document(&foreign, document.id).await.err(),
        world.ingestion.update_metadata(&foreign, document.id, Default::default()).await.err(),
        world.ingestion.list_versions(&foreign, document.id, &page).await.err(),
        world.ingestion.list_chunks(&foreign, document.id, None, &page).await.err(),
        world.ingestion.list_pages(&foreign, document.id, None, &page).await.err(),
        world.ingestion.content(&foreign, document.id, None, ContentKind::Original, 0).await.err(),
    ] {
        let error = error.expect("foreign");
        assert_eq!((error.kind(), error.reason()), (missing.kind(), missing.reason()));
    }
    let view = world.document(&document).await;
    assert_eq!(view.document.state, DocumentState::Indexed);
}
