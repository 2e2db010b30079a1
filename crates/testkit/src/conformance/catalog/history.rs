//! The history of changes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use vectrion_core::{
    Error,
    document::{Document, DocumentFilter, DocumentState},
    ids::{CollectionId, DocumentId, TenantId},
    job::Stage,
    metadata::MetadataValue,
    ports::catalog::Changes,
};

use crate::conformance::scenario::{Database, LONG, Scenario, metadata, pass, worker};

struct Since {
    changed: Vec<Document>,
    removed: Vec<(DocumentId, i64)>,
    revision: i64,
    more: bool,
}

async fn since<S: Database>(store: &S, tenant: TenantId, filter: &DocumentFilter, after: i64, limit: u32) -> Since {
    match store.changes(tenant, filter, after, false, limit).await.expect("changes") {
        Changes::Since { changed, removed, revision, more } => Since { changed, removed, revision, more },
        resync @ Changes::Resync { .. } => panic!("{resync:?}"),
    }
}

fn ids(changed: &[Document]) -> Vec<DocumentId> {
    changed.iter().map(|document| document.id).collect()
}

pub async fn changes_come_in_order_each_document_once<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let any = DocumentFilter::default();
    assert_eq!(since(&*store, scenario.tenant, &any, 0, 10).await.revision, 0);
    let a = scenario.uploaded("a", "1").await;
    let b = scenario.uploaded("b", "2").await;
    let c = scenario.uploaded("c", "3").await;
    assert!(a.revision < b.revision && b.revision < c.revision);
    let all = since(&*store, scenario.tenant, &any, 0, 10).await;
    assert_eq!(ids(&all.changed), [a.id, b.id, c.id]);
    assert_eq!((all.revision, all.more), (c.revision, false));
    assert_eq!(store.revision(scenario.tenant).await.expect("a revision"), c.revision);

    let lease = scenario.claim(Stage::ProcessDocument).await;
    assert_eq!(lease.job.document, a.id);
    let news = since(&*store, scenario.tenant, &any, all.revision, 10).await;
    assert_eq!(ids(&news.changed), [a.id]);
    assert_eq!(news.changed[0].state, DocumentState::Processing);
    let again = since(&*store, scenario.tenant, &any, 0, 10).await;
    assert_eq!(ids(&again.changed), [b.id, c.id, a.id], "each once, as it is now, by its last change");

    let first = since(&*store, scenario.tenant, &any, 0, 2).await;
    assert_eq!((ids(&first.changed), first.more), (vec![b.id, c.id], true));
    let rest = since(&*store, scenario.tenant, &any, first.revision, 2).await;
    assert_eq!((ids(&rest.changed), rest.more, rest.revision), (vec![a.id], false, news.revision));
    let nothing = since(&*store, scenario.tenant, &any, rest.revision, 2).await;
    assert_eq!((nothing.changed.len(), nothing.removed.len(), nothing.revision), (0, 0, rest.revision));
}

pub async fn removals_are_told<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let any = DocumentFilter::default();
    let a = scenario.uploaded("a", "1").await;
    let b = scenario.uploaded("b", "2").await;
    let start = store.revision(scenario.tenant).await.expect("a revision");
    scenario.begin_delete(a.id).await;
    let deleting = since(&*store, scenario.tenant, &any, start, 10).await;
    assert_eq!(ids(&deleting.changed), [a.id]);
    assert_eq!(deleting.changed[0].state, DocumentState::Deleting);
    scenario.finish_delete().await;
    store.update_metadata(scenario.tenant, b.id, metadata(&[("k", MetadataValue::Bool(true))])).await.expect("changed");

    let news = since(&*store, scenario.tenant, &any, deleting.revision, 10).await;
    assert_eq!((ids(&news.changed), news.removed.len()), (vec![b.id], 1));
    assert_eq!(news.removed[0].0, a.id);
    assert!(news.removed[0].1 > deleting.revision && news.removed[0].1 < news.revision);
    let first = since(&*store, scenario.tenant, &any, deleting.revision, 1).await;
    assert_eq!((first.changed.len(), first.removed.len(), first.more), (0, 1, true), "both kinds in one order");
    assert_eq!(first.revision, news.removed[0].1);
}

pub async fn changes_are_filtered<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let elsewhere = CollectionId::new();
    store.create_collection(scenario.tenant, elsewhere, "elsewhere", "", "").await.expect("a collection");
    let a = scenario.uploaded("a", "1").await;
    let there = scenario.admit(&scenario.file("b", "2").into_collection(elsewhere)).await.document().clone();
    let gone = scenario.admit(&scenario.file("c", "3").into_collection(elsewhere)).await.document().clone();
    scenario.delete(gone.id).await;
    let newest = store.revision(scenario.tenant).await.expect("a revision");
    let none = DocumentFilter::default();
    let cases = [
        (DocumentFilter { collection: Some(elsewhere), ..none.clone() }, vec![there.id], vec![gone.id]),
        (DocumentFilter { collection: Some(scenario.collection), ..none.clone() }, vec![a.id], vec![]),
        (DocumentFilter { documents: vec![a.id, gone.id], ..none.clone() }, vec![a.id], vec![gone.id]),
        (DocumentFilter { documents: vec![a.id], ..none }, vec![a.id], vec![]),
    ];
    for (filter, changed, removed) in cases {
        let found = since(&*store, scenario.tenant, &filter, 0, 10).await;
        assert_eq!(ids(&found.changed), changed, "{filter:?}");
        assert_eq!(found.removed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), removed, "{filter:?}");
        assert_eq!(found.revision, newest, "what does not match is passed over for good");
    }
}

pub async fn a_history_that_is_not_whole_asks_for_a_resync<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let other = Scenario::new(&*store).await;
    let any = DocumentFilter::default();
    let document = scenario.uploaded("a", "1").await;
    let before = store.revision(scenario.tenant).await.expect("a revision");
    scenario.delete(document.id).await;
    let after = store.revision(scenario.tenant).await.expect("a revision");
    pass().await;
    assert_eq!(store.trim_history(3_600_000).await.expect("trimmed"), 0, "not that old");
    since(&*store, scenario.tenant, &any, before, 10).await;
    assert_eq!(store.trim_history(0).await.expect("trimmed"), 1);

    let changes = store.changes(scenario.tenant, &any, before, false, 10).await.expect("changes");
    assert_eq!(changes, Changes::Resync { revision: after });
    let begin = since(&*store, scenario.tenant, &any, 0, 10).await;
    assert_eq!((begin.removed.len(), begin.revision), (0, after), "from the beginning of what is kept");
    since(&*store, scenario.tenant, &any, after, 10).await;
    let future = store.changes(scenario.tenant, &any, after + 1, false, 10).await.expect("changes");
    assert_eq!(future, Changes::Resync { revision: after }, "no such revision was ever given");
    let first = other.uploaded("x", "x").await;
    since(&*store, other.tenant, &any, first.revision - 1, 10).await;
}

pub async fn a_first_look_goes_to_its_end_whatever_was_forgotten<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let any = DocumentFilter::default();
    let (a, b) = (scenario.uploaded("a", "1").await, scenario.uploaded("b", "2").await);
    let gone = scenario.uploaded("c", "3").await;
    scenario.begin_delete(gone.id).await;
    while let Some(lease) = store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a claim") {
        match lease.job.payload.stage() {
            Stage::DeleteDocument => store.finish_deletion(&lease).await.expect("deleted"),
            _ => store.put_off(&lease, &Error::unavailable("LATER", "later"), LONG).await.expect("put off"),
        }
    }
    pass().await;
    assert_eq!(store.trim_history(0).await.expect("trimmed"), 1);

    // Both documents are older than the end that was forgotten.
    let first = since(&*store, scenario.tenant, &any, 0, 1).await;
    assert!(first.more);
    let rest = store.changes(scenario.tenant, &any, first.revision, true, 1).await.expect("changes");
    let Changes::Since { changed, more: false, .. } = rest else { panic!("{rest:?}") };
    let mut seen = ids(&[first.changed, changed].concat());
    seen.sort();
    let mut both = vec![a.id, b.id];
    both.sort();
    assert_eq!(seen, both);
    let later = store.changes(scenario.tenant, &any, first.revision, false, 1).await.expect("changes");
    assert!(matches!(later, Changes::Resync { .. }), "who was away may have seen the document: {later:?}");
}

pub async fn a_watch_misses_nothing<S: Database + 'static>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let tenant = scenario.tenant;
    let mut documents = Vec::new();
    for i in 0..6 {
        documents.push(scenario.uploaded(&format!("{i}"), &format!("{i}")).await.id);
    }
    let start = store.revision(tenant).await.expect("a revision");
    let writers: Vec<_> = documents
        .iter()
        .map(|&id| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                for i in 0..20 {
                    let new = metadata(&[("i", MetadataValue::Number(f64::from(i)))]);
                    revisions.push(store.update_metadata(tenant, id, new).await.expect("changed").revision);
                }
                revisions
            })
        })
        .collect();

    // Beside the writers, follow the changes from revision to revision.
    let mut seen: HashMap<DocumentId, i64> = HashMap::new();
    let (mut at, mut quiet) = (start, false);
    loop {
        let news = since(&*store, tenant, &DocumentFilter::default(), at, 3).await;
        for document in &news.changed {
            assert!(document.revision > at, "nothing is shown twice");
            seen.insert(document.id, document.revision);
        }
        at = news.revision;
        if quiet && !news.more {
            break;
        }
        quiet = writers.iter().all(|writer| writer.is_finished());
        tokio::task::yield_now().await;
    }
    let mut all = HashSet::new();
    for (id, writer) in documents.iter().zip(writers) {
        let revisions = writer.await.expect("no panic");
        assert!(revisions.is_sorted(), "{revisions:?}");
        assert_eq!(seen.get(id), revisions.last(), "the last change of each document was seen");
        assert!(revisions.iter().all(|revision| all.insert(*revision)), "a revision is given once");
    }
    assert_eq!(all.len(), 120);
}

pub async fn documents_are_counted_by_state<S: Database>(store: Arc<S>) {
    let (a, b) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    let counts = async || -> HashMap<DocumentState, u64> {
        let counts = store.count_by_state().await.expect("counts");
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    };
    assert!(counts().await.is_empty());
    a.indexed("a", "1", &["text"]).await;
    b.indexed("b", "2", &["text"]).await;
    let gone = a.uploaded("c", "3").await;
    a.begin_delete(gone.id).await;
    b.uploaded("b", "newer").await;
    let expected =
        [(DocumentState::Indexed, 1), (DocumentState::Deleting, 1), (DocumentState::Uploaded, 1)].into_iter().collect();
    assert_eq!(counts().await, expected);
}
