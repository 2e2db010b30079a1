//! Conformance of [`Wakeups`].

use std::time::{Duration, Instant};

use vectrion_core::{job::Stage, ports::wakeups::Wakeups};

/// Longer than any wake-up takes, so that a wait that ends before it was woken.
const LONG: Duration = Duration::from_secs(60);

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
}

/// Whether a wait was woken rather than timed out.
async fn is_woken(wakeups: &impl Wakeups, stage: Stage, at_most: Duration) -> bool {
    let begin = Instant::now();
    wakeups.wait(stage, at_most).await.expect("waits");
    begin.elapsed() < at_most
}

async fn a_wake_up_before_the_wait_is_kept(wakeups: &impl Wakeups) {
    for stage in Stage::ALL {
        wakeups.notify(stage).await.expect("notifies");
    }
    for stage in Stage::ALL {
        assert!(is_woken(wakeups, stage, LONG).await, "{stage:?}");
    }
}

async fn a_wake_up_ends_a_wait(wakeups: &impl Wakeups) {
    let notify = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        wakeups.notify(Stage::EmbedDocument).await.expect("notifies");
    };
    let (woken, ()) = tokio::join!(is_woken(wakeups, Stage::EmbedDocument, LONG), notify);
    assert!(woken, "a wake-up during the wait ends it");
}

async fn stages_are_apart(wakeups: &impl Wakeups) {
    wakeups.notify(Stage::ProcessDocument).await.expect("notifies");
    assert!(!is_woken(wakeups, Stage::EmbedDocument, Duration::from_millis(30)).await, "another stage's wake-up");
    assert!(is_woken(wakeups, Stage::ProcessDocument, LONG).await, "its own");
}

async fn a_wait_that_was_given_up_keeps_nothing(wakeups: &impl Wakeups) {
    let stage = Stage::DeleteDocument;
    assert!(!is_woken(wakeups, stage, Duration::from_millis(5)).await, "nobody woke it");
    tokio::time::timeout(Duration::from_millis(5), wakeups.wait(stage, LONG)).await.expect_err("nobody woke it");
    wakeups.notify(stage).await.expect("notifies");
    assert!(is_woken(wakeups, stage, LONG).await, "the waits that ended took the wake-up");
}

async fn each_wake_up_wakes_somebody(wakeups: &impl Wakeups) {
    let stage = Stage::ProcessDocument;
    let wake_both = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            wakeups.notify(stage).await.expect("notifies");
        }
    };
    let (first, second, ()) = tokio::join!(is_woken(wakeups, stage, LONG), is_woken(wakeups, stage, LONG), wake_both);
    assert!(first && second, "two wake-ups wake two who wait");
}
