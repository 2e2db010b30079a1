//! Conformance of [`Upkeep`](vectrion_core::ports::Upkeep).

#![expect(missing_docs, reason = "a case is named by the promise that it checks")]

mod lifecycle;

pub use self::lifecycle::*;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use vectrion_core::{
    ErrorKind::Aborted,
    deletion::{DeletionCause, DeletionOrder, Left, Removed},
    document::DocumentState,
    ids::{ChunkId, CollectionId, DocumentId, JobId, KeyId, UploadId, VersionId},
    job::{JobPayload, Stage},
    page::PageRequest,
    ports::{jobs::DeadLetterFilter, upkeep::VersionRecord},
};

use super::scenario::{Database, Scenario, TRACE, TRIES, deletion, failure, pass, refused, walk};

/// Makes a test of each promise. `$make` names an async function that gives a new database and whatever keeps it alive.
#[macro_export]
macro_rules! upkeep_conformance {
    ($make:path) => {
        $crate::conformance_tests!($make, upkeep: [
            a_walk_tells_of_every_version_what_should_be_where,
            what_is_known_is_told_from_what_is_not,
            work_is_queued_again_only_where_it_makes_sense,
            what_is_embedded_again_stays_in_sight,
            a_version_that_is_one_too_many_goes_and_others_stay,
            a_removal_that_was_given_up_is_one_dead_letter_and_leaves_the_version_alone,
            a_chore_belongs_to_one_holder_at_a_time,
            of_holders_at_once_one_gets_the_chore,
            a_deletion_leaves_a_tombstone_and_then_a_receipt,
            a_document_that_has_changed_is_not_deleted,
            receipts_are_listed_and_forgotten,
            a_policy_is_set_read_and_taken_back,
            a_policy_goes_with_its_collection,
            rules_name_what_they_would_remove,
            orphans_are_looked_for_once_in_a_while,
        ]);
    };
}

async fn records<S: Database>(scenario: &Scenario<'_, S>) -> Vec<VersionRecord> {
    scenario.store.walk_versions(scenario.tenant, None, None, 1000).await.expect("a walk")
}

async fn record<S: Database>(scenario: &Scenario<'_, S>, version: VersionId) -> VersionRecord {
    scenario.store.version_record(scenario.tenant, version).await.expect("a look").expect("a version")
}

async fn requeue<S: Database>(scenario: &Scenario<'_, S>, document: DocumentId, payload: JobPayload) -> bool {
    scenario.store.requeue(scenario.tenant, document, payload, JobId::new(), TRIES, TRACE).await.expect("an answer")
}

pub async fn a_walk_tells_of_every_version_what_should_be_where<S: Database>(store: Arc<S>) {
    let (scenario, other) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    other.indexed("theirs", "x", &["theirs"]).await;
    let first = scenario.indexed("a", "1", &["one", "two"]).await;
    let second = scenario.indexed("a", "2", &["three"]).await;
    scenario.finish_delete().await;
    let waiting = scenario.uploaded("b", "3").await;

    let old = record(&scenario, first.version_id).await;
    assert_eq!((old.document, old.number, old.chunk_count, old.chunks), (first.id, 1, 0, 0));
    assert!(old.replaced && !old.searched && !old.busy && !old.deleting);
    let new = record(&scenario, second.version_id).await;
    assert_eq!((new.chunk_count, new.chunks, new.size, new.collection), (1, 1, 1234, scenario.collection));
    assert!(new.searched && !new.replaced && new.state == DocumentState::Indexed);
    let queued = record(&scenario, waiting.version_id).await;
    assert!(queued.busy && !queued.searched && queued.state == DocumentState::Uploaded);

    let mut walked = Vec::new();
    let mut after = None;
    loop {
        let page = store.walk_versions(scenario.tenant, None, after, 2).await.expect("a walk");
        after = page.last().map(|record| record.id);
        let is_last = page.len() < 2;
        walked.extend(page);
        if is_last {
            break;
        }
    }
    assert_eq!(walked, records(&scenario).await);
    assert!(walked.is_sorted_by_key(|record| record.id) && walked.len() == 3);
    let elsewhere = store.walk_versions(scenario.tenant, Some(CollectionId::new()), None, 9).await.expect("a walk");
    assert_eq!(elsewhere, []);
    assert_eq!(store.version_record(other.tenant, new.id).await.expect("a look"), None, "another tenant's is missing");
    scenario.begin_delete(waiting.id).await;
    assert!(record(&scenario, waiting.version_id).await.deleting);
}

pub async fn what_is_known_is_told_from_what_is_not<S: Database>(store: Arc<S>) {
    let (scenario, other) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    let document = scenario.indexed("a", "1", &["one"]).await;
    let admission = scenario.begin_upload(&scenario.file("b", "2")).await;
    let asked = [document.version_id, admission.version_id, VersionId::new()];
    let known: BTreeSet<_> = store.known_versions(scenario.tenant, &asked).await.expect("a look").into_iter().collect();
    assert_eq!(known, BTreeSet::from([document.version_id, admission.version_id]));
    let uploads = store.known_uploads(scenario.tenant, &[admission.upload, UploadId::new()]).await.expect("a look");
    assert_eq!(uploads, [admission.upload]);
    let chunk = ChunkId::derive(document.version_id, 0, b"one", "c1");
    let chunks = store.known_chunks(scenario.tenant, &[chunk, ChunkId(VersionId::new().0)]).await.expect("a look");
    assert_eq!(chunks, [chunk]);
    assert_eq!(store.known_versions(other.tenant, &asked).await.expect("a look"), []);
    assert_eq!(store.known_uploads(other.tenant, &[admission.upload]).await.expect("a look"), []);
    assert_eq!(store.known_chunks(other.tenant, &[chunk]).await.expect("a look"), []);
    assert_eq!(store.known_chunks(scenario.tenant, &[]).await.expect("a look"), []);
}

pub async fn work_is_queued_again_only_where_it_makes_sense<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let first = scenario.indexed("a", "1", &["one"]).await;
    let second = scenario.indexed("a", "2", &["two"]).await;
    let (old, new) = (first.version_id, second.version_id);
    let embed = |version_id| JobPayload::EmbedV1 { version_id };
    assert!(!requeue(&scenario, first.id, embed(new)).await, "the removal of the old version waits");
    scenario.finish_delete().await;

    assert!(!requeue(&scenario, first.id, embed(old)).await, "it was replaced");
    assert!(!requeue(&scenario, first.id, embed(VersionId::new())).await, "there is no such version");
    assert!(!requeue(&scenario, DocumentId::new(), embed(new)).await, "there is no such document");
    assert!(!requeue(&scenario, first.id, JobPayload::DeleteVersionV1 { version_id: new }).await, "searches see it");
    assert!(!requeue(&scenario, first.id, JobPayload::PurgeVersionV1 { version_id: new }).await, "searches see it");
    assert!(!requeue(&scenario, first.id, JobPayload::DeleteDocumentV1 {}).await, "nobody asked for it");
    let other = Scenario::new(&*store).await;
    assert!(!requeue(&other, first.id, embed(new)).await, "it is another tenant's");

    assert!(requeue(&scenario, first.id, JobPayload::ProcessV1 { version_id: new }).await);
    assert_eq!(scenario.now(first.id).await.state, DocumentState::Uploaded);
    assert!(!requeue(&scenario, first.id, embed(new)).await, "a job waits already");
    scenario.process(&["two"]).await;
    scenario.embed().await;

    scenario.begin_delete(first.id).await;
    assert!(!requeue(&scenario, first.id, embed(new)).await, "it is being deleted");
    let lease = scenario.claim(Stage::DeleteDocument).await;
    store.fail(&lease, failure(&lease, "X")).await.expect("given up");
    assert!(!requeue(&scenario, first.id, JobPayload::DeleteDocumentV1 {}).await, "that has failed, and was told");
}

pub async fn what_is_embedded_again_stays_in_sight<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.indexed("a", "1", &["one", "two"]).await;
    assert!(requeue(&scenario, document.id, JobPayload::EmbedV1 { version_id: document.version_id }).await);
    let again = scenario.now(document.id).await;
    assert_eq!((again.state, again.indexed_version), (DocumentState::Processed, Some(1)));
    let ids: Vec<ChunkId> = store
        .chunks_from(scenario.tenant, document.version_id, 0, 9)
        .await
        .expect("chunks")
        .iter()
        .map(|chunk| chunk.id)
        .collect();
    let visible = store.visible_chunks(scenario.tenant, &ids, &Default::default()).await.expect("chunks");
    assert_eq!(visible.len(), 2, "searches see it all the while");
    scenario.embed().await;
    let done = scenario.now(document.id).await;
    assert_eq!((done.state, done.indexed_version), (DocumentState::Indexed, Some(1)));
    assert_eq!(
        store.claim(&Stage::ALL, &super::scenario::worker("w"), super::scenario::LONG).await.expect("a look"),
        None
    );
}

pub async fn a_version_that_is_one_too_many_goes_and_others_stay<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let first = scenario.indexed("a", "1", &["one"]).await;
    scenario.indexed("a", "2", &["two"]).await;
    scenario.finish_delete().await;
    assert!(requeue(&scenario, first.id, JobPayload::PurgeVersionV1 { version_id: first.version_id }).await);
    let lease = scenario.claim(Stage::DeleteDocument).await;
    assert_eq!(store.versions_to_delete(&lease).await.expect("versions"), [first.version_id]);
    let before = scenario.now(first.id).await.revision;
    store.finish_deletion(&lease).await.expect("removed");
    let left = store.list_versions(scenario.tenant, first.id, &PageRequest::first()).await.expect("versions").items;
    assert_eq!(left.iter().map(|version| version.version).collect::<Vec<_>>(), [2]);
    let now = scenario.now(first.id).await;
    assert!(now.revision > before && now.indexed_version == Some(2) && now.state == DocumentState::Indexed);
    assert_eq!(store.deletion_receipt(scenario.tenant, first.id).await.expect("a look"), None, "the document is there");
}

pub async fn a_removal_that_was_given_up_is_one_dead_letter_and_leaves_the_version_alone<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let bad = scenario.uploaded("a", "1").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    store.fail(&lease, failure(&lease, "BAD")).await.expect("failed");
    scenario.indexed("a", "2", &["two"]).await;
    let letters = async |stage| {
        let filter = DeadLetterFilter { stage: Some(stage), ..DeadLetterFilter::default() };
        store.list_dead_letters(scenario.tenant, &filter, &PageRequest::first()).await.expect("a list").items
    };
    let reason = async || {
        let version = store.document_version(scenario.tenant, bad.id, 1).await.expect("a look").expect("the version");
        version.failure.map(|failure| failure.reason)
    };
    for _ in 0..2 {
        assert!(requeue(&scenario, bad.id, JobPayload::PurgeVersionV1 { version_id: bad.version_id }).await);
        let lease = scenario.claim(Stage::DeleteDocument).await;
        store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("given up");
        assert_eq!(reason().await.as_deref(), Some("BAD"), "it says why it failed");
    }
    let removals = letters(Stage::DeleteDocument).await;
    assert_eq!((removals.len(), letters(Stage::ProcessDocument).await.len()), (1, 1), "{removals:?}");
    store.replay_dead_letter(scenario.tenant, removals[0].id, TRACE).await.expect("a replay");
    assert_eq!(reason().await.as_deref(), Some("BAD"), "it was never indexed");
    scenario.finish_delete().await;
    assert_eq!(store.document_version(scenario.tenant, bad.id, 1).await.expect("a look"), None);
}

pub async fn a_chore_belongs_to_one_holder_at_a_time<S: Database>(store: Arc<S>) {
    let (long, short) = (Duration::from_secs(600), Duration::from_millis(1));
    let chore = super::scenario::unique("chore");
    assert!(store.hold_chore(&chore, "a", long).await.expect("an answer"));
    assert!(!store.hold_chore(&chore, "b", long).await.expect("an answer"), "a has it");
    assert!(store.hold_chore(&chore, "a", long).await.expect("an answer"), "a holds on");
    assert!(store.hold_chore(&super::scenario::unique("chore"), "b", long).await.expect("an answer"), "another one");
    store.release_chore(&chore, "b").await.expect("no error");
    assert!(!store.hold_chore(&chore, "b", long).await.expect("an answer"), "it was not b's to give back");
    store.release_chore(&chore, "a").await.expect("given back");
    assert!(store.hold_chore(&chore, "b", short).await.expect("an answer"));
    pass().await;
    assert!(store.hold_chore(&chore, "a", long).await.expect("an answer"), "b's time is over");
    assert!(!store.hold_chore(&chore, "b", long).await.expect("an answer"));
}

pub async fn of_holders_at_once_one_gets_the_chore<S: Database + 'static>(store: Arc<S>) {
    let chore = super::scenario::unique("chore");
    let holding: Vec<_> = (0..16)
        .map(|number| {
            let (store, chore) = (Arc::clone(&store), chore.clone());
            tokio::spawn(async move {
                store.hold_chore(&chore, &number.to_string(), Duration::from_secs(600)).await.expect("an answer")
            })
        })
        .collect();
    let mut held = 0;
    for holding in holding {
        held += usize::from(holding.await.expect("no panic"));
    }
    assert_eq!(held, 1);
}

pub async fn a_deletion_leaves_a_tombstone_and_then_a_receipt<S: Database>(store: Arc<S>) {
    let (scenario, other) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    let first = scenario.indexed("a", "1", &["one"]).await;
    let document = scenario.indexed("a", "2", &["two", "three"]).await;
    scenario.finish_delete().await;
    assert_eq!(store.deletion_receipt(scenario.tenant, document.id).await.expect("a look"), None);

    let key = KeyId::new();
    let order = DeletionOrder { key: Some(key), ..deletion() };
    store.begin_delete(scenario.tenant, document.id, &order).await.expect("being deleted");
    let tombstone = store.deletion_receipt(scenario.tenant, document.id).await.expect("a look").expect("a tombstone");
    assert_eq!((tombstone.cause, tombstone.key, tombstone.end_time), (DeletionCause::Request, Some(key), None));
    assert_eq!(tombstone.versions, [first.version_id, document.version_id]);
    assert_eq!((tombstone.collection, tombstone.trace_id.as_str()), (scenario.collection, TRACE));
    assert_eq!(store.rows_left(&tombstone).await.expect("a count"), 1 + 2 + 2 + 4, "document, versions, chunks, pages");
    assert_eq!(store.unverified_receipts(None, 9).await.expect("a list"), [], "it has not ended");

    let stored = Removed { points: 2, objects: 4, bytes: 2468, ..Removed::default() };
    store.note_removal(scenario.tenant, document.id, stored).await.expect("noted");
    store.note_removal(scenario.tenant, document.id, Removed::default()).await.expect("a later try finds less");
    // A deletion that is begun again is the same one.
    store.begin_delete(scenario.tenant, document.id, &deletion()).await.expect("as it is");
    scenario.finish_delete().await;
    let receipt = store.deletion_receipt(scenario.tenant, document.id).await.expect("a look").expect("a receipt");
    assert_eq!(receipt.removed, Removed { versions: 2, chunks: 2, points: 2, objects: 4, bytes: 2468 });
    assert_eq!((receipt.key, receipt.request_time), (Some(key), tombstone.request_time));
    assert!(receipt.end_time.is_some_and(|end| end >= receipt.request_time) && receipt.verify_time.is_none());
    assert_eq!(store.rows_left(&receipt).await.expect("a count"), 0);
    assert_eq!(store.unverified_receipts(None, 9).await.expect("a list"), [receipt]);

    let left = Left { rows: 0, points: 1, objects: 2 };
    store.note_left(scenario.tenant, document.id, left).await.expect("noted");
    let receipt = store.deletion_receipt(scenario.tenant, document.id).await.expect("a look").expect("a receipt");
    assert_eq!((receipt.left, receipt.verify_time), (left, None), "something was left");
    store.note_left(other.tenant, document.id, Left::default()).await.expect("not theirs");
    store.note_left(scenario.tenant, document.id, Left::default()).await.expect("noted");
    let receipt = store.deletion_receipt(scenario.tenant, document.id).await.expect("a look").expect("a receipt");
    assert!(receipt.verify_time.is_some() && receipt.left.is_nothing());
    assert_eq!(store.unverified_receipts(None, 9).await.expect("a list"), []);
    assert_eq!(store.deletion_receipt(other.tenant, document.id).await.expect("a look"), None, "it is not theirs");
}

pub async fn a_document_that_has_changed_is_not_deleted<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.indexed("a", "1", &["one"]).await;
    let order = DeletionOrder { at_revision: Some(document.revision - 1), ..deletion() };
    refused(store.begin_delete(scenario.tenant, document.id, &order).await, Aborted, "DOCUMENT_CHANGED");
    assert_eq!(scenario.now(document.id).await.state, DocumentState::Indexed);
    assert_eq!(store.deletion_receipt(scenario.tenant, document.id).await.expect("a look"), None);
    let order = DeletionOrder { at_revision: Some(document.revision), cause: DeletionCause::Retention, ..deletion() };
    store.begin_delete(scenario.tenant, document.id, &order).await.expect("it has not changed");
    let tombstone = store.deletion_receipt(scenario.tenant, document.id).await.expect("a look").expect("a tombstone");
    assert_eq!((tombstone.cause, tombstone.key), (DeletionCause::Retention, None));
}

pub async fn receipts_are_listed_and_forgotten<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let document = scenario.indexed(&number.to_string(), &number.to_string(), &["x"]).await;
        scenario.delete(document.id).await;
        ids.push(document.id);
        pass().await;
    }
    ids.reverse();
    for size in [1, 2, 5, 50] {
        let page = async |page: PageRequest| store.list_deletion_receipts(scenario.tenant, &page).await;
        let listed: Vec<DocumentId> = walk(size, page).await.into_iter().map(|receipt| receipt.document).collect();
        assert_eq!(listed, ids, "newest first, {size} at a time");
    }
    let mut unverified: Vec<DocumentId> = Vec::new();
    let mut last = None;
    loop {
        let page = store.unverified_receipts(last.as_ref(), 2).await.expect("a list");
        unverified.extend(page.iter().map(|receipt| receipt.document));
        last = page.last().cloned();
        if page.len() < 2 {
            break;
        }
    }
    assert!(unverified.iter().rev().eq(&ids), "longest ended first, page after page: {unverified:?}");
    for id in &ids[1..] {
        store.note_left(scenario.tenant, *id, Left::default()).await.expect("verified");
    }
    let pending = scenario.indexed("pending", "p", &["x"]).await;
    scenario.begin_delete(pending.id).await;
    assert_eq!(store.purge_receipts(600_000).await.expect("purged"), 0);
    pass().await;
    assert!(store.purge_receipts(0).await.expect("purged") >= 4);
    let left = store.list_deletion_receipts(scenario.tenant, &PageRequest::first()).await.expect("a list").items;
    let left: Vec<DocumentId> = left.iter().map(|receipt| receipt.document).collect();
    assert_eq!(left, [pending.id, ids[0]], "one has not ended, one was not verified");
    scenario.finish_delete().await;
    store.delete_tenant(scenario.tenant).await.expect("receipts go with their tenant");
}
