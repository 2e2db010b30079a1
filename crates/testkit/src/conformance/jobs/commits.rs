//! What the stages commit.

use std::sync::Arc;

use vectrion_core::{
    ErrorKind::{Aborted, Internal},
    document::{DocumentState, Progress},
    job::{JobPayload, JobState, Stage},
    page::PageRequest,
    ports::jobs::{JobFilter, NextJob},
    search::SearchFilter,
};

use crate::conformance::scenario::{Database, LONG, Scenario, TRACE, TRIES, pass, processed, refused, worker};

async fn waiting<S: Database>(scenario: &Scenario<'_, S>) -> Vec<JobPayload> {
    let filter = JobFilter { states: vec![JobState::Pending], ..Default::default() };
    let jobs = scenario.store.list_jobs(scenario.tenant, &filter, &PageRequest::first()).await.expect("jobs");
    jobs.items.into_iter().map(|job| job.payload).collect()
}

pub async fn processing_stores_contents_and_queues_the_embedding<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    let result = processed(&lease, &["one", "two", "three"]);
    store.finish_processing(&lease, result.clone(), NextJob::queued(9)).await.expect("processed");

    let after = scenario.now(document.id).await;
    assert_eq!((after.state, after.title.as_deref()), (DocumentState::Processed, Some("A Title")));
    assert_eq!((after.page_count, after.chunk_count, after.warnings), (2, 3, result.warnings));
    let done = Progress { pages_total: 2, pages_done: 2, chunks_total: 3, chunks_done: 0 };
    assert_eq!((after.progress, after.indexed_version), (done, None));
    let chunks = store.chunks_from(scenario.tenant, document.version_id, 0, 10).await.expect("chunks");
    assert_eq!(chunks, result.chunks);
    let ended = store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job");
    assert_eq!((ended.state, ended.worker, ended.lease_expire_time), (JobState::Succeeded, None, None));
    assert!(ended.end_time.is_some());

    let filter = JobFilter { states: vec![JobState::Pending], ..Default::default() };
    let jobs = store.list_jobs(scenario.tenant, &filter, &PageRequest::first()).await.expect("jobs").items;
    let [job] = jobs.as_slice() else { panic!("one job: {jobs:?}") };
    assert_eq!(job.payload, JobPayload::EmbedV1 { version_id: document.version_id });
    assert_eq!((job.document, job.max_attempts, job.trace_id.as_str()), (document.id, 9, TRACE));
}

pub async fn who_processed_a_document_can_go_on_at_once<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    let next = NextJob { max_attempts: 9, claim_for: Some(LONG) };
    let committed = store.finish_processing(&lease, processed(&lease, &["one", "two"]), next).await;
    let next = committed.expect("processed").expect("the lease of what follows");

    assert_eq!(next.job.payload, JobPayload::EmbedV1 { version_id: document.version_id });
    assert_eq!((next.job.document, next.job.trace_id.as_str()), (document.id, TRACE));
    assert_eq!((next.job.attempts, next.job.max_attempts, &next.job.worker), (1, 9, &lease.job.worker));
    assert_eq!(store.job(scenario.tenant, next.job.id).await.expect("a look"), Some(next.job.clone()));
    assert_eq!(scenario.now(document.id).await.state, DocumentState::Embedding);
    assert_eq!(store.claim(&Stage::ALL, &worker("other"), LONG).await.expect("a look"), None, "it is taken");

    store.heartbeat(&next, LONG, None).await.expect("it is a lease like any other");
    store.release(&next).await.expect("and can be given back");
    let again = scenario.claim(Stage::EmbedDocument).await;
    assert_eq!((again.job.id, again.job.attempts), (next.job.id, 1));
    assert!(again.token > next.token);
    refused(store.finish_embedding(&next).await, Aborted, "LEASE_LOST");
    store.finish_embedding(&again).await.expect("indexed");
    assert_eq!(scenario.now(document.id).await.state, DocumentState::Indexed);
}

pub async fn a_commit_that_comes_twice_has_one_effect<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    // As when the answer to the first was lost.
    store.finish_processing(&lease, processed(&lease, &["x", "y"]), NextJob::queued(TRIES)).await.expect("processed");
    let again = store.finish_processing(&lease, processed(&lease, &["x", "y"]), NextJob::queued(TRIES)).await;
    refused(again, Aborted, "LEASE_LOST");
    assert_eq!(store.chunks_from(scenario.tenant, document.version_id, 0, 10).await.expect("chunks").len(), 2);
    assert_eq!(waiting(&scenario).await, [JobPayload::EmbedV1 { version_id: document.version_id }]);
    let lease = scenario.claim(Stage::EmbedDocument).await;
    store.finish_embedding(&lease).await.expect("indexed");
    refused(store.finish_embedding(&lease).await, Aborted, "LEASE_LOST");
    scenario.begin_delete(document.id).await;
    let lease = scenario.finish_delete().await;
    refused(store.finish_deletion(&lease).await, Aborted, "LEASE_LOST");
}

pub async fn a_large_document_is_stored<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let text = "word ".repeat(200);
    let texts = vec![text.as_str(); 3000];
    let lease = scenario.claim(Stage::ProcessDocument).await;
    let mut result = processed(&lease, &texts);
    let page = result.pages[0].clone();
    result.pages =
        (1..=1500).map(|number| vectrion_core::ports::catalog::PageInfo { number, ..page.clone() }).collect();
    store.finish_processing(&lease, result, NextJob::queued(TRIES)).await.expect("processed");
    scenario.embed().await;
    let after = scenario.now(document.id).await;
    assert_eq!((after.state, after.page_count, after.chunk_count), (DocumentState::Indexed, 1500, 3000));
    scenario.delete(document.id).await;
    assert_eq!(store.document(scenario.tenant, document.id).await.expect("a look"), None);
}

pub async fn the_first_indexed_version_becomes_visible<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.indexed("a", "1", &["one", "two"]).await;
    assert_eq!((document.state, document.indexed_version), (DocumentState::Indexed, Some(1)));
    assert_eq!((document.progress.chunks_total, document.progress.chunks_done), (2, 2));
    let found = store.matching_documents(scenario.tenant, &SearchFilter::default(), 9).await.expect("a look");
    assert_eq!(found, [document.id]);
    assert!(waiting(&scenario).await.is_empty(), "it replaced nothing");
    let empty = scenario.indexed("b", "2", &[]).await;
    assert_eq!((empty.state, empty.chunk_count), (DocumentState::Indexed, 0));
}

pub async fn a_newer_version_replaces_the_one_before<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let old = scenario.indexed("a", "1", &["old"]).await;
    let new = scenario.uploaded("a", "2").await;
    scenario.process(&["new"]).await;
    assert_eq!(scenario.now(old.id).await.indexed_version, Some(1), "the old one until the new one is ready");
    let embedding = scenario.embed().await;
    let after = scenario.now(old.id).await;
    assert_eq!((after.indexed_version, after.state, after.version), (Some(2), DocumentState::Indexed, 2));
    assert_eq!(waiting(&scenario).await, [JobPayload::DeleteVersionV1 { version_id: old.version_id }]);

    let lease = scenario.claim(Stage::DeleteDocument).await;
    assert_eq!(lease.job.trace_id, embedding.job.trace_id);
    assert!(store.job_document(&lease).await.expect("a look").is_some());
    assert_eq!(store.versions_to_delete(&lease).await.expect("versions"), [old.version_id]);
    store.finish_deletion(&lease).await.expect("removed");
    assert!(store.chunks_from(scenario.tenant, old.version_id, 0, 10).await.expect("a look").is_empty());
    assert_eq!(store.chunks_from(scenario.tenant, new.version_id, 0, 10).await.expect("chunks").len(), 1);
    let version = store.document_version(scenario.tenant, old.id, 1).await.expect("a look").expect("it is still known");
    assert_eq!((version.state, version.chunk_count), (DocumentState::Indexed, 0));
    let job = store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job");
    assert_eq!(job.state, JobState::Succeeded);
}

pub async fn an_older_version_never_replaces_a_newer<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let old = scenario.uploaded("a", "1").await;
    scenario.expired(Stage::ProcessDocument).await;
    let new = scenario.uploaded("a", "2").await;
    scenario.process(&["new"]).await;
    scenario.embed().await;
    assert_eq!(store.reap(50).await.expect("reaped"), 1);
    let slow = scenario.process(&["old"]).await;
    assert_eq!(slow.job.payload.version_id(), Some(old.version_id));
    scenario.embed().await;

    let after = scenario.now(old.id).await;
    assert_eq!(
        (after.version_id, after.state, after.indexed_version),
        (new.version_id, DocumentState::Indexed, Some(2))
    );
    assert_eq!(
        waiting(&scenario).await,
        [JobPayload::DeleteVersionV1 { version_id: old.version_id }],
        "its own removal"
    );
    scenario.finish_delete().await;
    assert!(store.chunks_from(scenario.tenant, old.version_id, 0, 10).await.expect("a look").is_empty());
    assert_eq!(store.chunks_from(scenario.tenant, new.version_id, 0, 10).await.expect("chunks").len(), 1);
    let version = store.document_version(scenario.tenant, old.id, 1).await.expect("a look").expect("version 1");
    assert_eq!(version.state, DocumentState::Indexed);
}

pub async fn embedding_a_version_again_removes_nothing<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    scenario.process(&["one"]).await;
    let lease = scenario.claim(Stage::EmbedDocument).await;
    let dead_letter =
        store.fail(&lease, crate::conformance::scenario::failure(&lease, "NO_LUCK")).await.expect("failed");
    store.replay_dead_letter(scenario.tenant, dead_letter.id, TRACE).await.expect("queued");
    scenario.embed().await;
    assert!(waiting(&scenario).await.is_empty());
    assert_eq!(store.chunks_from(scenario.tenant, document.version_id, 0, 10).await.expect("chunks").len(), 1);
}

pub async fn the_shown_version_is_not_removed<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let old = scenario.indexed("a", "1", &["old"]).await;
    scenario.uploaded("a", "2").await;
    scenario.process(&["new"]).await;
    scenario.embed().await;
    let removal = scenario.claim(Stage::DeleteDocument).await;
    // Its lease runs out, and the job is done by another worker; then the first one comes back.
    store.release(&removal).await.expect("released");
    scenario.finish_delete().await;
    assert!(store.finish_deletion(&removal).await.is_err());
    pass().await;
    let document = scenario.now(old.id).await;
    let left = store.chunks_from(scenario.tenant, document.version_id, 0, 10).await.expect("chunks");
    assert_eq!(left.len(), 1);
}

pub async fn a_commit_of_another_stage_is_refused<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    refused(store.finish_embedding(&lease).await, Internal, "WRONG_STAGE");
    refused(store.finish_deletion(&lease).await, Internal, "WRONG_STAGE");
    refused(store.versions_to_delete(&lease).await, Internal, "WRONG_STAGE");
    store.finish_processing(&lease, processed(&lease, &["text"]), NextJob::queued(TRIES)).await.expect("the right one");
    let lease = store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a claim").expect("a job");
    refused(
        store.finish_processing(&lease, processed(&lease, &["text"]), NextJob::queued(TRIES)).await,
        Internal,
        "WRONG_STAGE",
    );
}
