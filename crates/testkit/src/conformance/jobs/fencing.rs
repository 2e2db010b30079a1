//! Leases that are no longer.

use std::{sync::Arc, time::Duration};

use vectrion_core::{
    Error,
    ErrorKind::Aborted,
    document::Progress,
    ids::TenantId,
    job::{JobState, Lease, Stage},
    ports::jobs::NextJob,
};

use crate::conformance::scenario::{Database, LONG, Scenario, TRIES, failure, pass, processed, refused, worker};

pub async fn a_heartbeat_puts_off_the_end_and_notes_progress<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let lease = store.claim(&Stage::ALL, &worker("w"), Duration::from_secs(60)).await.expect("a claim").expect("a job");
    let before = scenario.now(document.id).await;
    store.heartbeat(&lease, LONG, None).await.expect("alive");
    let job = store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job");
    assert!(job.lease_expire_time > lease.job.lease_expire_time.map(|time| time.plus(Duration::from_secs(400))));
    assert_eq!(scenario.now(document.id).await, before, "without progress the document does not change");

    let progress = Progress { pages_total: 10, pages_done: 4, chunks_total: 0, chunks_done: 0 };
    store.heartbeat(&lease, LONG, Some(progress)).await.expect("alive");
    let after = scenario.now(document.id).await;
    assert_eq!(after.progress, progress);
    assert!(after.revision > before.revision, "a watch sees it");
    store.heartbeat(&lease, LONG, Some(progress)).await.expect("alive");
    assert_eq!(scenario.now(document.id).await, after, "the same progress is no change");
}

/// Calls every method that takes a lease.
async fn all_refused<S: Database>(store: &S, lease: &Lease) {
    let error = Error::unavailable("DOWN", "down");
    let lost = "LEASE_LOST";
    let progress = Progress { pages_total: 9, pages_done: 9, chunks_total: 9, chunks_done: 9 };
    refused(store.heartbeat(lease, LONG, None).await, Aborted, lost);
    refused(store.heartbeat(lease, LONG, Some(progress)).await, Aborted, lost);
    refused(store.job_document(lease).await, Aborted, lost);
    refused(store.check_work(lease).await, Aborted, lost);
    refused(store.finish_processing(lease, processed(lease, &["stolen"]), NextJob::queued(TRIES)).await, Aborted, lost);
    refused(store.finish_embedding(lease).await, Aborted, lost);
    refused(store.versions_to_delete(lease).await, Aborted, lost);
    refused(store.finish_deletion(lease).await, Aborted, lost);
    refused(store.release(lease).await, Aborted, lost);
    refused(store.cancel(lease).await, Aborted, lost);
    refused(store.retry_later(lease, &error, Duration::ZERO).await, Aborted, lost);
    refused(store.put_off(lease, &error, Duration::ZERO).await, Aborted, lost);
    refused(store.fail(lease, failure(lease, "NO_LUCK")).await, Aborted, lost);
}

pub async fn an_expired_lease_is_refused_everywhere<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let lease = scenario.expired(Stage::ProcessDocument).await;
    let before = (scenario.now(document.id).await, store.job(scenario.tenant, lease.job.id).await.expect("a look"));
    all_refused(&*store, &lease).await;
    let after = (scenario.now(document.id).await, store.job(scenario.tenant, lease.job.id).await.expect("a look"));
    assert_eq!(before, after, "nothing was changed");
    assert!(store.chunks_from(scenario.tenant, document.version_id, 0, 1).await.expect("a look").is_empty());
}

pub async fn a_stolen_lease_is_refused_everywhere<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let stolen = scenario.expired(Stage::ProcessDocument).await;
    assert_eq!(store.reap(50).await.expect("reaped"), 1);
    all_refused(&*store, &stolen).await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    assert_eq!(lease.job.id, stolen.job.id);
    let before = (scenario.now(document.id).await, store.job(scenario.tenant, lease.job.id).await.expect("a look"));
    all_refused(&*store, &stolen).await;
    let elsewhere =
        Lease { job: vectrion_core::job::Job { tenant: TenantId::new(), ..lease.job.clone() }, token: lease.token };
    all_refused(&*store, &elsewhere).await;
    let after = (scenario.now(document.id).await, store.job(scenario.tenant, lease.job.id).await.expect("a look"));
    assert_eq!(before, after, "nothing was changed");
    store
        .finish_processing(&lease, processed(&lease, &["mine"]), NextJob::queued(TRIES))
        .await
        .expect("the owner goes on");
}

pub async fn an_ended_job_has_no_lease<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    let lease = scenario.process(&["text"]).await;
    all_refused(&*store, &lease).await;
    let job = store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job");
    assert_eq!(job.state, JobState::Succeeded);
    scenario.embed().await;
}

pub async fn a_heartbeat_and_a_reaper_at_once_agree<S: Database + 'static>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    for _ in 0..10 {
        let short = Duration::from_millis(15);
        let lease = store.claim(&Stage::ALL, &worker("w"), short).await.expect("a claim").expect("a job");
        tokio::time::sleep(Duration::from_millis(12)).await;
        let (keeper, reaper) = (Arc::clone(&store), Arc::clone(&store));
        let kept_lease = lease.clone();
        let kept = tokio::spawn(async move { keeper.heartbeat(&kept_lease, LONG, None).await });
        let reaped = tokio::spawn(async move { reaper.reap(1000).await.expect("reaped") });
        let (kept, reaped) = (kept.await.expect("no panic"), reaped.await.expect("no panic"));
        let job = store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job");
        match kept {
            Ok(()) => {
                assert_eq!((job.state, reaped), (JobState::Running, 0), "kept, and not taken back");
                store.release(&lease).await.expect("released");
            }
            Err(error) => {
                assert_eq!(error.reason(), "LEASE_LOST");
                pass().await;
                store.reap(1000).await.expect("reaped");
                let job = store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job");
                assert_eq!(job.state, JobState::Pending);
            }
        }
    }
}
