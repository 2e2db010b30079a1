//! What belongs to another tenant is as if it were missing.

use std::sync::Arc;

use vectrion_core::{
    ErrorKind::NotFound,
    document::DocumentFilter,
    ids::{ChunkId, JobId},
    job::Stage,
    metadata::Metadata,
    page::PageRequest,
    ports::catalog::{Admitted, Changes},
    search::SearchFilter,
};

use crate::conformance::scenario::{Database, Scenario, TRACE, deletion, failure, refused};

pub async fn another_tenants_documents_are_missing<S: Database>(store: Arc<S>) {
    let (mine, theirs) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    let document = theirs.indexed("a", "1", &["text"]).await;
    let chunks = store.chunks_from(theirs.tenant, document.version_id, 0, 10).await.expect("chunks");
    let ids: Vec<ChunkId> = chunks.iter().map(|chunk| chunk.id).collect();
    let (me, id, page) = (mine.tenant, document.id, PageRequest::first());
    let any = DocumentFilter::default();
    let named = DocumentFilter { documents: vec![id], collection: Some(theirs.collection), ..any.clone() };
    let found = SearchFilter { documents: vec![id], collections: vec![theirs.collection], ..Default::default() };

    assert_eq!(store.document(me, id).await.expect("a look"), None);
    assert_eq!(store.document_version(me, id, 1).await.expect("a look"), None);
    refused(store.list_versions(me, id, &page).await, NotFound, "DOCUMENT_NOT_FOUND");
    refused(store.list_chunks(me, id, None, &page).await, NotFound, "DOCUMENT_NOT_FOUND");
    refused(store.list_chunks(me, id, Some(1), &page).await, NotFound, "DOCUMENT_NOT_FOUND");
    refused(store.list_pages(me, id, None, &page).await, NotFound, "DOCUMENT_NOT_FOUND");
    refused(store.list_pages(me, id, Some(1), &page).await, NotFound, "DOCUMENT_NOT_FOUND");
    assert!(store.chunks_from(me, document.version_id, 0, 10).await.expect("a look").is_empty());
    for filter in [SearchFilter::default(), found] {
        assert!(store.visible_chunks(me, &ids, &filter).await.expect("a look").is_empty());
        assert!(store.matching_documents(me, &filter, 10).await.expect("a look").is_empty());
    }
    for filter in [any, named] {
        let listed = store.list_documents(me, &filter, Default::default(), &page).await.expect("a list");
        assert!(listed.items.is_empty());
        let changes = store.changes(me, &filter, 0, false, 10).await.expect("changes");
        assert_eq!(changes, Changes::Since { changed: vec![], removed: vec![], revision: 0, more: false });
    }
    theirs.delete(id).await;
    let changes = store.changes(me, &DocumentFilter::default(), 0, false, 10).await.expect("changes");
    assert_eq!(changes, Changes::Since { changed: vec![], removed: vec![], revision: 0, more: false });
    assert_eq!(store.revision(me).await.expect("a revision"), 0, "not even their changes are seen");
}

pub async fn another_tenants_documents_cannot_be_changed<S: Database>(store: Arc<S>) {
    let (mine, theirs) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    let document = theirs.uploaded("a", "1").await;
    let lease = theirs.claim(Stage::ProcessDocument).await;
    store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
    let before = theirs.now(document.id).await;
    let (me, id) = (mine.tenant, document.id);

    refused(store.update_metadata(me, id, Metadata::default()).await, NotFound, "DOCUMENT_NOT_FOUND");
    refused(store.begin_delete(me, id, &deletion()).await, NotFound, "DOCUMENT_NOT_FOUND");
    refused(store.retry(me, id, JobId::new(), TRACE).await, NotFound, "DOCUMENT_NOT_FOUND");
    assert_eq!(theirs.now(id).await, before);
}

pub async fn another_tenants_uploads_do_not_match<S: Database>(store: Arc<S>) {
    let (mine, theirs) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    let document = theirs.uploaded("a", "bytes").await;
    let Admitted::Created(own) = mine.admit(&mine.file("a", "bytes")).await else { panic!("created") };
    assert_ne!(own.id, document.id);
    assert!(matches!(mine.admit(&mine.file("b", "bytes")).await, Admitted::Duplicate(found) if found.id == own.id));

    let mut stolen = theirs.begin_upload(&theirs.file("c", "more")).await;
    stolen.tenant = mine.tenant;
    stolen.header.collection = mine.collection;
    refused(store.admit(stolen).await, NotFound, "UPLOAD_NOT_FOUND");
    let mut strayed = mine.begin_upload(&mine.file("d", "other")).await;
    strayed.header.collection = theirs.collection;
    refused(store.admit(strayed).await, NotFound, "COLLECTION_NOT_FOUND");
}
