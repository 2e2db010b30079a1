//! Metadata and conditions on it.

use std::sync::Arc;

use vectrion_core::{
    ErrorKind::NotFound,
    document::{DocumentFilter, DocumentOrder},
    ids::DocumentId,
    metadata::{Metadata, MetadataCondition, MetadataTest, MetadataValue},
    search::SearchFilter,
};

use crate::conformance::scenario::{Database, Scenario, metadata, pass, refused, walk};

fn text(value: &str) -> MetadataValue {
    MetadataValue::Text(value.to_owned())
}

fn number(value: f64) -> MetadataValue {
    MetadataValue::Number(value)
}

pub async fn metadata_is_replaced_as_a_whole<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let file = scenario.file("a", "1").with(metadata(&[("old", text("x")), ("both", number(1.0))]));
    let made = scenario.admit(&file).await.document().clone();
    pass().await;
    let new = metadata(&[("both", number(2.0)), ("new", MetadataValue::Bool(true))]);
    let changed = store.update_metadata(scenario.tenant, made.id, new.clone()).await.expect("changed");
    assert_eq!(changed.metadata, new);
    assert!(changed.revision > made.revision && changed.update_time > made.update_time);
    assert_eq!(scenario.now(made.id).await, changed);
    let emptied = store.update_metadata(scenario.tenant, made.id, Metadata::default()).await.expect("changed");
    assert!(emptied.metadata.is_empty());

    let missing = store.update_metadata(scenario.tenant, DocumentId::new(), new.clone()).await;
    refused(missing, NotFound, "DOCUMENT_NOT_FOUND");
    scenario.begin_delete(made.id).await;
    refused(store.update_metadata(scenario.tenant, made.id, new).await, NotFound, "DOCUMENT_NOT_FOUND");
}

pub async fn metadata_comes_back_as_it_was_given<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let given = metadata(&[
        ("tiny", number(5e-324)),
        ("huge", number(f64::MAX)),
        ("third", number(1.0 / 3.0)),
        ("awkward", number(0.1 + 0.2)),
        ("precise", number(9_007_199_254_740_993.0)),
        ("negative zero", number(-0.0)),
        ("a \"key\" with.dots and 'quotes'", text("line\nbreak \u{1F600} %_\\ \u{0}")),
        ("empty", text("")),
        ("long", text(&"ä".repeat(2048))),
        ("list", MetadataValue::List(vec![number(1.0), text("1"), MetadataValue::Bool(false)])),
        ("no items", MetadataValue::List(vec![])),
    ]);
    let id = scenario.admit(&scenario.file("a", "1").with(given.clone())).await.document().id;
    assert_eq!(scenario.now(id).await.metadata, given);
}

pub async fn every_kind_of_metadata_condition_is_met<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let long = "x".repeat(4096);
    let files = [
        ("plain", metadata(&[("k", text("v")), ("n", number(10.0)), ("b", MetadataValue::Bool(true))])),
        ("list", metadata(&[("k", MetadataValue::List(vec![text("v"), text("w"), number(10.5)]))])),
        ("bare", metadata(&[("k", MetadataValue::List(vec![]))])),
        ("none", Metadata::default()),
        ("types", metadata(&[("k", number(1.0)), ("n", text("10")), ("b", number(1.0))])),
        ("long", metadata(&[("k", text(&long)), ("n", number(-0.0)), ("b", MetadataValue::Bool(false))])),
    ];
    let mut names = Vec::new();
    for (name, metadata) in files {
        let document = scenario.index(&scenario.file(name, name).with(metadata), &["text"]).await;
        names.push((document.id, name));
    }
    let is = |key: &str, value| (key.to_owned(), MetadataTest::Equals(value));
    let any = |key: &str, values| (key.to_owned(), MetadataTest::AnyOf(values));
    let exists = |key: &str, there| (key.to_owned(), MetadataTest::Exists(there));
    let range = |gte, gt, lte, lt| ("n".to_owned(), MetadataTest::Range { gte, gt, lte, lt });
    let list = |items| MetadataValue::List(items);
    let cases: Vec<Case> = vec![
        (vec![is("k", text("v"))], &["plain", "list"]),
        (vec![is("k", text("V"))], &[]),
        (vec![is("k", text("w"))], &["list"]),
        (vec![is("k", text(&long))], &["long"]),
        (vec![is("k", text("1"))], &[]),
        (vec![is("k", number(1.0))], &["types"]),
        (vec![is("k", number(10.5))], &["list"]),
        (vec![is("k", MetadataValue::Bool(true))], &[]),
        (vec![is("k", list(vec![]))], &["bare"]),
        (vec![is("k", list(vec![text("v"), text("w"), number(10.5)]))], &["list"]),
        (vec![is("k", list(vec![text("v")]))], &[]),
        (vec![is("b", MetadataValue::Bool(true))], &["plain"]),
        (vec![is("b", MetadataValue::Bool(false))], &["long"]),
        (vec![is("n", number(0.0))], &["long"]),
        (vec![is("n", number(f64::NAN))], &[]),
        (vec![is("no such key", text("v"))], &[]),
        (vec![any("k", vec![text("w"), number(1.0), text("absent")])], &["list", "types"]),
        (vec![any("k", vec![])], &[]),
        (vec![range(Some(10.0), None, None, None)], &["plain"]),
        (vec![range(None, Some(10.0), None, None)], &[]),
        (vec![range(Some(-1.0), None, Some(10.0), None)], &["plain", "long"]),
        (vec![range(None, None, None, Some(10.0))], &["long"]),
        (vec![range(None, None, None, None)], &["plain", "long"]),
        (vec![range(Some(f64::NEG_INFINITY), None, Some(f64::INFINITY), None)], &["plain", "long"]),
        (vec![range(None, None, None, Some(f64::NAN))], &[]),
        (vec![exists("k", true)], &["plain", "list", "bare", "types", "long"]),
        (vec![exists("k", false)], &["none"]),
        (vec![exists("no such key", false)], &["plain", "list", "bare", "none", "types", "long"]),
        (vec![is("k", text("v")), exists("n", false)], &["list"]),
        (vec![is("k", text("v")), is("k", text("w"))], &["list"]),
    ];
    for (conditions, expected) in cases {
        let conditions: Vec<MetadataCondition> =
            conditions.into_iter().map(|(key, test)| MetadataCondition { key, test }).collect();
        let filter = DocumentFilter { metadata: conditions.clone(), ..Default::default() };
        let order = DocumentOrder::default();
        let listed = walk(10, async |page| store.list_documents(scenario.tenant, &filter, order, &page).await).await;
        check(&names, listed.into_iter().map(|document| document.id), expected, &conditions);

        let filter = SearchFilter { metadata: conditions.clone(), ..Default::default() };
        let matching = store.matching_documents(scenario.tenant, &filter, 100).await.expect("documents");
        check(&names, matching, expected, &conditions);
    }
}

/// Conditions that all must hold, and the documents that meet them.
type Case = (Vec<(String, MetadataTest)>, &'static [&'static str]);

fn check(
    names: &[(DocumentId, &str)],
    found: impl IntoIterator<Item = DocumentId>,
    expected: &[&str],
    conditions: &[MetadataCondition],
) {
    let found: Vec<DocumentId> = found.into_iter().collect();
    let found: Vec<&str> = names.iter().filter(|(id, _)| found.contains(id)).map(|(_, name)| *name).collect();
    assert_eq!(found, expected, "{conditions:?}");
}
