//! Lists.

use std::sync::Arc;

use vectrion_core::{
    ErrorKind::{InvalidArgument, NotFound},
    chunk::Chunk,
    document::{DocumentFilter, DocumentOrder, DocumentOrderField, DocumentState},
    ids::{CollectionId, DocumentId, VersionId},
    page::PageRequest,
};

use crate::conformance::scenario::{Database, Scenario, chunks, pass, processed, refused, walk};

const FIELDS: [DocumentOrderField; 3] =
    [DocumentOrderField::CreateTime, DocumentOrderField::UpdateTime, DocumentOrderField::Filename];

pub async fn documents_are_listed_in_any_order<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let mut made = Vec::new();
    for name in ["c", "a", "B", "é", "b"] {
        made.push(scenario.uploaded(name, name).await);
    }
    pass().await;
    scenario.uploaded("c", "newer").await;
    for by in FIELDS {
        for descending in [false, true] {
            let order = DocumentOrder { by, descending };
            let all = DocumentFilter::default();
            let listed = walk(2, async |page| store.list_documents(scenario.tenant, &all, order, &page).await).await;
            assert_eq!(listed.len(), made.len());
            let mut expected = listed.clone();
            expected.sort_by(|x, y| {
                let (x, y) = if descending { (y, x) } else { (x, y) };
                let by_field = match by {
                    DocumentOrderField::CreateTime => x.create_time.cmp(&y.create_time),
                    DocumentOrderField::UpdateTime => x.update_time.cmp(&y.update_time),
                    DocumentOrderField::Filename => x.filename.cmp(&y.filename),
                };
                by_field.then(x.id.cmp(&y.id))
            });
            let ids = |documents: &[vectrion_core::document::Document]| -> Vec<DocumentId> {
                documents.iter().map(|document| document.id).collect()
            };
            assert_eq!(ids(&listed), ids(&expected), "{order:?}");
        }
    }
    let order = DocumentOrder { by: DocumentOrderField::UpdateTime, descending: true };
    let newest = store.list_documents(scenario.tenant, &DocumentFilter::default(), order, &PageRequest::first()).await;
    let newest = newest.expect("a page").items.remove(0);
    assert_eq!((newest.id, newest.version), (made[0].id, 2), "a document is shown through its newest version");
}

pub async fn a_list_stays_sound_while_documents_come<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let mut before = Vec::new();
    for i in 0..5 {
        before.push(scenario.uploaded(&format!("{i}"), &format!("{i}")).await.id);
    }
    for descending in [false, true] {
        let order = DocumentOrder { by: DocumentOrderField::CreateTime, descending };
        let mut seen = Vec::new();
        let mut page = PageRequest { size: 2, token: None };
        loop {
            let all = DocumentFilter::default();
            let listed = store.list_documents(scenario.tenant, &all, order, &page).await.expect("a page");
            seen.extend(listed.items.into_iter().map(|document| document.id));
            pass().await;
            let name = format!("{} {}", descending, seen.len());
            scenario.uploaded(&name, &name).await;
            page.token = listed.next;
            if page.token.is_none() || seen.len() > 20 {
                break;
            }
        }
        let mut once = seen.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "none twice");
        assert!(before.iter().all(|id| seen.contains(id)), "none left out that was there all the time");
        if !descending {
            break;
        }
    }
}

pub async fn a_page_token_fits_its_own_list_only<S: Database>(store: Arc<S>) {
    let (a, b) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    for name in ["x", "y", "z"] {
        a.uploaded(name, name).await;
    }
    let order = DocumentOrder::default();
    let all = DocumentFilter::default();
    let first = PageRequest { size: 1, token: None };
    let token = store.list_documents(a.tenant, &all, order, &first).await.expect("a page").next;
    let next = PageRequest { size: 2, token: token.clone() };
    assert_eq!(store.list_documents(a.tenant, &all, order, &next).await.expect("its own").items.len(), 2);

    let other_order = DocumentOrder { descending: true, ..order };
    refused(store.list_documents(a.tenant, &all, other_order, &next).await, InvalidArgument, "INVALID_PAGE_TOKEN");
    let other_filter = DocumentFilter { states: vec![DocumentState::Uploaded], ..all.clone() };
    refused(store.list_documents(a.tenant, &other_filter, order, &next).await, InvalidArgument, "INVALID_PAGE_TOKEN");
    refused(store.list_documents(b.tenant, &all, order, &next).await, InvalidArgument, "INVALID_PAGE_TOKEN");
    refused(store.list_collections(a.tenant, &next).await, InvalidArgument, "INVALID_PAGE_TOKEN");
    refused(store.list_jobs(a.tenant, &Default::default(), &next).await, InvalidArgument, "INVALID_PAGE_TOKEN");
    let mut broken = token.expect("there is more");
    broken.insert(3, '!');
    let broken = PageRequest { size: 2, token: Some(broken) };
    refused(store.list_documents(a.tenant, &all, order, &broken).await, InvalidArgument, "INVALID_PAGE_TOKEN");
}

pub async fn documents_are_filtered<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let elsewhere = CollectionId::new();
    store.create_collection(scenario.tenant, elsewhere, "elsewhere", "", "").await.expect("a collection");
    let indexed = scenario.index(&scenario.file("a", "1").named("Annual_Report 100%.PDF"), &["text"]).await.id;
    let uploaded = scenario.admit(&scenario.file("b", "2").named("notes!.txt")).await.document().id;
    let there = scenario.admit(&scenario.file("a", "3").into_collection(elsewhere)).await.document().id;
    let deleting = scenario.uploaded("d", "4").await.id;
    scenario.begin_delete(deleting).await;

    let none = DocumentFilter::default();
    let contains = |part: &str| DocumentFilter { filename_contains: Some(part.to_owned()), ..none.clone() };
    let cases = [
        (none.clone(), vec![indexed, uploaded, there, deleting]),
        (DocumentFilter { collection: Some(elsewhere), ..none.clone() }, vec![there]),
        (DocumentFilter { collection: Some(CollectionId::new()), ..none.clone() }, vec![]),
        (DocumentFilter { documents: vec![uploaded, there, DocumentId::new()], ..none.clone() }, vec![uploaded, there]),
        (DocumentFilter { states: vec![DocumentState::Indexed], ..none.clone() }, vec![indexed]),
        (
            DocumentFilter { states: vec![DocumentState::Deleting, DocumentState::Uploaded], ..none.clone() },
            vec![uploaded, there, deleting],
        ),
        (DocumentFilter { external_id: Some("a".to_owned()), ..none.clone() }, vec![indexed, there]),
        (DocumentFilter { external_id: Some("A".to_owned()), ..none.clone() }, vec![]),
        (DocumentFilter { external_id: Some("a\0".to_owned()), ..none.clone() }, vec![]),
        (contains("annual_report"), vec![indexed]),
        (contains("100%.p"), vec![indexed]),
        (contains("AnnualXReport"), vec![]),
        (contains("a%p"), vec![]),
        (contains("!"), vec![uploaded]),
        (contains(""), vec![indexed, uploaded, there, deleting]),
        (
            DocumentFilter { states: vec![DocumentState::Uploaded], collection: Some(elsewhere), ..none.clone() },
            vec![there],
        ),
    ];
    for (filter, mut expected) in cases {
        let order = DocumentOrder::default();
        let mut listed: Vec<DocumentId> =
            walk(2, async |page| store.list_documents(scenario.tenant, &filter, order, &page).await)
                .await
                .into_iter()
                .map(|document| document.id)
                .collect();
        listed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(listed, expected, "{filter:?}");
    }
}

pub async fn versions_are_listed_newest_first<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let id = scenario.indexed("a", "1", &["text"]).await.id;
    for content in ["2", "3"] {
        pass().await;
        scenario.uploaded("a", content).await;
    }
    let listed = walk(2, async |page| store.list_versions(scenario.tenant, id, &page).await).await;
    let shown: Vec<_> = listed.iter().map(|version| (version.version, version.state, version.id)).collect();
    let uploaded = DocumentState::Uploaded;
    assert_eq!(shown, [(3, uploaded, id), (2, uploaded, id), (1, DocumentState::Indexed, id)]);
    assert!(listed.windows(2).all(|pair| pair[0].create_time > pair[1].create_time), "each with its own time");
    assert!(listed.iter().all(|version| version.indexed_version == Some(1)));
    let missing = store.list_versions(scenario.tenant, DocumentId::new(), &PageRequest::first()).await;
    refused(missing, NotFound, "DOCUMENT_NOT_FOUND");
}

pub async fn chunks_and_pages_are_listed_in_order<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let texts = ["zero", "one \u{1F600} two", "", "three"];
    let document = scenario.uploaded("a", "1").await;
    let lease = scenario.process(&texts).await;
    let listed = walk(3, async |page| store.list_chunks(scenario.tenant, document.id, None, &page).await).await;
    assert_eq!(listed, chunks(document.id, document.version_id, &texts), "every field comes back");
    let listed = walk(1, async |page| store.list_pages(scenario.tenant, document.id, None, &page).await).await;
    assert_eq!(listed, processed(&lease, &texts).pages);

    scenario.embed().await;
    let newer = scenario.uploaded("a", "2").await;
    let none = store.list_chunks(scenario.tenant, document.id, None, &PageRequest::first()).await.expect("a list");
    assert_eq!((none.items.len(), none.next), (0, None), "the newest version has none yet");
    scenario.process(&["new"]).await;
    let of_version = async |version| -> Vec<(String, u32)> {
        walk(3, async |page| store.list_chunks(scenario.tenant, document.id, version, &page).await)
            .await
            .into_iter()
            .map(|chunk: Chunk| (chunk.draft.text, chunk.version))
            .collect()
    };
    assert_eq!(of_version(None).await, [("new".to_owned(), 2)]);
    assert_eq!(of_version(Some(2)).await, [("new".to_owned(), 2)]);
    assert_eq!(of_version(Some(1)).await.len(), 4);
    assert_eq!(newer.version, 2);
}

pub async fn chunks_are_read_from_an_ordinal_on<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let texts: Vec<String> = (0..1201).map(|i| format!("chunk {i}")).collect();
    scenario.process(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let read = async |ordinal, limit| -> Vec<u32> {
        let chunks = store.chunks_from(scenario.tenant, document.version_id, ordinal, limit).await.expect("chunks");
        chunks.into_iter().map(|chunk| chunk.ordinal).collect()
    };
    assert_eq!(read(0, 3).await, [0, 1, 2]);
    assert_eq!(read(1199, 3).await, [1199, 1200]);
    assert_eq!(read(1201, 3).await, [0_u32; 0]);
    assert_eq!(read(0, 5000).await.len(), 1201);
    let missing = store.chunks_from(scenario.tenant, VersionId::new(), 0, 3).await.expect("no error");
    assert!(missing.is_empty());
}

pub async fn contents_of_a_missing_document_are_missing<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let page = PageRequest::first();
    for (id, version) in [(DocumentId::new(), None), (DocumentId::new(), Some(1)), (document.id, Some(2))] {
        refused(store.list_chunks(scenario.tenant, id, version, &page).await, NotFound, "DOCUMENT_NOT_FOUND");
        refused(store.list_pages(scenario.tenant, id, version, &page).await, NotFound, "DOCUMENT_NOT_FOUND");
    }
}
