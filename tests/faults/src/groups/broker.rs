//! RabbitMQ dies, or goes silent.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use vectrion_testkit::fault_proxy::Line;

use crate::{
    environment::{Installation, services},
    scene::{SOON, Scene, Told},
};

/// Time within which everybody is connected again after the broker's return.
const RECONNECTED: Duration = Duration::from_secs(30);
/// Time within which the loss is noticed: two heartbeats of two seconds, and the time to connect.
const NOTICED: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(60);
const SHORT_SILENCE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(100);

pub async fn killed(scene: &mut Scene) -> Result<Told> {
    scene.load.upload_many(6, SOON).await?;
    scene.installation.services.rabbitmq.kill();
    // Uploads go on into the outbox, and workers look for themselves.
    let start = Instant::now();
    scene.load.upload_many(12, SOON).await?;
    let uploaded = start.elapsed();
    noticed(&scene.installation).await?;
    services::start_again(&scene.installation.services.rabbitmq)?;
    let reconnected = reconnected(&scene.installation).await?;
    scene.load.upload_many(3, SOON).await?;
    Ok(Told::new(
        "kill -9 of the broker with jobs under way, 12 uploads without it, then started again",
        format!(
            "12 uploads taken in {:.1} s without the broker; all four connected again {:.1} s after its return",
            uploaded.as_secs_f64(),
            reconnected.as_secs_f64()
        ),
    )
    .recovered_in(reconnected))
}

pub async fn silent(scene: &mut Scene) -> Result<Told> {
    let silence = if scene.extent.full { SILENCE } else { SHORT_SILENCE };
    scene.load.upload_many(3, SOON).await?;
    let start = Instant::now();
    scene.installation.proxies.broker.set(Line { stalled: true, ..Line::default() });
    scene.load.upload_many(9, SOON).await?;
    let uploaded = start.elapsed();
    let noticed = noticed(&scene.installation).await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    tokio::time::sleep(silence.saturating_sub(start.elapsed())).await;
    scene.installation.proxies.broker.heal();
    let reconnected = reconnected(&scene.installation).await?;
    Ok(Told::new(
        format!("nothing passes to and from the broker for {} s, no connection is reset", silence.as_secs()),
        format!(
            "9 uploads taken in {:.1} s; the heartbeat noticed after {:.1} s; documents indexed meanwhile; all four \
             connected again {:.1} s after the end",
            uploaded.as_secs_f64(),
            noticed.as_secs_f64(),
            reconnected.as_secs_f64()
        ),
    )
    .recovered_in(reconnected))
}

/// Waits until every process says that it has no broker.
async fn noticed(installation: &Installation) -> Result<Duration> {
    wait(installation, NOTICED, "says that the broker is out of reach", |health| health.contains("degraded: queue"))
        .await
}

/// Waits until every process says that all is well.
async fn reconnected(installation: &Installation) -> Result<Duration> {
    wait(installation, RECONNECTED, "is connected again", |health| health.trim() == "ok").await
}

async fn wait(
    installation: &Installation,
    within: Duration,
    what: &str,
    holds: impl Fn(&str) -> bool,
) -> Result<Duration> {
    let start = Instant::now();
    for process in installation.servers.iter().chain(&installation.workers) {
        loop {
            let health = process.health().await;
            if holds(&health) {
                break;
            }
            ensure!(start.elapsed() < within, "within {within:?} {} not {what}: {health}", process.name);
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(start.elapsed())
}
