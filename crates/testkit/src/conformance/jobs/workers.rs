//! Workers, the depth of the queues, and the retention of jobs.

use std::{sync::Arc, time::Duration};

use vectrion_core::{
    Error,
    job::{CurrentJob, Lease, Stage},
    page::PageRequest,
    ports::jobs::{JobFilter, QueueDepth},
};

use crate::conformance::scenario::{Database, LONG, Scenario, failure, pass, worker};

pub async fn workers_that_never_signed_off_are_forgotten<S: Database>(store: Arc<S>) {
    let (dead, alive, ever) = (worker("dead"), worker("alive"), Duration::from_secs(3600));
    store.worker_heartbeat(&dead, "host", &Stage::ALL, false).await.expect("noted");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    store.worker_heartbeat(&alive, "host", &Stage::ALL, false).await.expect("noted");
    assert_eq!(store.purge_jobs(1000).await.expect("purged"), 0);
    let left: Vec<_> = store.list_workers(ever).await.expect("a list").into_iter().map(|worker| worker.id).collect();
    assert_eq!(left, [alive]);
}

pub async fn workers_are_known_while_they_are_heard_of<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let long = Duration::from_secs(60);
    assert!(store.list_workers(long).await.expect("a list").is_empty());
    let (a, b) = (worker("a"), worker("b"));
    store.worker_heartbeat(&a, "host-a", &Stage::ALL, false).await.expect("noted");
    pass().await;
    store.worker_heartbeat(&b, "host-b", &[Stage::EmbedDocument], true).await.expect("noted");
    scenario.uploaded("x", "x").await;
    scenario.uploaded("y", "y").await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let lease = store.claim(&[Stage::ProcessDocument], &a, LONG).await.expect("a claim").expect("a job");
        held.push(lease);
    }
    let listed = store.list_workers(long).await.expect("a list");
    let [first, second] = listed.as_slice() else { panic!("two workers: {listed:?}") };
    assert_eq!((&first.id, first.host.as_str(), first.draining), (&a, "host-a", false));
    assert_eq!(first.stages, Stage::ALL);
    let mut jobs = first.current_jobs.clone();
    jobs.sort_by_key(|job| job.id);
    let current = |lease: &Lease| CurrentJob {
        id: lease.job.id,
        tenant: scenario.tenant,
        document: lease.job.document,
        stage: Stage::ProcessDocument,
        start_time: lease.job.start_time.expect("begun"),
    };
    let mut expected: Vec<_> = held.iter().map(current).collect();
    expected.sort_by_key(|job| job.id);
    assert_eq!(jobs, expected);
    assert_eq!((&second.id, second.draining, second.current_jobs.len()), (&b, true, 0));
    assert_eq!(second.stages, [Stage::EmbedDocument]);

    pass().await;
    store.worker_heartbeat(&a, "host-a", &Stage::ALL, true).await.expect("noted");
    let again = &store.list_workers(long).await.expect("a list")[0];
    assert_eq!((again.start_time, again.draining), (first.start_time, true));
    assert!(again.heartbeat_time > first.heartbeat_time);
    let recent = store.list_workers(Duration::from_millis(15)).await.expect("a list");
    assert!(recent.iter().all(|worker| worker.id != b), "b was not heard of for longer");
    store.remove_worker(&a).await.expect("forgotten");
    store.remove_worker(&a).await.expect("a missing one is no error");
    let left: Vec<_> = store.list_workers(long).await.expect("a list").into_iter().map(|worker| worker.id).collect();
    assert_eq!(left, [b]);
}

pub async fn the_depth_of_each_queue_is_known<S: Database>(store: Arc<S>) {
    let depth = async |stage| -> QueueDepth {
        let depths = store.queue_depths().await.expect("depths");
        let stages: Vec<Stage> = depths.iter().map(|depth| depth.stage).collect();
        assert_eq!(stages.len(), Stage::ALL.len(), "every stage once: {stages:?}");
        *depths.iter().find(|depth| depth.stage == stage).expect("every stage")
    };
    let counts = |depth: QueueDepth| (depth.ready, depth.delayed, depth.running);
    assert_eq!(counts(depth(Stage::ProcessDocument).await), (0, 0, 0));
    let (a, b) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    a.uploaded("1", "1").await;
    let lease = a.claim(Stage::ProcessDocument).await;
    store.retry_later(&lease, &Error::unavailable("DOWN", "down"), LONG).await.expect("put back");
    b.uploaded("2", "2").await;
    b.claim(Stage::ProcessDocument).await;
    a.uploaded("3", "3").await;
    b.uploaded("4", "4").await;
    let gone = b.uploaded("5", "5").await;
    b.begin_delete(gone.id).await;
    pass().await;
    let processing = depth(Stage::ProcessDocument).await;
    assert_eq!(counts(processing), (2, 1, 1));
    assert!(processing.oldest_ms >= 20 && processing.oldest_ms < 60_000, "{processing:?}");
    assert_eq!(counts(depth(Stage::DeleteDocument).await), (1, 0, 0));
    let embedding = depth(Stage::EmbedDocument).await;
    assert_eq!((counts(embedding), embedding.oldest_ms), ((0, 0, 0), 0));

    for (tenant, expected) in
        [(a.tenant, [(1, 1, 0), (0, 0, 0), (0, 0, 0)]), (b.tenant, [(1, 0, 1), (0, 0, 0), (1, 0, 0)])]
    {
        let depths = store.tenant_queue_depths(tenant).await.expect("depths");
        assert_eq!(depths.iter().map(|depth| depth.stage).collect::<Vec<_>>(), Stage::ALL);
        assert_eq!(depths.into_iter().map(counts).collect::<Vec<_>>(), expected, "a tenant's own");
    }
}

pub async fn ended_jobs_are_purged_unless_they_have_a_dead_letter<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.indexed("a", "1", &["text"]).await;
    scenario.uploaded("b", "2").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    let letter = store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
    scenario.uploaded("c", "3").await;
    pass().await;
    assert_eq!(store.purge_jobs(3_600_000).await.expect("purged"), 0, "not that old");
    assert_eq!(store.purge_jobs(0).await.expect("purged"), 2);
    let all = JobFilter::default();
    let left = store.list_jobs(scenario.tenant, &all, &PageRequest::first()).await.expect("jobs").items;
    assert_eq!(left.len(), 2, "the one that failed and the one that waits: {left:?}");
    assert!(left.iter().any(|job| job.id == letter.job));
    store.replay_dead_letter(scenario.tenant, letter.id, "t").await.expect("it can still be replayed");
}
