//! What is remembered of the tries of a job, and what a watch of the queues counts.

use std::{sync::Arc, time::Duration};

use vectrion_core::{
    Error,
    job::{JobState, JobTry, Stage, TryOutcome},
    ports::jobs::{EndedJobs, NextJob, QueueStatus},
};

use crate::conformance::scenario::{Database, LONG, Scenario, TRACE, failure, pass, worker};

fn down() -> Error {
    Error::unavailable("MODEL_DOWN", "the model is out of reach")
}

pub async fn each_try_of_a_job_is_remembered<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    let mut expected = Vec::new();
    let mut job = None;
    let outcomes = [
        (TryOutcome::Released, None),
        (TryOutcome::PutOff, Some("STORAGE_FULL")),
        (TryOutcome::Retried, Some("MODEL_DOWN")),
        (TryOutcome::Interrupted, None),
        (TryOutcome::Failed, Some("NO_LUCK")),
        (TryOutcome::Succeeded, None),
    ];
    for (n, (outcome, reason)) in outcomes.into_iter().enumerate() {
        let name = worker(&format!("w{n}"));
        let lease_for = if outcome == TryOutcome::Interrupted { Duration::from_millis(1) } else { LONG };
        let lease = store.claim(&[Stage::ProcessDocument], &name, lease_for).await.expect("a claim").expect("a job");
        assert_eq!(lease.job.history.len(), n, "a try that goes on is not among them");
        pass().await;
        let full = Error::new(vectrion_core::ErrorKind::ResourceExhausted, "STORAGE_FULL", "full");
        match outcome {
            TryOutcome::Released => store.release(&lease).await.expect("released"),
            TryOutcome::PutOff => store.put_off(&lease, &full, Duration::ZERO).await.expect("put off"),
            TryOutcome::Retried => store.retry_later(&lease, &down(), Duration::ZERO).await.expect("put back"),
            TryOutcome::Interrupted => assert_eq!(store.reap(50).await.expect("reaped"), 1),
            TryOutcome::Failed => {
                let letter = store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
                store.replay_dead_letter(scenario.tenant, letter.id, TRACE).await.expect("queued again");
            }
            TryOutcome::Succeeded | TryOutcome::Cancelled => {
                let found = crate::conformance::scenario::processed(&lease, &["text"]);
                store.finish_processing(&lease, found, NextJob::queued(1)).await.expect("processed");
            }
        }
        let stored = store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job");
        let last = stored.history.last().expect("a try").clone();
        assert_eq!((&last.worker, last.outcome, last.reason.as_deref()), (&name, outcome, reason));
        assert_eq!(Some(last.start_time), lease.job.start_time);
        assert!(last.end_time > last.start_time);
        expected.push(last);
        assert_eq!(stored.history, expected);
        job = Some(stored);
    }
    assert_eq!(job.expect("the job").state, JobState::Succeeded);

    // One that nobody had in hand ends without a try.
    let waiting = scenario.now(scenario.uploaded("b", "2").await.id).await;
    store.cancel_work(scenario.tenant, waiting.id).await.expect("called off");
    let filter = vectrion_core::ports::jobs::JobFilter { document: Some(waiting.id), ..Default::default() };
    let jobs =
        store.list_jobs(scenario.tenant, &filter, &vectrion_core::page::PageRequest::first()).await.expect("a list");
    assert!(jobs.items.iter().all(|job| job.state == JobState::Cancelled && job.history.is_empty()), "{jobs:?}");
}

pub async fn only_the_last_tries_are_remembered<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    let mut last = None;
    for n in 0..JobTry::KEPT + 3 {
        let name = worker(&format!("w{n}"));
        let lease = store.claim(&Stage::ALL, &name, LONG).await.expect("a claim").expect("a job");
        store.release(&lease).await.expect("released");
        last = store.job(scenario.tenant, lease.job.id).await.expect("a look");
    }
    let history = last.expect("the job").history;
    assert_eq!(history.len(), JobTry::KEPT);
    assert_eq!((&history[0].worker, &history[JobTry::KEPT - 1].worker), (&worker("w3"), &worker("w22")));
}

pub async fn a_queue_tells_what_is_dead_and_what_has_ended<S: Database>(store: Arc<S>) {
    let (mine, other) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    mine.indexed("a", "1", &["text"]).await;
    for scenario in [&mine, &other] {
        scenario.uploaded("b", "2").await;
        let lease = scenario.claim(Stage::ProcessDocument).await;
        store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
    }
    let off = mine.uploaded("c", "3").await;
    store.cancel_work(mine.tenant, off.id).await.expect("called off");
    mine.uploaded("d", "4").await;
    let of = async |tenant| -> Vec<QueueStatus> { store.queue_statuses(tenant).await.expect("the queues") };
    let all = of(None).await;
    assert_eq!(all.iter().map(|queue| queue.depth.stage).collect::<Vec<_>>(), Stage::ALL, "every stage once");
    let depths: Vec<_> = all.iter().map(|queue| queue.depth.ready).collect();
    assert_eq!(depths, [1, 0, 0]);
    assert_eq!(all.iter().map(|queue| queue.dead).collect::<Vec<_>>(), [2, 0, 0]);
    let ended = EndedJobs { succeeded: 1, failed: 2, cancelled: 1 };
    assert_eq!(all[0].ended, [ended; 3], "all of it within a minute");
    let done = EndedJobs { succeeded: 1, ..Default::default() };
    assert_eq!((all[1].ended, all[2].ended), ([done; 3], [EndedJobs::default(); 3]));
    let theirs = of(Some(other.tenant)).await;
    assert_eq!((theirs[0].dead, theirs[0].depth.ready), (1, 0));
    assert_eq!(theirs[0].ended, [EndedJobs { failed: 1, ..Default::default() }; 3], "a tenant's own");
    assert_eq!(theirs[1].ended, [EndedJobs::default(); 3]);
}
