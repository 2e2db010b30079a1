//! That the queries which run often, or over much, use the indexes meant for them on SQLite, which has no statistics.

use uuid::Uuid;
use vectrion_core::{
    document::{DocumentFilter, DocumentOrder, DocumentOrderField, DocumentState},
    ids::{ChunkId, CollectionId, DocumentId, TenantId},
    job::Stage,
    lifecycle::LifecycleRule,
    metadata::{MetadataCondition, MetadataTest, MetadataValue},
    page::PageRequest,
    ports::jobs::DeadLetterFilter,
    search::SearchFilter,
};

use crate::{
    catalog::{history, lists, search},
    jobs::{claim, dead_letters, status},
    test_database::database,
    upkeep::{inventory, lifecycle},
};

fn tenant() -> TenantId {
    TenantId(Uuid::nil())
}

fn condition() -> MetadataCondition {
    MetadataCondition {
        key: "k".to_owned(),
        test: MetadataTest::AnyOf(vec![MetadataValue::Text("v".to_owned()), MetadataValue::Number(1.0)]),
    }
}

#[tokio::test]
async fn a_claim_neither_scans_nor_sorts_the_jobs() {
    let (store, _directory) = database().await;
    let waiting = claim::waiting(store.backend(), &Stage::ALL).plan(store.reader()).await;
    let oldest = claim::oldest(store.backend(), tenant(), &Stage::ALL, &[], 9).plan(store.reader()).await;
    let front = claim::front(&Stage::ALL, 9).plan(store.reader()).await;
    let ready = claim::any_ready(store.backend(), &Stage::ALL).plan(store.reader()).await;
    for plan in [&front, &ready] {
        assert_eq!(plan.matches("SEARCH j USING").count(), 3, "{plan}");
        assert_eq!(plan.matches("INDEX jobs_next (stage=? AND run_time<?)").count(), 3, "{plan}");
        assert!(!plan.contains("SCAN j") && !plan.contains("SCAN r"), "{plan}");
    }
    assert!(front.contains("SEARCH r USING COVERING INDEX jobs_running_tenant"), "{front}");
    assert!(waiting.contains("SEARCH j USING COVERING INDEX jobs_pending"), "{waiting}");
    assert!(oldest.contains("SEARCH j USING INDEX jobs_pending"), "{oldest}");
    for plan in [&waiting, &oldest] {
        assert!(!plan.contains("SCAN j") && !plan.contains("SCAN r"), "{plan}");
    }
    assert!(waiting.contains("SEARCH r USING COVERING INDEX jobs_running_tenant"), "{waiting}");
    assert!(oldest.contains("SEARCH r USING COVERING INDEX jobs_running_document"), "{oldest}");
    assert!(!oldest.contains("TEMP B-TREE"), "{oldest}");
}

#[tokio::test]
async fn passages_are_looked_up_by_their_ids() {
    let (store, _directory) = database().await;
    let ids: Vec<ChunkId> = (0..300).map(|i| ChunkId(Uuid::from_u128(i))).collect();
    let (collection, document) = (CollectionId(Uuid::nil()), DocumentId(Uuid::nil()));
    for filter in [
        SearchFilter::default(),
        SearchFilter { collections: vec![collection], ..Default::default() },
        SearchFilter { documents: vec![document; 3], ..Default::default() },
        SearchFilter { metadata: vec![condition()], collections: vec![collection], documents: vec![document] },
    ] {
        let plan = search::visible(tenant(), &ids, &filter).expect("a query").plan(store.reader()).await;
        assert!(plan.starts_with("SEARCH c USING INDEX sqlite_autoindex_chunks_1 (id=?)"), "{plan}");
        assert!(!plan.contains("SCAN"), "{plan}");
    }
}

#[tokio::test]
async fn documents_are_read_in_order_not_sorted() {
    let (store, _directory) = database().await;
    let none = DocumentFilter::default();
    let collection = Some(CollectionId(Uuid::nil()));
    let filters = [
        none.clone(),
        DocumentFilter { collection, ..none.clone() },
        DocumentFilter { states: vec![DocumentState::Indexed, DocumentState::Failed], ..none.clone() },
        DocumentFilter { filename_contains: Some("x".to_owned()), metadata: vec![condition()], ..none.clone() },
    ];
    for filter in filters {
        for (by, index) in [
            (DocumentOrderField::CreateTime, "documents_create_time"),
            (DocumentOrderField::UpdateTime, "documents_update_time"),
            (DocumentOrderField::Filename, "documents_filename"),
        ] {
            for descending in [false, true] {
                let order = DocumentOrder { by, descending };
                let query =
                    lists::documents_query(store.backend(), tenant(), &filter, order, None, &PageRequest::first());
                let plan = query.expect("a query").plan(store.reader()).await;
                assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{filter:?} {order:?}\n{plan}");
            }
        }
        let plan = history::changed_query(tenant(), &filter, 7, 100).expect("a query").plan(store.reader()).await;
        assert!(plan.contains("documents_revision") && !plan.contains("TEMP B-TREE"), "{filter:?}\n{plan}");
    }
}

#[tokio::test]
async fn a_named_document_is_looked_up() {
    let (store, _directory) = database().await;
    for filter in [
        DocumentFilter {
            external_id: Some("a".to_owned()),
            collection: Some(CollectionId(Uuid::nil())),
            ..Default::default()
        },
        DocumentFilter { documents: vec![DocumentId(Uuid::nil())], ..Default::default() },
    ] {
        let order = DocumentOrder::default();
        let query = lists::documents_query(store.backend(), tenant(), &filter, order, None, &PageRequest::first());
        let plan = query.expect("a query").plan(store.reader()).await;
        assert!(!plan.contains("documents_create_time") && !plan.contains("SCAN"), "{filter:?}\n{plan}");
    }
}

#[tokio::test]
async fn a_watch_of_the_queues_reads_indexes_alone() {
    let (store, _directory) = database().await;
    for whose in [None, Some(tenant())] {
        let plan = status::ended(store.backend(), whose, 9).plan(store.reader()).await;
        assert!(plan.contains("USING COVERING INDEX jobs_rates (end_time>?"), "{plan}");
    }
    let filter = DeadLetterFilter { reason: Some("NO_LUCK".to_owned()), ..Default::default() };
    for filter in [DeadLetterFilter::default(), filter] {
        let plan = dead_letters::causes_query(store.backend(), tenant(), &filter, 9).plan(store.reader()).await;
        assert!(plan.contains("USING COVERING INDEX dead_letters_cause (tenant_id=?"), "{plan}");
    }
}

#[tokio::test]
async fn a_walk_over_versions_neither_sorts_nor_scans() {
    let (store, _directory) = database().await;
    let mut walk = inventory::records(tenant());
    walk.push(" AND v.id > ").bind(Uuid::nil()).push(" ORDER BY v.id LIMIT ").bind(500_i64);
    let walk = walk.plan(store.reader()).await;
    assert!(walk.contains("SEARCH v USING INDEX document_versions_walk (tenant_id=? AND id>?)"), "{walk}");
    assert!(
        walk.contains("SEARCH j USING INDEX jobs_") && walk.contains("SEARCH c USING COVERING INDEX chunks_"),
        "{walk}"
    );
    assert!(!walk.contains("SCAN") && !walk.contains("TEMP B-TREE"), "{walk}");
    for rule in [LifecycleRule::Retention(1), LifecycleRule::Failed(1), LifecycleRule::Versions(1)] {
        let query = lifecycle::candidates_query(tenant(), CollectionId(Uuid::nil()), rule, None, 200, 9);
        let plan = query.plan(store.reader()).await;
        assert!(!plan.contains("SCAN"), "{rule:?}: {plan}");
    }
}
