//! Tries that were no success.

use std::{sync::Arc, time::Duration};

use vectrion_core::{
    Error,
    ErrorKind::{Aborted, NotFound},
    document::DocumentState,
    job::{Job, JobPayload, JobState, Lease, Stage},
    page::PageRequest,
    ports::jobs::{JobFilter, NextJob},
};

use crate::conformance::scenario::{Database, LONG, Scenario, TRACE, TRIES, failure, pass, processed, refused, worker};

async fn stored<S: Database>(scenario: &Scenario<'_, S>, lease: &Lease) -> Job {
    scenario.store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job")
}

fn down() -> Error {
    Error::unavailable("MODEL_DOWN", "the model is out of reach")
}

pub async fn a_released_job_keeps_its_place_and_its_tries<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    pass().await;
    scenario.uploaded("b", "2").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    store.release(&lease).await.expect("released");
    let job = stored(&scenario, &lease).await;
    assert_eq!((job.state, job.attempts, job.interruptions), (JobState::Pending, 0, 0));
    assert_eq!((job.worker, job.lease_expire_time, job.run_time), (None, None, lease.job.run_time));
    let again = scenario.claim(Stage::ProcessDocument).await;
    assert_eq!((again.job.id, again.job.attempts), (lease.job.id, 1));
}

pub async fn a_failed_try_waits_and_counts<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    store.retry_later(&lease, &down(), Duration::from_secs(60)).await.expect("put back");
    let job = stored(&scenario, &lease).await;
    assert_eq!((job.state, job.attempts), (JobState::Pending, 1));
    assert_eq!(job.last_error.as_deref(), Some("MODEL_DOWN: the model is out of reach"));
    let wait = job.run_time.since(lease.job.start_time.expect("begun"));
    assert!(wait >= Duration::from_secs(60) && wait < Duration::from_secs(90), "{wait:?}");
    assert_eq!(store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look"), None);
    assert!(!scenario.now(document.id).await.state.is_terminal());
    refused(store.retry_later(&lease, &down(), Duration::ZERO).await, Aborted, "LEASE_LOST");
}

pub async fn the_last_failed_try_gives_the_job_up<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    for _ in 0..TRIES {
        let lease = scenario.claim(Stage::ProcessDocument).await;
        store.retry_later(&lease, &down(), Duration::ZERO).await.expect("noted");
    }
    assert_eq!(store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look"), None);
    let failed = scenario.now(document.id).await;
    let failure = failed.failure.expect("a reason");
    assert_eq!((failed.state, failure.reason.as_str(), failure.attempts), (DocumentState::Failed, "MODEL_DOWN", TRIES));
    assert_eq!(failure.stage, "process_document");
    let letters =
        store.list_dead_letters(scenario.tenant, &Default::default(), &PageRequest::first()).await.expect("a list");
    assert_eq!(letters.items.len(), 1);
}

pub async fn what_is_put_off_does_not_count<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    let full = Error::new(vectrion_core::ErrorKind::ResourceExhausted, "STORAGE_FULL", "the disk is full");
    for _ in 0..=TRIES {
        let lease = scenario.claim(Stage::ProcessDocument).await;
        assert_eq!(lease.job.attempts, 1);
        store.put_off(&lease, &full, Duration::ZERO).await.expect("put off");
        let job = stored(&scenario, &lease).await;
        assert_eq!((job.state, job.attempts), (JobState::Pending, 0));
        assert_eq!(job.last_error.as_deref(), Some("STORAGE_FULL: the disk is full"));
    }
    let lease = scenario.claim(Stage::ProcessDocument).await;
    store.put_off(&lease, &full, Duration::from_secs(60)).await.expect("put off");
    assert_eq!(store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look"), None, "it waits");
}

pub async fn a_failed_job_leaves_a_dead_letter<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    let failure = failure(&lease, "PDF_PASSWORD_REQUIRED");
    let letter = store.fail(&lease, failure.clone()).await.expect("failed");
    assert_eq!((letter.tenant, letter.job, letter.document), (scenario.tenant, lease.job.id, document.id));
    assert_eq!((letter.stage, letter.attempts, letter.trace_id.as_str()), (Stage::ProcessDocument, 1, TRACE));
    assert_eq!((&letter.reason, &letter.message), (&failure.reason, &failure.message));
    assert_eq!(store.dead_letter(scenario.tenant, letter.id).await.expect("a look"), Some(letter));
    let job = stored(&scenario, &lease).await;
    assert_eq!((job.state, job.worker.as_ref(), job.end_time.is_some()), (JobState::Failed, None, true));
    assert!(job.last_error.expect("why").starts_with("PDF_PASSWORD_REQUIRED: "));
    let failed = scenario.now(document.id).await;
    assert_eq!((failed.state, failed.failure), (DocumentState::Failed, Some(failure)));

    // A newer version makes the document go on; the failure stays with the old one.
    let newer = scenario.uploaded("a", "2").await;
    assert_eq!((newer.state, newer.failure.as_ref()), (DocumentState::Uploaded, None));
    let old = store.document_version(scenario.tenant, document.id, 1).await.expect("a look").expect("version 1");
    assert_eq!(old.state, DocumentState::Failed);
}

pub async fn a_failed_removal_fails_its_version_only<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let old = scenario.indexed("a", "1", &["old"]).await;
    scenario.uploaded("a", "2").await;
    scenario.process(&["new"]).await;
    scenario.embed().await;
    let lease = scenario.claim(Stage::DeleteDocument).await;
    let letter = store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
    assert_eq!(scenario.now(old.id).await.state, DocumentState::Indexed);
    let version = store.document_version(scenario.tenant, old.id, 1).await.expect("a look").expect("version 1");
    assert_eq!(
        (version.state, version.failure.map(|failure| failure.stage)),
        (DocumentState::Failed, Some("delete_document".to_owned()))
    );
    store.replay_dead_letter(scenario.tenant, letter.id, TRACE).await.expect("queued");
    scenario.finish_delete().await;
    assert!(store.chunks_from(scenario.tenant, old.version_id, 0, 10).await.expect("a look").is_empty());
}

pub async fn a_cancelled_job_leaves_no_version_between_states<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    store.cancel(&lease).await.expect("cancelled");
    assert_eq!(stored(&scenario, &lease).await.state, JobState::Cancelled);
    let cancelled = scenario.now(document.id).await;
    assert_eq!(cancelled.state, DocumentState::Failed);
    assert_eq!(cancelled.failure.expect("a reason").reason, "CANCELLED");
    let letters =
        store.list_dead_letters(scenario.tenant, &Default::default(), &PageRequest::first()).await.expect("a list");
    assert!(letters.items.is_empty());
    let job = vectrion_core::ids::JobId::new();
    store.retry(scenario.tenant, document.id, job, TRACE).await.expect("it can be taken up again");
    scenario.process(&["text"]).await;
    scenario.embed().await;
    assert_eq!(scenario.now(document.id).await.state, DocumentState::Indexed);
}

pub async fn a_superseded_version_is_cleared_away<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let old = scenario.uploaded("a", "1").await;
    scenario.process(&["old"]).await;
    // Its worker dies; meanwhile a newer version is indexed.
    scenario.expired(Stage::EmbedDocument).await;
    scenario.uploaded("a", "2").await;
    scenario.process(&["new"]).await;
    scenario.embed().await;
    assert_eq!(store.reap(50).await.expect("reaped"), 1);
    let lease = scenario.claim(Stage::EmbedDocument).await;
    assert_eq!(lease.job.payload, JobPayload::EmbedV1 { version_id: old.version_id });
    store.cancel(&lease).await.expect("cancelled");
    let version = store.document_version(scenario.tenant, old.id, 1).await.expect("a look").expect("version 1");
    assert_eq!(version.failure.expect("a reason").reason, "SUPERSEDED");
    let removal = scenario.finish_delete().await;
    assert_eq!(removal.job.payload, JobPayload::DeleteVersionV1 { version_id: old.version_id });
    assert!(store.chunks_from(scenario.tenant, old.version_id, 0, 10).await.expect("a look").is_empty());
    assert_eq!(scenario.now(old.id).await.state, DocumentState::Indexed);
}

pub async fn every_commit_finds_that_the_document_is_being_deleted<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    for commit in ["processing", "embedding", "removal", "retry", "put_off", "fail", "release", "cancel"] {
        let document = scenario.uploaded(commit, commit).await;
        let mut stage = Stage::ProcessDocument;
        if matches!(commit, "embedding" | "removal") {
            scenario.process(&["one"]).await;
            stage = Stage::EmbedDocument;
        }
        if commit == "removal" {
            scenario.embed().await;
            scenario.uploaded(commit, "newer").await;
            scenario.process(&["two"]).await;
            scenario.embed().await;
            stage = Stage::DeleteDocument;
        }
        let lease = scenario.claim(stage).await;
        scenario.begin_delete(document.id).await;
        store.heartbeat(&lease, LONG, None).await.expect("the work in hand still holds its lease");
        assert_eq!(store.job_document(&lease).await.expect("a look"), None);
        assert_eq!(store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look"), None, "{commit}");
        let deleting = "DOCUMENT_DELETING";
        match commit {
            "processing" => {
                refused(
                    store.finish_processing(&lease, processed(&lease, &["x"]), NextJob::queued(1)).await,
                    Aborted,
                    deleting,
                );
            }
            "embedding" => refused(store.finish_embedding(&lease).await, Aborted, deleting),
            "removal" => refused(store.finish_deletion(&lease).await, Aborted, deleting),
            "retry" => refused(store.retry_later(&lease, &down(), Duration::ZERO).await, Aborted, deleting),
            "put_off" => refused(store.put_off(&lease, &down(), Duration::ZERO).await, Aborted, deleting),
            "fail" => refused(store.fail(&lease, failure(&lease, "NO_LUCK")).await, Aborted, deleting),
            "release" => store.release(&lease).await.expect("given up"),
            _ => store.cancel(&lease).await.expect("given up"),
        }
        assert_eq!(stored(&scenario, &lease).await.state, JobState::Cancelled, "{commit}");
        assert_eq!(scenario.now(document.id).await.state, DocumentState::Deleting, "{commit}");
        scenario.finish_delete().await;
        assert_eq!(store.document(scenario.tenant, document.id).await.expect("a look"), None, "{commit}");
        let filter = JobFilter { document: Some(document.id), ..Default::default() };
        let left = store.list_jobs(scenario.tenant, &filter, &PageRequest::first()).await.expect("jobs").items;
        assert_eq!(left.len(), 1, "{commit}");
    }
    let letters =
        store.list_dead_letters(scenario.tenant, &Default::default(), &PageRequest::first()).await.expect("a list");
    assert!(letters.items.is_empty());
    let missing = store.replay_dead_letter(scenario.tenant, vectrion_core::ids::DeadLetterId::new(), TRACE).await;
    refused(missing, NotFound, "DEAD_LETTER_NOT_FOUND");
}
