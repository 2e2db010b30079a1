//! Claims.

use std::{collections::HashSet, sync::Arc, time::Duration};

use vectrion_core::{
    Error,
    document::DocumentState,
    ids::{DocumentId, JobId},
    job::{JobState, Stage},
};

use crate::conformance::scenario::{Database, LONG, Scenario, deletion, pass, worker};

pub async fn without_a_ready_job_nothing_is_claimed<S: Database>(store: Arc<S>) {
    assert_eq!(store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look"), None);
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    let others = [Stage::EmbedDocument, Stage::DeleteDocument];
    assert_eq!(store.claim(&others, &worker("w"), LONG).await.expect("a look"), None);
    assert_eq!(store.claim(&[], &worker("w"), LONG).await.expect("a look"), None);
    let lease = scenario.claim(Stage::ProcessDocument).await;
    assert_eq!(store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look"), None);
    let error = Error::unavailable("DOWN", "down");
    store.retry_later(&lease, &error, LONG).await.expect("put back");
    assert_eq!(store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look"), None, "it waits its time");
}

pub async fn a_delayed_job_is_claimed_when_its_time_has_come<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    let delay = Duration::from_millis(200);
    store.retry_later(&lease, &Error::unavailable("DOWN", "down"), delay).await.expect("put back");
    let again = loop {
        match store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look") {
            Some(lease) => break lease,
            None => pass().await,
        }
    };
    let waited = again.job.start_time.expect("begun").since(lease.job.start_time.expect("begun"));
    assert!(waited >= delay, "{waited:?}");
    assert_eq!((again.job.id, again.job.attempts), (lease.job.id, 2));
}

pub async fn a_claim_gives_a_lease_and_moves_the_version_on<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let lease =
        store.claim(&Stage::ALL, &worker("me"), Duration::from_secs(30)).await.expect("a claim").expect("a job");
    let job = &lease.job;
    assert_eq!((job.tenant, job.document, job.state), (scenario.tenant, document.id, JobState::Running));
    assert_eq!((job.attempts, job.worker.as_ref()), (1, Some(&worker("me"))));
    let start = job.start_time.expect("begun");
    assert_eq!(job.lease_expire_time, Some(start.plus(Duration::from_secs(30))));
    assert_eq!(store.job(scenario.tenant, job.id).await.expect("a look").as_ref(), Some(job), "as it is stored");
    let processing = scenario.now(document.id).await;
    assert_eq!(processing.state, DocumentState::Processing);
    assert!(processing.revision > document.revision);
    let shown = store.job_document(&lease).await.expect("a look").expect("the document");
    assert_eq!(
        (shown.id, shown.version_id, shown.state),
        (document.id, document.version_id, DocumentState::Processing)
    );

    store.release(&lease).await.expect("released");
    let again = scenario.process(&["text"]).await;
    assert!(again.token > lease.token, "the token grows with every claim");
    scenario.claim(Stage::EmbedDocument).await;
    assert_eq!(scenario.now(document.id).await.state, DocumentState::Embedding);

    // Work on an older version does not show on the document.
    let other = scenario.uploaded("b", "2").await;
    scenario.uploaded("b", "3").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    assert_eq!(lease.job.payload.version_id(), Some(other.version_id));
    assert_eq!(scenario.now(other.id).await.state, DocumentState::Uploaded);
    let old = store.document_version(scenario.tenant, other.id, 1).await.expect("a look").expect("version 1");
    assert_eq!(old.state, DocumentState::Processing);
    let shown = store.job_document(&lease).await.expect("a look").expect("the document");
    assert_eq!(shown.version, 1, "through the version that the job works on");
}

pub async fn the_job_that_waited_longest_is_claimed_first<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let mut made = Vec::new();
    for name in ["a", "b", "c"] {
        made.push(scenario.uploaded(name, name).await.id);
        pass().await;
    }
    // A job of another stage that waits longer goes first, too.
    let first = scenario.claim(Stage::ProcessDocument).await;
    assert_eq!(first.job.document, made[0]);
    store.release(&first).await.expect("released");
    scenario.begin_delete(made[1]).await;
    let mut order = Vec::new();
    while let Some(lease) = store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a claim") {
        order.push((lease.job.document, lease.job.payload.stage()));
    }
    let expected =
        [(made[0], Stage::ProcessDocument), (made[2], Stage::ProcessDocument), (made[1], Stage::DeleteDocument)];
    assert_eq!(order, expected);
}

pub async fn the_tenant_with_the_fewest_running_jobs_comes_first<S: Database>(store: Arc<S>) {
    let (busy, idle) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    for i in 0..5 {
        busy.uploaded(&format!("{i}"), &format!("{i}")).await;
    }
    pass().await;
    idle.uploaded("a", "a").await;
    idle.uploaded("b", "b").await;
    let mut order = Vec::new();
    while let Some(lease) = store.claim(&[Stage::ProcessDocument], &worker("w"), LONG).await.expect("a claim") {
        order.push(if lease.job.tenant == busy.tenant { "busy" } else { "idle" });
    }
    // As many running jobs on both sides: whoever waits longer.
    assert_eq!(order, ["busy", "idle", "busy", "idle", "busy", "busy", "busy"]);
}

pub async fn a_long_queue_in_front_delays_nobody_else<S: Database>(store: Arc<S>) {
    let (busy, idle, later) =
        (Scenario::new(&*store).await, Scenario::new(&*store).await, Scenario::new(&*store).await);
    for i in 0..150 {
        busy.uploaded(&format!("{i}"), &format!("{i}")).await;
    }
    pass().await;
    idle.uploaded("a", "a").await;
    pass().await;
    later.uploaded("a", "a").await;
    let mut order = Vec::new();
    for _ in 0..5 {
        let lease = store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a claim").expect("a job");
        order.push(lease.job.tenant);
    }
    assert_eq!(order, [busy.tenant, idle.tenant, later.tenant, busy.tenant, busy.tenant]);
}

pub async fn while_a_document_is_worked_on_none_of_its_other_jobs_is_claimed<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let a = scenario.uploaded("a", "1").await;
    scenario.uploaded("a", "2").await;
    pass().await;
    let b = scenario.uploaded("b", "3").await;
    let first = scenario.claim(Stage::ProcessDocument).await;
    assert_eq!((first.job.document, first.job.payload.version_id()), (a.id, Some(a.version_id)));
    let second = scenario.claim(Stage::ProcessDocument).await;
    assert_eq!(second.job.document, b.id, "the other version waits");
    assert_eq!(store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look"), None);
    store.release(&first).await.expect("released");
    let again = scenario.claim(Stage::ProcessDocument).await;
    assert_eq!(again.job.id, first.job.id, "versions do not overtake each other");

    // A lease that has run out stands in nobody's way.
    store.release(&again).await.expect("released");
    let expired = scenario.expired(Stage::ProcessDocument).await;
    assert_eq!(expired.job.id, first.job.id);
    assert_eq!(scenario.claim(Stage::ProcessDocument).await.job.document, a.id);
}

pub async fn jobs_claimed_at_once_go_to_one_worker_each<S: Database + 'static>(store: Arc<S>) {
    const JOBS: usize = 40;
    let scenarios = [Scenario::new(&*store).await, Scenario::new(&*store).await];
    for i in 0..JOBS {
        scenarios[i % 2].uploaded(&format!("{i}"), &format!("{i}")).await;
    }
    let workers: Vec<_> = (0..8)
        .map(|i| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let (me, mut claimed) = (worker(&format!("{i}")), Vec::new());
                let mut misses = 0;
                // Under contention a claim may come back empty-handed although something is left.
                while misses < 20 {
                    match store.claim(&[Stage::ProcessDocument], &me, LONG).await.expect("a claim") {
                        Some(lease) => claimed.push(lease.job.id),
                        None => misses += 1,
                    }
                }
                claimed
            })
        })
        .collect();
    let mut all: Vec<JobId> = Vec::new();
    for worker in workers {
        all.extend(worker.await.expect("no panic"));
    }
    assert_eq!(all.len(), JOBS, "none is left, none was claimed twice");
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), JOBS);
}

pub async fn documents_claimed_at_once_are_worked_on_by_one_worker<S: Database + 'static>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    for version in 0..6 {
        scenario.uploaded("a", &format!("{version}")).await;
        scenario.uploaded("b", &format!("b {version}")).await;
    }
    for _ in 0..6 {
        let claims: Vec<_> = (0..6)
            .map(|i| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.claim(&Stage::ALL, &worker(&format!("{i}")), LONG).await })
            })
            .collect();
        let mut leases = Vec::new();
        for claim in claims {
            leases.extend(claim.await.expect("no panic").expect("a claim"));
        }
        let documents: HashSet<DocumentId> = leases.iter().map(|lease| lease.job.document).collect();
        assert_eq!(documents.len(), leases.len(), "no document is worked on twice");
        assert!(!leases.is_empty() && leases.len() <= 2, "{}", leases.len());
        for lease in leases {
            store.cancel(&lease).await.expect("cancelled");
        }
    }
}

pub async fn a_deletion_and_claims_at_once_agree<S: Database + 'static>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let tenant = scenario.tenant;
    for round in 0..10 {
        let document = scenario.uploaded("a", &format!("{round}")).await.id;
        let claims: Vec<_> = (0..3)
            .map(|i| {
                let store = Arc::clone(&store);
                tokio::spawn(
                    async move { store.claim(&[Stage::ProcessDocument], &worker(&format!("{i}")), LONG).await },
                )
            })
            .collect();
        let deleting = store.begin_delete(tenant, document, &deletion()).await.expect("being deleted");
        assert_eq!(deleting.state, DocumentState::Deleting);
        let mut leases = Vec::new();
        for claim in claims {
            leases.extend(claim.await.expect("no panic").expect("a claim"));
        }
        assert!(leases.len() <= 1);
        for lease in &leases {
            assert_eq!(store.job_document(lease).await.expect("a look"), None);
            store.cancel(lease).await.expect("cancelled");
        }
        scenario.finish_delete().await;
        assert_eq!(store.document(tenant, document).await.expect("a look"), None);
        assert_eq!(store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a look"), None, "nothing is left to do");
    }
}
