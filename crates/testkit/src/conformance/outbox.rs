//! Conformance of [`Outbox`]: of a database that was opened with the outbox on.

#![expect(missing_docs, reason = "a case is named by the promise that it checks")]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use vectrion_core::{
    Error,
    deletion::DeletionOrder,
    ids::{DocumentId, JobId, OutboxId},
    job::{Lease, Stage},
    page::PageRequest,
    ports::{
        Outbox,
        jobs::NextJob,
        outbox::{OUTBOX_BATCH, OutboxBacklog},
        wakeups::Announcement,
    },
};

use super::scenario::{Database, LONG, Scenario, TRACE, TRIES, deletion, failure, pass, processed};

/// Makes a test of each promise. `$make` names an async function that gives a new database with the outbox on, and
/// whatever keeps it alive.
#[macro_export]
macro_rules! outbox_conformance {
    ($make:path) => {
        $crate::conformance_tests!($make, outbox: [
            an_empty_outbox_gives_nothing,
            every_way_in_which_a_job_becomes_ready_is_announced_once,
            what_goes_wrong_is_announced_again,
            a_delayed_job_is_announced_when_its_time_has_come,
            a_change_that_is_refused_announces_nothing,
            what_is_taken_is_nobody_elses_for_a_while,
            what_was_not_marked_is_taken_again,
            takers_at_once_take_each_row_once,
            a_batch_has_a_limit_and_the_longest_due_come_first,
        ]);
    };
}

async fn take<S: Outbox>(store: &S) -> Vec<Announcement> {
    store.take_announcements(OUTBOX_BATCH, LONG).await.expect("taken")
}

/// The only announcement that is due, marked.
async fn announced<S: Outbox>(store: &S) -> Announcement {
    let mut taken = take(store).await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    let announcement = taken.remove(0);
    assert_eq!(store.mark_announced(&[announcement.id]).await.expect("marked"), 1);
    announcement
}

fn is_of(announcement: &Announcement, job: JobId, stage: Stage, trace: &str) {
    assert_eq!((announcement.job, announcement.stage), (job, stage));
    assert_eq!(announcement.trace_id, trace);
}

fn down() -> Error {
    Error::unavailable("MODEL_DOWN", "the model is out of reach")
}

pub async fn an_empty_outbox_gives_nothing<S: Database + Outbox>(store: Arc<S>) {
    assert_eq!(take(&*store).await, []);
    assert_eq!(store.mark_announced(&[]).await.expect("nothing to mark"), 0);
    assert_eq!(store.mark_announced(&[OutboxId::new()]).await.expect("it is not there"), 0);
    assert_eq!(store.outbox_backlog().await.expect("a look"), OutboxBacklog::default());
}

pub async fn every_way_in_which_a_job_becomes_ready_is_announced_once<S: Database + Outbox>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    let first = announced(&*store).await;
    let lease = scenario.process(&["text"]).await;
    is_of(&first, lease.job.id, Stage::ProcessDocument, TRACE);
    let second = announced(&*store).await;
    let lease = scenario.embed().await;
    is_of(&second, lease.job.id, Stage::EmbedDocument, TRACE);
    assert_eq!(take(&*store).await, [], "there is nothing more to do");

    // A newer version, which in the end replaces the first.
    scenario.uploaded("a", "2").await;
    announced(&*store).await;
    scenario.process(&["text 2"]).await;
    announced(&*store).await;
    scenario.embed().await;
    let third = announced(&*store).await;
    let lease = scenario.finish_delete().await;
    is_of(&third, lease.job.id, Stage::DeleteDocument, TRACE);

    let job = JobId::new();
    store
        .begin_delete(scenario.tenant, document.id, &DeletionOrder { job, ..deletion() })
        .await
        .expect("being deleted");
    is_of(&announced(&*store).await, job, Stage::DeleteDocument, TRACE);
    scenario.finish_delete().await;
    assert_eq!(take(&*store).await, []);
    assert_eq!(store.outbox_backlog().await.expect("a look").rows, 0);
}

pub async fn what_goes_wrong_is_announced_again<S: Database + Outbox>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.uploaded("a", "1").await;
    announced(&*store).await;
    let claim = async || scenario.claim(Stage::ProcessDocument).await;
    let expect = async |lease: &Lease, trace: &str| {
        is_of(&announced(&*store).await, lease.job.id, Stage::ProcessDocument, trace);
    };

    let lease = claim().await;
    store.release(&lease).await.expect("released");
    expect(&lease, TRACE).await;
    let lease = claim().await;
    store.retry_later(&lease, &down(), Duration::ZERO).await.expect("put back");
    expect(&lease, TRACE).await;
    let lease = claim().await;
    store.put_off(&lease, &down(), Duration::ZERO).await.expect("put off");
    expect(&lease, TRACE).await;
    let lease = scenario.expired(Stage::ProcessDocument).await;
    assert_eq!(store.reap(50).await.expect("reaped"), 1);
    expect(&lease, TRACE).await;
    let lease = claim().await;
    assert_eq!(store.reap_all(50).await.expect("reaped"), 1);
    expect(&lease, TRACE).await;

    let lease = claim().await;
    let letter = store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
    assert_eq!(take(&*store).await, [], "a job that was given up is not ready");
    store.replay_dead_letter(scenario.tenant, letter.id, "another trace").await.expect("queued");
    expect(&lease, "another trace").await;

    let lease = claim().await;
    store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
    let job = JobId::new();
    store.retry(scenario.tenant, document.id, job, "a third").await.expect("queued again");
    let again = announced(&*store).await;
    assert_eq!(again.stage, Stage::ProcessDocument);
    assert_eq!(again.job, claim().await.job.id);
    let letters =
        store.list_dead_letters(scenario.tenant, &Default::default(), &PageRequest::first()).await.expect("a list");
    assert_eq!(letters.items.len(), 0, "{letters:?}");
}

pub async fn a_delayed_job_is_announced_when_its_time_has_come<S: Database + Outbox>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    announced(&*store).await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    store.retry_later(&lease, &down(), Duration::from_millis(400)).await.expect("put back");
    assert_eq!(take(&*store).await, [], "it waits");
    let backlog = store.outbox_backlog().await.expect("a look");
    assert_eq!(backlog, OutboxBacklog { rows: 1, oldest_ms: 0 });
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert!(store.outbox_backlog().await.expect("a look").oldest_ms > 0);
    assert_eq!(announced(&*store).await.job, lease.job.id);
}

pub async fn a_change_that_is_refused_announces_nothing<S: Database + Outbox>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    announced(&*store).await;
    let lost = scenario.expired(Stage::ProcessDocument).await;
    store.retry_later(&lost, &down(), Duration::ZERO).await.expect_err("the lease has run out");
    store.release(&lost).await.expect_err("the lease has run out");
    let late = processed(&lost, &["late"]);
    store.finish_processing(&lost, late, NextJob::queued(TRIES)).await.expect_err("the lease has run out");
    store.begin_delete(scenario.tenant, DocumentId::new(), &deletion()).await.expect_err("not there");
    assert_eq!(take(&*store).await, []);
}

pub async fn what_is_taken_is_nobody_elses_for_a_while<S: Database + Outbox>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    let taken = take(&*store).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(take(&*store).await, [], "it is held");
    assert_eq!(store.outbox_backlog().await.expect("a look").rows, 1, "and still there");
}

pub async fn what_was_not_marked_is_taken_again<S: Database + Outbox>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    scenario.uploaded("a", "1").await;
    let first = store.take_announcements(OUTBOX_BATCH, Duration::from_millis(1)).await.expect("taken");
    // Whoever took it died between publishing and marking.
    pass().await;
    let second = take(&*store).await;
    assert_eq!((first.len(), &first), (1, &second));
    let ids: Vec<OutboxId> = second.iter().map(|announcement| announcement.id).collect();
    assert_eq!(store.mark_announced(&ids).await.expect("marked"), 1);
    assert_eq!(store.mark_announced(&ids).await.expect("marked twice"), 0);
}

pub async fn takers_at_once_take_each_row_once<S: Database + Outbox + 'static>(store: Arc<S>) {
    const ROWS: usize = 60;
    let scenario = Scenario::new(&*store).await;
    for i in 0..ROWS {
        scenario.uploaded(&format!("d{i}"), &i.to_string()).await;
    }
    let takers: Vec<_> = (0..6)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut taken = Vec::new();
                let mut empty = 0;
                // Others may hold rows for a moment that they then do not take.
                while empty < 20 {
                    let batch = store.take_announcements(7, LONG).await.expect("taken");
                    assert!(batch.len() <= 7);
                    empty = if batch.is_empty() { empty + 1 } else { 0 };
                    if batch.is_empty() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    taken.extend(batch.into_iter().map(|announcement| announcement.id));
                }
                taken
            })
        })
        .collect();
    let mut all = Vec::new();
    for taker in takers {
        all.extend(taker.await.expect("no panic"));
    }
    assert_eq!(all.len(), ROWS, "none was taken twice, none was left");
    assert_eq!(all.iter().copied().collect::<BTreeSet<_>>().len(), ROWS);
    assert_eq!(store.mark_announced(&all).await.expect("marked"), ROWS as u64);
    assert_eq!(store.outbox_backlog().await.expect("a look").rows, 0);
}

pub async fn a_batch_has_a_limit_and_the_longest_due_come_first<S: Database + Outbox>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    for name in ["a", "b", "c"] {
        scenario.uploaded(name, name).await;
        pass().await;
    }
    let first = store.take_announcements(2, LONG).await.expect("taken");
    let second = store.take_announcements(2, LONG).await.expect("taken");
    let jobs: Vec<JobId> = first.iter().chain(&second).map(|announcement| announcement.job).collect();
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(scenario.claim(Stage::ProcessDocument).await.job.id);
    }
    assert_eq!((first.len(), jobs), (2, expected));
}
