//! Calling off the work on a document.

use std::{sync::Arc, time::Duration};

use vectrion_core::{
    Error,
    ErrorKind::{Aborted, FailedPrecondition, NotFound},
    document::{Document, DocumentState},
    ids::{DocumentId, JobId},
    job::{JobPayload, JobState, Lease, Stage},
    page::PageRequest,
    ports::jobs::NextJob,
    search::SearchFilter,
};

use crate::conformance::scenario::{Database, LONG, Scenario, TRACE, TRIES, failure, processed, refused, worker};

const CANCELLED: &str = "JOB_CANCELLED";

async fn cancel<S: Database>(scenario: &Scenario<'_, S>, document: DocumentId) -> Document {
    scenario.store.cancel_work(scenario.tenant, document).await.expect("called off")
}

async fn is_cancelled<S: Database>(scenario: &Scenario<'_, S>, document: &Document, stage: Stage) {
    let now = scenario.now(document.id).await;
    let failure = now.failure.expect("a reason");
    assert_eq!((now.state, failure.reason.as_str()), (DocumentState::Failed, "CANCELLED"));
    assert_eq!(failure.stage, stage.as_str());
    let letters = scenario
        .store
        .list_dead_letters(scenario.tenant, &Default::default(), &PageRequest::first())
        .await
        .expect("a list");
    assert!(letters.items.is_empty(), "{letters:?}");
}

async fn has_ended<S: Database>(scenario: &Scenario<'_, S>, lease: &Lease) {
    let job = scenario.store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job");
    assert_eq!((job.state, job.worker.as_ref(), job.end_time.is_some()), (JobState::Cancelled, None, true));
}

async fn no_job_is_ready<S: Database>(scenario: &Scenario<'_, S>) {
    assert_eq!(scenario.store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look"), None);
}

pub async fn work_that_waits_is_called_off_at_once<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let fresh = scenario.uploaded("a", "1").await;
    let shown = cancel(&scenario, fresh.id).await;
    assert_eq!(shown.state, DocumentState::Failed);
    assert!(shown.revision > fresh.revision, "a watch hears of it");
    is_cancelled(&scenario, &fresh, Stage::ProcessDocument).await;
    no_job_is_ready(&scenario).await;

    // What was made already is removed by a job.
    let half = scenario.uploaded("b", "2").await;
    scenario.process(&["one", "two"]).await;
    cancel(&scenario, half.id).await;
    is_cancelled(&scenario, &half, Stage::EmbedDocument).await;
    let removal = scenario.finish_delete().await;
    assert_eq!(removal.job.payload, JobPayload::DeleteVersionV1 { version_id: half.version_id });
    assert_eq!(scenario.now(half.id).await.chunk_count, 0);
    assert!(store.chunks_from(scenario.tenant, half.version_id, 0, 10).await.expect("a look").is_empty());
    is_cancelled(&scenario, &half, Stage::EmbedDocument).await;
    no_job_is_ready(&scenario).await;

    // A try that failed and waits for the next is no different.
    let tried = scenario.uploaded("c", "3").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    store.retry_later(&lease, &Error::unavailable("DOWN", "down"), LONG).await.expect("put back");
    cancel(&scenario, tried.id).await;
    is_cancelled(&scenario, &tried, Stage::ProcessDocument).await;
}

pub async fn work_in_hand_is_told_and_commits_nothing<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    for commit in ["processing", "embedding", "retry", "put_off", "fail", "release", "cancel", "reap"] {
        let document = scenario.uploaded(commit, commit).await;
        let mut stage = Stage::ProcessDocument;
        if commit != "processing" {
            scenario.process(&["one"]).await;
            stage = Stage::EmbedDocument;
        }
        let short = commit == "reap";
        let lease = store.claim(&[stage], &worker("w"), LONG).await.expect("a claim").expect("a job");
        store.check_work(&lease).await.expect("it goes on");
        for _ in 0..2 {
            let shown = cancel(&scenario, document.id).await;
            assert!(!shown.state.is_terminal(), "{commit}: its worker has to let go first");
        }
        refused(store.check_work(&lease).await, Aborted, CANCELLED);
        assert_eq!(store.job_document(&lease).await.expect("a look"), None);
        store.heartbeat(&lease, lease_of(short), None).await.expect("the work in hand still holds its lease");
        let down = Error::unavailable("DOWN", "down");
        match commit {
            "processing" => {
                refused(
                    store.finish_processing(&lease, processed(&lease, &["x"]), NextJob::queued(1)).await,
                    Aborted,
                    CANCELLED,
                );
            }
            "embedding" => refused(store.finish_embedding(&lease).await, Aborted, CANCELLED),
            "retry" => refused(store.retry_later(&lease, &down, Duration::ZERO).await, Aborted, CANCELLED),
            "put_off" => refused(store.put_off(&lease, &down, Duration::ZERO).await, Aborted, CANCELLED),
            "fail" => refused(store.fail(&lease, failure(&lease, "NO_LUCK")).await, Aborted, CANCELLED),
            "release" => store.release(&lease).await.expect("given up"),
            "reap" => {
                tokio::time::sleep(Duration::from_millis(40)).await;
                assert_eq!(store.reap(50).await.expect("reaped"), 1);
            }
            _ => store.cancel(&lease).await.expect("given up"),
        }
        has_ended(&scenario, &lease).await;
        is_cancelled(&scenario, &document, stage).await;
        if stage == Stage::EmbedDocument {
            scenario.finish_delete().await;
        }
        assert!(store.chunks_from(scenario.tenant, document.version_id, 0, 10).await.expect("a look").is_empty());
        no_job_is_ready(&scenario).await;
        refused(store.cancel(&lease).await, Aborted, "LEASE_LOST");
    }
}

fn lease_of(short: bool) -> Duration {
    if short { Duration::from_millis(1) } else { LONG }
}

pub async fn a_cancelled_document_is_retried_from_its_beginning<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    // The removal has ended; waits; is in hand; was given up.
    for removal in ["ended", "waits", "runs", "failed"] {
        let document = scenario.uploaded(removal, removal).await;
        scenario.process(&["old", "older"]).await;
        let lease = scenario.claim(Stage::EmbedDocument).await;
        cancel(&scenario, document.id).await;
        store.cancel(&lease).await.expect("let go");
        let mut running = None;
        match removal {
            "ended" => drop(scenario.finish_delete().await),
            "runs" => running = Some(scenario.claim(Stage::DeleteDocument).await),
            "failed" => {
                let lease = scenario.claim(Stage::DeleteDocument).await;
                store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("given up");
                let failed = scenario.now(document.id).await.failure.expect("a reason");
                assert_eq!(failed.reason, "CANCELLED", "the document says why itself");
            }
            _ => {}
        }
        let retried = store.retry(scenario.tenant, document.id, JobId::new(), TRACE).await.expect("queued");
        let embeds = removal == "failed";
        let expected = if embeds { DocumentState::Processed } else { DocumentState::Uploaded };
        assert_eq!(retried.state, expected, "{removal}");
        if let Some(lease) = running {
            no_job_is_ready(&scenario).await;
            store.finish_deletion(&lease).await.expect("removed");
        }
        if !embeds {
            scenario.process(&["new"]).await;
        }
        // A removal that is still waiting does not get at what is new.
        assert_eq!(store.claim(&[Stage::DeleteDocument], &worker("w"), LONG).await.expect("a look"), None, "{removal}");
        scenario.embed().await;
        assert_eq!(scenario.now(document.id).await.state, DocumentState::Indexed, "{removal}");
        let chunks = store.chunks_from(scenario.tenant, document.version_id, 0, 10).await.expect("a look");
        assert_eq!(chunks.len(), if embeds { 2 } else { 1 }, "{removal}");
        let letters =
            store.list_dead_letters(scenario.tenant, &Default::default(), &PageRequest::first()).await.expect("a list");
        assert!(letters.items.is_empty(), "{removal}: {letters:?}");
        no_job_is_ready(&scenario).await;
    }
}

pub async fn a_removal_given_up_after_a_cancel_is_replayed<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    scenario.process(&["one"]).await;
    cancel(&scenario, document.id).await;
    let lease = scenario.claim(Stage::DeleteDocument).await;
    let letter = store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("given up");
    store.replay_dead_letter(scenario.tenant, letter.id, TRACE).await.expect("queued");
    scenario.finish_delete().await;
    is_cancelled(&scenario, &document, Stage::EmbedDocument).await;
    assert_eq!(scenario.now(document.id).await.chunk_count, 0);
}

pub async fn cancelling_a_version_leaves_the_indexed_one<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let old = scenario.indexed("a", "1", &["old"]).await;
    let new = scenario.uploaded("a", "2").await;
    scenario.process(&["new"]).await;
    scenario.uploaded("a", "3").await;
    let newest = cancel(&scenario, old.id).await;
    assert_eq!((newest.version, newest.state, newest.indexed_version), (3, DocumentState::Failed, Some(1)));
    let second = store.document_version(scenario.tenant, old.id, 2).await.expect("a look").expect("version 2");
    assert_eq!(second.state, DocumentState::Failed, "every version under way is called off");
    let removal = scenario.finish_delete().await;
    assert_eq!(removal.job.payload, JobPayload::DeleteVersionV1 { version_id: new.version_id });
    no_job_is_ready(&scenario).await;
    let chunks = store.chunks_from(scenario.tenant, old.version_id, 0, 10).await.expect("a look");
    let ids: Vec<_> = chunks.iter().map(|chunk| chunk.id).collect();
    let visible = store.visible_chunks(scenario.tenant, &ids, &SearchFilter::default()).await.expect("a look");
    assert_eq!(visible.len(), 1, "the old version stays searchable");
}

pub async fn what_is_not_under_way_is_not_cancelled<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let cancel = async |id| store.cancel_work(scenario.tenant, id).await;
    refused(cancel(DocumentId::new()).await, NotFound, "DOCUMENT_NOT_FOUND");
    let document = scenario.indexed("a", "1", &["text"]).await;
    refused(cancel(document.id).await, FailedPrecondition, "DOCUMENT_NOT_UNDER_WAY");
    scenario.begin_delete(document.id).await;
    refused(cancel(document.id).await, FailedPrecondition, "DOCUMENT_NOT_UNDER_WAY");
    scenario.finish_delete().await;
    let failed = scenario.uploaded("b", "2").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
    refused(cancel(failed.id).await, FailedPrecondition, "DOCUMENT_NOT_UNDER_WAY");
    assert_eq!(scenario.now(failed.id).await.failure.expect("a reason").reason, "NO_LUCK");

    let stranger = Scenario::new(&*store).await;
    let other = stranger.uploaded("a", "1").await;
    refused(cancel(other.id).await, NotFound, "DOCUMENT_NOT_FOUND");
    // A deletion goes before.
    let lease = stranger.claim(Stage::ProcessDocument).await;
    stranger.store.cancel_work(stranger.tenant, other.id).await.expect("called off");
    stranger.begin_delete(other.id).await;
    refused(store.check_work(&lease).await, Aborted, "DOCUMENT_DELETING");
    store.cancel(&lease).await.expect("let go");
    stranger.finish_delete().await;
}

pub async fn a_cancel_and_workers_at_once_agree<S: Database + 'static>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let tenant = scenario.tenant;
    for round in 0..12 {
        let document = scenario.uploaded(&format!("{round}"), &format!("{round}")).await.id;
        let worker_of = Arc::clone(&store);
        let working = tokio::spawn(async move {
            // Whatever comes, it goes on until nothing is ready; in every other round with what follows, at once.
            let mut next = None;
            loop {
                let claimed = match next.take() {
                    Some(lease) => Some(lease),
                    None => worker_of.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a claim"),
                };
                let Some(lease) = claimed else { break };
                let committed = match lease.job.payload.stage() {
                    Stage::ProcessDocument => {
                        let following = NextJob { max_attempts: TRIES, claim_for: (round % 2 == 1).then_some(LONG) };
                        let done = worker_of.finish_processing(&lease, processed(&lease, &["text"]), following).await;
                        done.map(|claimed| next = claimed)
                    }
                    Stage::EmbedDocument => worker_of.finish_embedding(&lease).await,
                    Stage::DeleteDocument => worker_of.finish_deletion(&lease).await,
                };
                if let Err(error) = committed {
                    assert_eq!(error.reason(), CANCELLED);
                }
            }
        });
        for _ in 0..round % 4 {
            tokio::task::yield_now().await;
        }
        let cancelled = store.cancel_work(tenant, document).await;
        working.await.expect("no panic");
        while let Some(lease) = store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a claim") {
            store.finish_deletion(&lease).await.expect("only removals are left");
        }
        let now = scenario.now(document).await;
        match cancelled {
            Ok(_) => {
                assert_eq!(now.failure.map(|failure| failure.reason).as_deref(), Some("CANCELLED"), "{round}");
                assert_eq!(now.chunk_count, 0, "{round}");
            }
            Err(error) => {
                assert_eq!(error.reason(), "DOCUMENT_NOT_UNDER_WAY");
                assert_eq!(now.state, DocumentState::Indexed, "{round}");
            }
        }
    }
}
