//! Taking back the jobs of the dead.

use std::sync::Arc;

use vectrion_core::{
    document::DocumentState,
    job::{JobState, Stage},
    page::PageRequest,
};

use crate::conformance::scenario::{Database, Scenario, pass};

pub async fn expired_jobs_are_taken_back<S: Database>(store: Arc<S>) {
    let (a, b) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    assert_eq!(store.reap(50).await.expect("reaped"), 0);
    a.uploaded("a", "1").await;
    let alive = a.claim(Stage::ProcessDocument).await;
    b.uploaded("b", "2").await;
    let dead = b.expired(Stage::ProcessDocument).await;
    assert_eq!(store.reap(50).await.expect("reaped"), 1);
    let job = store.job(b.tenant, dead.job.id).await.expect("a look").expect("the job");
    assert_eq!((job.state, job.attempts, job.interruptions), (JobState::Pending, 0, 1), "the try does not count");
    assert_eq!((job.worker, job.lease_expire_time, job.end_time), (None, None, None));
    assert!(job.run_time > dead.job.run_time, "it waits its turn again");
    let job = store.job(a.tenant, alive.job.id).await.expect("a look").expect("the job");
    assert_eq!(job.state, JobState::Running);
    assert_eq!(b.claim(Stage::ProcessDocument).await.job.attempts, 1, "it is ready at once");
}

pub async fn jobs_cut_off_too_often_are_given_up<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    for interruption in 1..=3 {
        let lease = scenario.expired(Stage::ProcessDocument).await;
        assert_eq!(store.reap(2).await.expect("reaped"), 1);
        let job = store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job");
        assert_eq!(job.interruptions, interruption);
        let expected = if interruption <= 2 { JobState::Pending } else { JobState::Failed };
        assert_eq!(job.state, expected);
    }
    let failed = scenario.now(document.id).await;
    assert_eq!(failed.state, DocumentState::Failed);
    assert_eq!(failed.failure.expect("a reason").reason, "INTERRUPTED_TOO_OFTEN");
    let letters = store
        .list_dead_letters(scenario.tenant, &Default::default(), &PageRequest::first())
        .await
        .expect("a list")
        .items;
    let [letter] = letters.as_slice() else { panic!("one dead letter: {letters:?}") };
    assert_eq!((letter.reason.as_str(), letter.document), ("INTERRUPTED_TOO_OFTEN", document.id));
    let replayed = store.replay_dead_letter(scenario.tenant, letter.id, "t").await.expect("queued");
    assert_eq!((replayed.interruptions, replayed.attempts), (0, 0));
}

pub async fn a_lone_process_takes_everything_back<S: Database>(store: Arc<S>) {
    let (a, b) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    for (scenario, name) in [(&a, "a"), (&b, "b")] {
        scenario.uploaded(name, name).await;
        scenario.claim(Stage::ProcessDocument).await;
    }
    assert_eq!(store.reap(50).await.expect("reaped"), 0);
    assert_eq!(store.reap_all(50).await.expect("reaped"), 2);
    assert_eq!(store.reap_all(50).await.expect("reaped"), 0);
    a.process(&["text"]).await;
}

pub async fn a_job_of_a_deleted_document_is_not_taken_back<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let dead = scenario.expired(Stage::ProcessDocument).await;
    scenario.begin_delete(document.id).await;
    assert_eq!(store.reap(50).await.expect("reaped"), 1);
    let job = store.job(scenario.tenant, dead.job.id).await.expect("a look").expect("the job");
    assert_eq!(job.state, JobState::Cancelled);

    // A deletion that is cut off goes on.
    let deletion = scenario.expired(Stage::DeleteDocument).await;
    assert_eq!(store.reap(50).await.expect("reaped"), 1);
    let again = scenario.finish_delete().await;
    assert_eq!((again.job.id, again.job.interruptions), (deletion.job.id, 1));
    assert_eq!(store.document(scenario.tenant, document.id).await.expect("a look"), None);
}

pub async fn reapers_at_once_take_each_job_back_once<S: Database + 'static>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let mut leases = Vec::new();
    for i in 0..10 {
        scenario.uploaded(&format!("{i}"), &format!("{i}")).await;
        leases.push(scenario.expired(Stage::ProcessDocument).await);
    }
    pass().await;
    let reapers: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.reap(50).await.expect("reaped") })
        })
        .collect();
    let mut reaped = 0;
    for reaper in reapers {
        reaped += reaper.await.expect("no panic");
    }
    assert_eq!(reaped, 10);
    for lease in leases {
        let job = store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job");
        assert_eq!((job.state, job.interruptions), (JobState::Pending, 1));
    }
}
