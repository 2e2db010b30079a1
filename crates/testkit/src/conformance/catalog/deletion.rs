//! Deletion.

use std::sync::Arc;

use vectrion_core::{
    ErrorKind::{Aborted, NotFound},
    deletion::DeletionOrder,
    document::{DocumentFilter, DocumentState},
    ids::{DocumentId, JobId},
    job::{JobPayload, JobState, Stage},
    metadata::MetadataValue,
    page::PageRequest,
    ports::{
        catalog::Changes,
        jobs::{JobFilter, NextJob},
    },
    search::SearchFilter,
};

use crate::conformance::scenario::{
    Database, LONG, Scenario, TRACE, TRIES, deletion, failure, metadata, pass, processed, refused, walk, worker,
};

pub async fn a_deletion_hides_the_document_and_waits_for_a_worker<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.indexed("a", "1", &["text"]).await;
    let chunks = store.chunks_from(scenario.tenant, document.version_id, 0, 10).await.expect("chunks");
    let ids: Vec<_> = chunks.iter().map(|chunk| chunk.id).collect();
    let anywhere = SearchFilter::default();
    assert_eq!(store.visible_chunks(scenario.tenant, &ids, &anywhere).await.expect("chunks").len(), 1);

    let job = JobId::new();
    let deleting = store
        .begin_delete(scenario.tenant, document.id, &DeletionOrder { job, max_attempts: 7, ..deletion() })
        .await
        .expect("being deleted");
    assert_eq!((deleting.id, deleting.state), (document.id, DocumentState::Deleting));
    assert!(deleting.revision > document.revision);
    assert!(store.visible_chunks(scenario.tenant, &ids, &anywhere).await.expect("chunks").is_empty());
    assert_eq!(store.matching_documents(scenario.tenant, &anywhere, 9).await.expect("a look"), []);
    let indexed = DocumentFilter { states: vec![DocumentState::Indexed], ..Default::default() };
    let page = PageRequest::first();
    let listed = store.list_documents(scenario.tenant, &indexed, Default::default(), &page).await.expect("a list");
    assert!(listed.items.is_empty());

    let queued = store.job(scenario.tenant, job).await.expect("a look").expect("the job");
    assert_eq!((queued.payload, queued.state), (JobPayload::DeleteDocumentV1 {}, JobState::Pending));
    assert_eq!((queued.max_attempts, queued.trace_id.as_str()), (7, TRACE));
    let missing = store.begin_delete(scenario.tenant, DocumentId::new(), &deletion()).await;
    refused(missing, NotFound, "DOCUMENT_NOT_FOUND");
}

pub async fn a_deletion_calls_off_what_waits<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let running = scenario.claim(Stage::ProcessDocument).await;
    scenario.uploaded("a", "2").await;
    scenario.begin_delete(document.id).await;
    let states: Vec<(Stage, JobState)> =
        walk(10, async |page| store.list_jobs(scenario.tenant, &JobFilter::default(), &page).await)
            .await
            .into_iter()
            .map(|job| (job.payload.stage(), job.state))
            .collect();
    assert!(states.contains(&(Stage::ProcessDocument, JobState::Cancelled)), "{states:?}");
    assert!(states.contains(&(Stage::ProcessDocument, JobState::Running)), "{states:?}");
    assert!(states.contains(&(Stage::DeleteDocument, JobState::Pending)), "{states:?}");

    // The deletion waits for the work in hand, whose commit is refused.
    assert_eq!(store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look"), None);
    assert_eq!(store.job_document(&running).await.expect("a look"), None);
    let commit = store.finish_processing(&running, processed(&running, &["text"]), NextJob::queued(TRIES)).await;
    refused(commit, Aborted, "DOCUMENT_DELETING");
    let called_off = store.job(scenario.tenant, running.job.id).await.expect("a look").expect("the job");
    assert_eq!((called_off.state, called_off.end_time.is_some()), (JobState::Cancelled, true));
    scenario.finish_delete().await;
    assert_eq!(store.document(scenario.tenant, document.id).await.expect("a look"), None);
}

pub async fn a_deletion_begins_once<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let first = scenario.begin_delete(document.id).await;
    let second = scenario.begin_delete(document.id).await;
    assert_eq!(first, second, "given back as it is");
    let filter = JobFilter { stages: vec![Stage::DeleteDocument], ..Default::default() };
    let jobs = store.list_jobs(scenario.tenant, &filter, &PageRequest::first()).await.expect("jobs");
    assert_eq!(jobs.items.len(), 1);
}

pub async fn a_deletion_leaves_nothing<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let kept = scenario.indexed("kept", "0", &["kept text"]).await;
    let file = scenario.file("a", "1").with(metadata(&[("k", MetadataValue::Bool(true))]));
    let document = scenario.index(&file, &["one", "two"]).await;
    scenario.uploaded("a", "2").await;
    scenario.process(&["new one"]).await;
    let lease = scenario.claim(Stage::EmbedDocument).await;
    let dead_letter = store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");

    let before = store.revision(scenario.tenant).await.expect("a revision");
    scenario.begin_delete(document.id).await;
    let lease = scenario.claim(Stage::DeleteDocument).await;
    let versions = store.versions_to_delete(&lease).await.expect("versions");
    assert_eq!(versions.len(), 2, "all of the document's");
    assert!(versions.contains(&document.version_id));
    store.finish_deletion(&lease).await.expect("deleted");

    assert_eq!(store.document(scenario.tenant, document.id).await.expect("a look"), None);
    for version in versions {
        assert!(store.chunks_from(scenario.tenant, version, 0, 10).await.expect("a look").is_empty());
    }
    assert_eq!(store.dead_letter(scenario.tenant, dead_letter.id).await.expect("a look"), None);
    let filter = JobFilter { document: Some(document.id), ..Default::default() };
    let jobs = store.list_jobs(scenario.tenant, &filter, &PageRequest::first()).await.expect("jobs").items;
    let left: Vec<_> = jobs.iter().map(|job| (job.id, job.state)).collect();
    assert_eq!(left, [(lease.job.id, JobState::Succeeded)], "the record of its deletion");
    let by_metadata = SearchFilter {
        metadata: vec![vectrion_core::metadata::MetadataCondition {
            key: "k".to_owned(),
            test: vectrion_core::metadata::MetadataTest::Exists(true),
        }],
        ..Default::default()
    };
    assert_eq!(store.matching_documents(scenario.tenant, &by_metadata, 9).await.expect("a look"), []);
    let changes = store.changes(scenario.tenant, &DocumentFilter::default(), before, false, 10).await.expect("changes");
    let Changes::Since { removed, .. } = changes else { panic!("{changes:?}") };
    assert_eq!(removed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [document.id]);
    assert_eq!(store.chunks_from(scenario.tenant, kept.version_id, 0, 10).await.expect("chunks").len(), 1);
    pass().await;
    assert_eq!(store.purge_jobs(0).await.expect("purged"), 3, "its record, and the two jobs of the document kept");
}
