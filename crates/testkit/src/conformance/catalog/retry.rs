//! Retry.

use std::sync::Arc;

use vectrion_core::{
    ErrorKind::{FailedPrecondition, NotFound},
    document::DocumentState,
    ids::{DocumentId, JobId},
    job::{JobPayload, JobState, Stage},
};

use crate::conformance::scenario::{Database, LONG, Scenario, TRACE, TRIES, failure, refused, worker};

pub async fn a_failed_version_is_retried_at_its_stage<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let version_id = document.version_id;
    for (stage, state, payload) in [
        (Stage::ProcessDocument, DocumentState::Uploaded, JobPayload::ProcessV1 { version_id }),
        (Stage::EmbedDocument, DocumentState::Processed, JobPayload::EmbedV1 { version_id }),
    ] {
        let lease = scenario.claim(stage).await;
        let dead_letter = store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
        let failed = scenario.now(document.id).await;
        assert_eq!((failed.state, failed.failure), (DocumentState::Failed, Some(failure(&lease, "NO_LUCK"))));

        let job = JobId::new();
        let retried = store.retry(scenario.tenant, document.id, job, "another trace").await.expect("queued");
        assert_eq!((retried.state, retried.failure.as_ref()), (state, None));
        assert!(retried.revision > failed.revision);
        let queued = store.job(scenario.tenant, job).await.expect("a look").expect("the job");
        assert_eq!((queued.state, queued.payload), (JobState::Pending, payload));
        assert_eq!((queued.attempts, queued.max_attempts), (0, TRIES), "fresh tries, as many as before");
        assert_eq!(queued.trace_id, "another trace");
        assert_eq!(store.dead_letter(scenario.tenant, dead_letter.id).await.expect("a look"), None);
        refused(
            store.retry(scenario.tenant, document.id, JobId::new(), TRACE).await,
            FailedPrecondition,
            "DOCUMENT_NOT_FAILED",
        );
        if stage == Stage::ProcessDocument {
            scenario.process(&["text"]).await;
        }
    }
    scenario.embed().await;
    assert_eq!(scenario.now(document.id).await.state, DocumentState::Indexed);
}

pub async fn a_failed_deletion_is_retried<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.indexed("a", "1", &["text"]).await;
    for by_retry in [true, false] {
        scenario.begin_delete(document.id).await;
        let lease = scenario.claim(Stage::DeleteDocument).await;
        store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
        let failed = scenario.now(document.id).await;
        assert_eq!((failed.state, failed.failure), (DocumentState::Failed, Some(failure(&lease, "NO_LUCK"))));
        let anywhere = Default::default();
        let found = store.matching_documents(scenario.tenant, &anywhere, 9).await.expect("a look");
        assert_eq!(found, [], "it stays hidden");
        assert_eq!(store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look"), None);
        if by_retry {
            let retried = store.retry(scenario.tenant, document.id, JobId::new(), TRACE).await.expect("queued");
            assert_eq!((retried.state, retried.failure), (DocumentState::Deleting, None));
            let lease = scenario.claim(Stage::DeleteDocument).await;
            store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
        }
    }
    // Asking for the deletion again is another way.
    assert_eq!(scenario.begin_delete(document.id).await.state, DocumentState::Deleting);
    scenario.finish_delete().await;
    assert_eq!(store.document(scenario.tenant, document.id).await.expect("a look"), None);
}

pub async fn what_has_not_failed_is_not_retried<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let retry = async |id| store.retry(scenario.tenant, id, JobId::new(), TRACE).await;
    refused(retry(DocumentId::new()).await, NotFound, "DOCUMENT_NOT_FOUND");
    let document = scenario.indexed("a", "1", &["text"]).await;
    refused(retry(document.id).await, FailedPrecondition, "DOCUMENT_NOT_FAILED");
    scenario.begin_delete(document.id).await;
    refused(retry(document.id).await, FailedPrecondition, "DOCUMENT_NOT_FAILED");

    // An older version that failed does not count: the newest is what is retried.
    let other = scenario.uploaded("b", "1").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
    scenario.uploaded("b", "2").await;
    refused(retry(other.id).await, FailedPrecondition, "DOCUMENT_NOT_FAILED");
}
