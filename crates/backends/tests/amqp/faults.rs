//! A broker that goes away, and comes back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tokio_util::sync::CancellationToken;
use vectrion_backends::wakeups::amqp::{AmqpSettings, AmqpWakeups};
use vectrion_core::{job::Stage, ports::Wakeups as _};
use vectrion_testkit::{conformance::wakeups::announcement, services::Service};

use crate::{beside, broker, open, remove, settings};

/// Longest time from the broker's return to the first wake-up.
const HEALED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_under_load_loses_nothing_that_it_confirmed() {
    if broker().is_none() {
        return;
    }
    let service = tokio::task::spawn_blocking(|| Service::start("rabbitmq")).await.unwrap();
    let settings = settings();
    let wakeups = Arc::new(open(service.url(), &settings).await);
    let taker = Arc::new(open(service.url(), &settings).await);
    let stage = Stage::ProcessDocument;
    // Now they subscribe.
    assert!(taker.wait(stage, Duration::from_secs(1)).await.unwrap().is_none());

    let stop = CancellationToken::new();
    let sending = tokio::spawn({
        let (wakeups, stop) = (Arc::clone(&wakeups), stop.clone());
        async move {
            let (mut confirmed, mut failed) = (0, 0);
            while !stop.is_cancelled() {
                let batch: Vec<_> = (0..20).map(|_| announcement(stage)).collect();
                match wakeups.announce(&batch).await {
                    Ok(ids) => confirmed += ids.len(),
                    Err(error) => {
                        assert_eq!(error.reason(), "QUEUE_UNAVAILABLE", "{error:?}");
                        failed += 1;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
            (confirmed, failed)
        }
    });
    let taking = tokio::spawn({
        let (taker, stop) = (Arc::clone(&taker), stop.clone());
        async move {
            let mut settled = 0;
            let mut idle = 0;
            // On, until nothing has come for a while after the end.
            while idle < 3 {
                let begin = Instant::now();
                match taker.wait(stage, Duration::from_secs(1)).await.unwrap() {
                    // Whose settling fails comes again.
                    Some(delivery) => {
                        settled += usize::from(delivery.settle().await.is_ok());
                        idle = 0;
                    }
                    None => {
                        assert!(begin.elapsed() < Duration::from_secs(3), "a wait ends in time, broker or not");
                        idle += usize::from(stop.is_cancelled());
                    }
                }
            }
            settled
        }
    });

    tokio::time::sleep(Duration::from_millis(700)).await;
    service.kill();
    let gone = async {
        while wakeups.check().await.is_ok() || taker.check().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("they notice");
    assert_eq!(wakeups.announce(&[announcement(stage)]).await.unwrap_err().reason(), "QUEUE_UNAVAILABLE");

    let service = tokio::task::spawn_blocking(move || {
        service.start_again();
        service
    });
    let service = service.await.unwrap();
    let begin = Instant::now();
    let healed = async {
        while wakeups.check().await.is_err() || taker.check().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(HEALED_WITHIN, healed).await.expect("they heal");
    eprintln!("healed {:?} after the broker was ready again", begin.elapsed());
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.cancel();
    let (confirmed, failed) = sending.await.unwrap();
    let settled = taking.await.unwrap();
    assert!(failed > 0 && confirmed > 40, "{confirmed} confirmed, {failed} batches failed");
    assert!(settled >= confirmed, "{confirmed} were confirmed, {settled} came");
    drop((wakeups, taker));
    tokio::task::spawn_blocking(move || drop(service)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_falls_silent_is_noticed_by_its_heartbeat() {
    if broker().is_none() {
        return;
    }
    let service = tokio::task::spawn_blocking(|| Service::start("rabbitmq")).await.unwrap();
    let settings = AmqpSettings { heartbeat_s: 1, confirm_timeout_ms: 60_000, connect_timeout_ms: 2_000, ..settings() };
    let wakeups = open(service.url(), &settings).await;
    let stage = Stage::EmbedDocument;
    service.signal(Signal::SIGSTOP);
    // On a busy machine some of its threads go on for a moment.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begin = Instant::now();
    let error = wakeups.announce(&[announcement(stage)]).await.unwrap_err();
    assert_eq!(error.reason(), "QUEUE_UNAVAILABLE", "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(10), "heartbeats of 1 s, noticed after {:?}", begin.elapsed());
    assert!(wakeups.check().await.is_err());
    service.signal(Signal::SIGCONT);
    let healed = async {
        while wakeups.announce(&[announcement(stage)]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(HEALED_WITHIN, healed).await.expect("it heals");
    assert!(wakeups.wait(stage, Duration::from_secs(10)).await.unwrap().is_some());
    drop(wakeups);
    tokio::task::spawn_blocking(move || drop(service)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_that_were_removed_are_declared_again() {
    let Some(url) = broker() else { return };
    let settings = settings();
    let wakeups: AmqpWakeups = open(&url, &settings).await;
    let stage = Stage::DeleteDocument;
    wakeups.announce(&[announcement(stage)]).await.unwrap();
    let held = wakeups.wait(stage, Duration::from_secs(10)).await.unwrap().expect("a delivery");
    remove(&url, &settings).await;
    let _ = beside(&url).await;
    // The consumers are cancelled, and the exchange is gone, which ends the publisher's channel at the next message.
    let healed = async {
        loop {
            let sent = announcement(stage);
            if wakeups.announce(std::slice::from_ref(&sent)).await.is_ok_and(|ids| ids == [sent.id]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(HEALED_WITHIN, healed).await.expect("they are there again");
    let delivery = wakeups.wait(stage, HEALED_WITHIN).await.unwrap().expect("a delivery on the new queue");
    delivery.settle().await.unwrap();
    // What was held when its queue vanished is over, and says so or does nothing.
    let _ = held.settle().await;
    wakeups.close().await;
    remove(&url, &settings).await;
}
