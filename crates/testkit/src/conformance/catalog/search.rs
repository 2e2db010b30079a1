//! What a search may show.

use std::sync::Arc;

use vectrion_core::{
    document::Document,
    ids::{ChunkId, CollectionId, DocumentId},
    job::Stage,
    metadata::{MetadataCondition, MetadataTest, MetadataValue},
    search::SearchFilter,
};

use crate::conformance::scenario::{Database, Scenario, chunks, metadata};

async fn visible<S: Database>(scenario: &Scenario<'_, S>, ids: &[ChunkId], filter: &SearchFilter) -> Vec<String> {
    let found = scenario.store.visible_chunks(scenario.tenant, ids, filter).await.expect("chunks");
    let mut texts: Vec<String> = found.into_iter().map(|found| found.chunk.draft.text).collect();
    texts.sort_unstable();
    texts
}

async fn ids_of<S: Database>(scenario: &Scenario<'_, S>, document: &Document) -> Vec<ChunkId> {
    let chunks = scenario.store.chunks_from(scenario.tenant, document.version_id, 0, 1000).await.expect("chunks");
    chunks.into_iter().map(|chunk| chunk.id).collect()
}

pub async fn only_the_indexed_version_is_visible<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let anywhere = SearchFilter::default();
    let document = scenario.uploaded("a", "1").await;
    scenario.process(&["one"]).await;
    let ids = ids_of(&scenario, &document).await;
    assert!(visible(&scenario, &ids, &anywhere).await.is_empty(), "processed only");
    assert_eq!(store.matching_documents(scenario.tenant, &anywhere, 9).await.expect("a look"), []);
    let lease = scenario.claim(Stage::EmbedDocument).await;
    assert!(visible(&scenario, &ids, &anywhere).await.is_empty(), "being embedded");
    store.finish_embedding(&lease).await.expect("indexed");

    let found = store.visible_chunks(scenario.tenant, &ids, &anywhere).await.expect("chunks");
    let [found] = found.as_slice() else { panic!("one chunk: {found:?}") };
    assert_eq!(found.chunk, chunks(document.id, document.version_id, &["one"])[0], "every field comes back");
    assert_eq!((found.filename.as_str(), found.title.as_deref()), ("a.pdf", Some("A Title")));
    assert_eq!(store.matching_documents(scenario.tenant, &anywhere, 9).await.expect("a look"), [document.id]);
    assert!(visible(&scenario, &[ChunkId::derive(document.version_id, 9, b"", "")], &anywhere).await.is_empty());
    assert!(visible(&scenario, &[], &anywhere).await.is_empty());
}

pub async fn a_version_replaces_another_in_one_step<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let anywhere = SearchFilter::default();
    let old = scenario.index(&scenario.file("a", "1").named("old.pdf"), &["old one", "old two"]).await;
    let new = scenario.admit(&scenario.file("a", "2").named("new.pdf")).await.document().clone();
    scenario.process(&["new one"]).await;
    let mut ids = ids_of(&scenario, &old).await;
    ids.extend(ids_of(&scenario, &new).await);
    assert_eq!(ids.len(), 3);
    assert_eq!(visible(&scenario, &ids, &anywhere).await, ["old one", "old two"]);
    scenario.embed().await;
    assert_eq!(visible(&scenario, &ids, &anywhere).await, ["new one"]);
    let found = store.visible_chunks(scenario.tenant, &ids, &anywhere).await.expect("chunks");
    assert_eq!((found[0].filename.as_str(), found[0].chunk.version), ("new.pdf", 2));
    scenario.finish_delete().await;
    assert_eq!(visible(&scenario, &ids, &anywhere).await, ["new one"], "the removal of the old changes nothing");
    assert!(store.chunks_from(scenario.tenant, old.version_id, 0, 10).await.expect("a look").is_empty());
}

pub async fn a_search_filter_narrows_down<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let elsewhere = CollectionId::new();
    store.create_collection(scenario.tenant, elsewhere, "elsewhere", "", "").await.expect("a collection");
    let year = |year: f64| metadata(&[("year", MetadataValue::Number(year))]);
    let a = scenario.index(&scenario.file("a", "1").with(year(2023.0)), &["a"]).await;
    let b = scenario.index(&scenario.file("b", "2").with(year(2024.0)), &["b"]).await;
    let there = scenario.file("c", "3").with(year(2024.0)).into_collection(elsewhere);
    let c = scenario.index(&there, &["c"]).await;
    let mut ids = Vec::new();
    for document in [&a, &b, &c] {
        ids.extend(ids_of(&scenario, document).await);
    }
    let in_2024 =
        MetadataCondition { key: "year".to_owned(), test: MetadataTest::Equals(MetadataValue::Number(2024.0)) };
    let any = SearchFilter::default();
    let cases: Vec<(SearchFilter, &[&str])> = vec![
        (any.clone(), &["a", "b", "c"]),
        (SearchFilter { collections: vec![elsewhere], ..any.clone() }, &["c"]),
        (SearchFilter { collections: vec![elsewhere, scenario.collection], ..any.clone() }, &["a", "b", "c"]),
        (SearchFilter { documents: vec![a.id, c.id, DocumentId::new()], ..any.clone() }, &["a", "c"]),
        (SearchFilter { metadata: vec![in_2024.clone()], ..any.clone() }, &["b", "c"]),
        (
            SearchFilter {
                collections: vec![scenario.collection],
                metadata: vec![in_2024],
                documents: vec![a.id, b.id],
            },
            &["b"],
        ),
        (SearchFilter { documents: vec![DocumentId::new()], ..any }, &[]),
    ];
    for (filter, expected) in cases {
        assert_eq!(visible(&scenario, &ids, &filter).await, expected, "{filter:?}");
        let matching = store.matching_documents(scenario.tenant, &filter, 100).await.expect("documents");
        assert_eq!(matching.len(), expected.len(), "{filter:?}");
    }
}

pub async fn many_chunks_are_looked_up_at_once<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let texts: Vec<String> = (0..2500).map(|i| format!("{i:04}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let document = scenario.indexed("a", "1", &texts).await;
    let ids: Vec<ChunkId> =
        chunks(document.id, document.version_id, &texts).into_iter().map(|chunk| chunk.id).collect();
    assert_eq!(visible(&scenario, &ids, &SearchFilter::default()).await, texts);
    assert_eq!(scenario.now(document.id).await.chunk_count, 2500);
}

pub async fn matching_documents_show_that_there_are_more<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    for name in ["a", "b", "c"] {
        scenario.indexed(name, name, &["text"]).await;
    }
    scenario.uploaded("not indexed", "d").await;
    let count = async |limit| {
        store.matching_documents(scenario.tenant, &SearchFilter::default(), limit).await.expect("documents").len()
    };
    assert_eq!((count(1).await, count(2).await, count(3).await, count(10).await), (2, 3, 3, 3));
}
