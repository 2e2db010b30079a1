//! Conformance of [`Wakeups`].

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use vectrion_core::{
    ids::{JobId, OutboxId},
    job::Stage,
    ports::wakeups::{Announcement, Delivery, Wakeups},
};

/// Longer than any wake-up takes, so that a wait that ends before it was woken.
const LONG: Duration = Duration::from_secs(60);
/// Longer than a wake-up takes that is on its way, and short enough to wait for one that must not come.
const SHORT: Duration = Duration::from_millis(300);

/// Checks an adapter. `make` gives carriers that nobody has used yet.
///
/// # Panics
/// When the adapter breaks the contract.
pub async fn suite<W: Wakeups>(make: impl AsyncFn() -> W) {
    a_wake_up_before_the_wait_is_kept(&make().await).await;
    a_wake_up_ends_a_wait(&make().await).await;
    stages_are_apart(&make().await).await;
    a_wait_that_was_given_up_keeps_nothing(&make().await).await;
    each_wake_up_wakes_somebody(&make().await).await;
    what_is_announced_is_confirmed(&make().await).await;
    notifying_never_fails(&make().await).await;
}

/// What holds besides of a carrier that hands out deliveries, which others share: `make` gives two ends of one that
/// nobody has used yet.
///
/// # Panics
/// When the adapter breaks the contract.
pub async fn delivery_suite<W: Wakeups>(make: impl AsyncFn() -> (W, W)) {
    let (here, there) = make().await;
    what_was_settled_is_over(&here, &there).await;
    let (here, there) = make().await;
    what_was_dropped_unsettled_comes_again(&here, &there).await;
    let (here, there) = make().await;
    each_delivery_has_one_taker(&here, &there).await;
}

/// A wake-up of a new job.
#[must_use]
pub fn announcement(stage: Stage) -> Announcement {
    Announcement {
        id: OutboxId::new(),
        job: JobId::new(),
        stage,
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
    }
}

async fn announce(wakeups: &impl Wakeups, stage: Stage) {
    let announcement = announcement(stage);
    let confirmed = wakeups.announce(std::slice::from_ref(&announcement)).await.expect("announces");
    assert_eq!(confirmed, [announcement.id]);
}

/// Whether a wait was woken rather than timed out. What is delivered is settled.
async fn is_woken(wakeups: &impl Wakeups, stage: Stage, at_most: Duration) -> bool {
    let begin = Instant::now();
    let delivery = wakeups.wait(stage, at_most).await.expect("waits");
    let woken = begin.elapsed() < at_most;
    if let Some(delivery) = delivery {
        delivery.settle().await.expect("settles");
        return true;
    }
    woken
}

async fn a_wake_up_before_the_wait_is_kept(wakeups: &impl Wakeups) {
    for stage in Stage::ALL {
        announce(wakeups, stage).await;
    }
    for stage in Stage::ALL {
        assert!(is_woken(wakeups, stage, LONG).await, "{stage:?}");
    }
}

async fn a_wake_up_ends_a_wait(wakeups: &impl Wakeups) {
    let announce = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        announce(wakeups, Stage::EmbedDocument).await;
    };
    let (woken, ()) = tokio::join!(is_woken(wakeups, Stage::EmbedDocument, LONG), announce);
    assert!(woken, "a wake-up during the wait ends it");
}

async fn stages_are_apart(wakeups: &impl Wakeups) {
    announce(wakeups, Stage::ProcessDocument).await;
    assert!(!is_woken(wakeups, Stage::EmbedDocument, SHORT).await, "another stage's wake-up");
    assert!(is_woken(wakeups, Stage::ProcessDocument, LONG).await, "its own");
}

async fn a_wait_that_was_given_up_keeps_nothing(wakeups: &impl Wakeups) {
    let stage = Stage::DeleteDocument;
    assert!(!is_woken(wakeups, stage, Duration::from_millis(5)).await, "nobody woke it");
    let given_up = tokio::time::timeout(Duration::from_millis(5), wakeups.wait(stage, LONG)).await;
    assert!(given_up.is_err(), "nobody woke it");
    announce(wakeups, stage).await;
    assert!(is_woken(wakeups, stage, LONG).await, "the waits that ended took the wake-up");
}

async fn each_wake_up_wakes_somebody(wakeups: &impl Wakeups) {
    let stage = Stage::ProcessDocument;
    let wake_both = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            announce(wakeups, stage).await;
        }
    };
    let (first, second, ()) = tokio::join!(is_woken(wakeups, stage, LONG), is_woken(wakeups, stage, LONG), wake_both);
    assert!(first && second, "two wake-ups wake two who wait");
}

async fn what_is_announced_is_confirmed(wakeups: &impl Wakeups) {
    assert_eq!(wakeups.announce(&[]).await.expect("nothing to announce"), []);
    let batch: Vec<Announcement> = (0..600).map(|i| announcement(Stage::ALL[i % 3])).collect();
    let confirmed: BTreeSet<OutboxId> = wakeups.announce(&batch).await.expect("announces").into_iter().collect();
    assert_eq!(confirmed, batch.iter().map(|announcement| announcement.id).collect());
    assert!(is_woken(wakeups, Stage::DeleteDocument, LONG).await);
}

async fn notifying_never_fails(wakeups: &impl Wakeups) {
    wakeups.check().await.expect("it can be used");
    for stage in Stage::ALL {
        wakeups.notify(stage).await.expect("notifies");
    }
}

async fn take(wakeups: &impl Wakeups, stage: Stage) -> Box<dyn Delivery> {
    wakeups.wait(stage, LONG).await.expect("waits").expect("a delivery")
}

async fn what_was_settled_is_over(here: &impl Wakeups, there: &impl Wakeups) {
    let stage = Stage::EmbedDocument;
    announce(here, stage).await;
    take(there, stage).await.settle().await.expect("settles");
    assert!(there.wait(stage, SHORT).await.expect("waits").is_none(), "it was settled");
    assert!(here.wait(stage, SHORT).await.expect("waits").is_none(), "it was settled");
}

async fn what_was_dropped_unsettled_comes_again(here: &impl Wakeups, there: &impl Wakeups) {
    let stage = Stage::ProcessDocument;
    announce(here, stage).await;
    for _ in 0..3 {
        drop(take(there, stage).await);
    }
    take(there, stage).await.settle().await.expect("settles");
    assert!(there.wait(stage, SHORT).await.expect("waits").is_none(), "it was settled in the end");
}

async fn each_delivery_has_one_taker(here: &impl Wakeups, there: &impl Wakeups) {
    let stage = Stage::DeleteDocument;
    for _ in 0..20 {
        announce(here, stage).await;
    }
    let (here, there) = tokio::join!(drain(here, stage), drain(there, stage));
    assert_eq!(here + there, 20, "{here} and {there}");
}

/// Settles what comes until nothing has come for a second.
async fn drain(wakeups: &impl Wakeups, stage: Stage) -> usize {
    let mut taken = 0;
    while let Some(delivery) = wakeups.wait(stage, Duration::from_secs(1)).await.expect("waits") {
        delivery.settle().await.expect("settles");
        taken += 1;
    }
    taken
}
