//! Redis, the vector index and the object store fail.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use vectrion_testkit::fault_proxy::{Cut, Fault, FaultProxy, Line};

use crate::{
    environment::services,
    load::{Entry, Expected, documents},
    scene::{SOON, Scene, Told},
};

const QUESTION: &str = "Which light stands north of the skerries?";
const INDEX_DOWN: Duration = Duration::from_secs(120);
const INDEX_DOWN_SHORT: Duration = Duration::from_secs(20);
/// A question without an index is refused within this time.
const FAST: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(50);

/// What an S3 server says when it is too busy.
fn busy() -> String {
    let body = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let length = body.len();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

pub async fn cache_lost(scene: &mut Scene) -> Result<Told> {
    let mut slowest = Duration::ZERO;
    scene.load.upload_many(3, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    ask(scene, &mut slowest).await?;
    flush(scene.installation.services.redis.url()).await?;
    ask(scene, &mut slowest).await?;
    scene.installation.proxies.cache.set(Line { stalled: true, ..Line::default() });
    ask(scene, &mut slowest).await?;
    scene.load.upload_many(3, SOON).await?;
    scene.installation.proxies.cache.heal();
    scene.installation.services.redis.kill();
    ask(scene, &mut slowest).await?;
    scene.load.upload_many(3, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    for process in scene.installation.processes() {
        ensure!(process.is_ready().await, "{} is not ready for want of Redis", process.name);
    }
    services::start_again(&scene.installation.services.redis)?;
    ask(scene, &mut slowest).await?;
    Ok(Told::new(
        "Redis flushed, then silent, then killed, with questions and uploads each time, then started again",
        format!("every question answered, the slowest in {:.1} s; everybody stayed ready", slowest.as_secs_f64()),
    ))
}

/// Questions of every tenant to every server, all of which must be answered.
async fn ask(scene: &Scene, slowest: &mut Duration) -> Result<()> {
    for tenant in 0..scene.load.tenants.len() {
        for server in 0..2 {
            let start = Instant::now();
            let found = scene.load.search(server, tenant, QUESTION).await?;
            ensure!(!found.is_empty(), "nothing is found for tenant {tenant}");
            *slowest = (*slowest).max(start.elapsed());
        }
    }
    Ok(())
}

async fn flush(url: &str) -> Result<()> {
    let rest = url.trim_start_matches("redis://:");
    let (password, address) = rest.split_once('@').context("a URL with a password")?;
    let mut stream = TcpStream::connect(address.trim_end_matches("/0")).await?;
    stream.write_all(format!("AUTH {password}\r\nFLUSHALL\r\nQUIT\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.matches("+OK").count() >= 2, "FLUSHALL: {answer}");
    Ok(())
}

pub async fn index_down(scene: &mut Scene) -> Result<Told> {
    let down = if scene.extent.full { INDEX_DOWN } else { INDEX_DOWN_SHORT };
    scene.load.upload_many(3, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    let start = Instant::now();
    take_index_down(scene);
    let mut slowest = Duration::ZERO;
    let mut refused = 0;
    for n in 0..9 {
        let began = Instant::now();
        match scene.load.search(n % 2, n % 3, QUESTION).await {
            Ok(_) => bail!("a question was answered without an index"),
            Err(status) if status.code() == tonic::Code::Unavailable => refused += 1,
            Err(status) => bail!("I5: a question ended with {:?}: {}", status.code(), status.message()),
        }
        slowest = slowest.max(began.elapsed());
    }
    ensure!(slowest < FAST, "I5: a question was refused after {:.1} s only", slowest.as_secs_f64());
    scene.load.upload_many(9, SOON).await?;
    tokio::time::sleep(down.saturating_sub(start.elapsed())).await;
    bring_index_back(scene)?;
    Ok(Told::new(
        format!("the vector index killed for {} s, {refused} questions and 9 uploads meanwhile", down.as_secs()),
        format!("questions UNAVAILABLE within {:.1} s; every upload taken, and indexed later", slowest.as_secs_f64()),
    ))
}

/// Kills the index, or cuts it off if it is the caller's.
fn take_index_down(scene: &Scene) {
    match scene.installation.services.own_index() {
        Some(service) => service.kill(),
        None => {
            scene.installation.proxies.index.set(Line { closed: true, ..Line::default() });
            scene.installation.proxies.index.cut(Cut::Reset);
        }
    }
}

fn bring_index_back(scene: &Scene) -> Result<()> {
    scene.installation.proxies.index.heal();
    scene.installation.services.own_index().map_or(Ok(()), services::start_again)
}

pub async fn index_killed(scene: &mut Scene) -> Result<Told> {
    let proxy = &scene.installation.proxies.index;
    // Narrow enough for a batch of points to take seconds.
    proxy.set(Line { bytes_per_second: Some(40_000), ..Line::default() });
    let (before, _) = proxy.passed();
    for tenant in 0..3 {
        let made = documents::long_text(tenant, 900_000 + tenant, 60);
        scene.load.upload(tenant, &made, Expected::Indexed, SOON).await?;
    }
    let start = Instant::now();
    while proxy.passed().0 < before + 30_000 {
        ensure!(start.elapsed() < SOON, "nothing is written to the index");
        tokio::time::sleep(LOOK).await;
    }
    take_index_down(scene);
    let under_way = proxy.passed().0 - before;
    proxy.heal();
    bring_index_back(scene)?;
    Ok(Told::new(
        "the vector index killed while batches of points are under way on a narrow line, then started again",
        format!("killed {} KB into the batches; the retry wrote every point once", under_way / 1000),
    ))
}

pub async fn objects(scene: &mut Scene) -> Result<Told> {
    let mut told = Vec::new();
    for (what, fault, times) in [
        ("503", Fault::Answer(busy()), 12),
        ("cut answers", Fault::CutResponse(700), 8),
        // A third in a row would say that the object itself is damaged.
        ("changed bytes", Fault::FlipResponse(1500), 2),
        ("resets", Fault::Refuse, 8),
    ] {
        let hit = faulty(scene, &fault, times).await.with_context(|| what.to_owned())?;
        ensure!(hit > 0, "no connection was hit by {what}");
        told.push(format!("{what} on {hit} connections"));
    }
    scene.installation.proxies.objects.set(Line { bytes_per_second: Some(20_000), ..Line::default() });
    scene.load.upload_many(4, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    scene.installation.proxies.objects.heal();

    let reason = corrupted(scene).await?;
    Ok(Told::new(
        format!("the object store with {}, then 20 KB/s, then a byte of a stored object changed", told.join(", ")),
        format!(
            "retried until it went through; the object that is corrupt at rest failed as {reason} and is not indexed"
        ),
    ))
}

/// Uploads while the next connections to the object store are hit, and waits until all is indexed.
async fn faulty(scene: &Scene, fault: &Fault, times: usize) -> Result<usize> {
    let proxy: &FaultProxy = &scene.installation.proxies.objects;
    proxy.order(fault, times);
    proxy.cut(Cut::End);
    scene.load.upload_many(4, SOON).await?;
    let start = Instant::now();
    // What is not used up by the uploads is met by the jobs; connections that are kept are cut off now and then.
    while proxy.ordered() > 0 && start.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(LOOK * 10).await;
        proxy.cut(Cut::End);
    }
    let hit = times - proxy.ordered();
    proxy.heal();
    scene.load.settle(Duration::from_secs(62)).await?;
    Ok(hit)
}

/// Changes a byte of an object before anybody has worked on it, and tells as what its document fails.
async fn corrupted(scene: &Scene) -> Result<String> {
    for worker in &scene.installation.workers {
        worker.signal(Signal::SIGSTOP)?;
    }
    let made = scene.load.make(0);
    let entry = scene.load.upload(0, &made, Expected::Failed(&[]), SOON).await?;
    let path = original(scene, &entry).await?;
    let mut bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes)?;
    for worker in &scene.installation.workers {
        worker.signal(Signal::SIGCONT)?;
    }
    scene.load.settle(Duration::from_secs(62)).await?;
    let document = scene.load.get(&entry).await?;
    Ok(document.failure.map(|failure| failure.reason).unwrap_or_default())
}

/// The file of a document's bytes.
async fn original(scene: &Scene, entry: &Entry) -> Result<PathBuf> {
    let mut database = scene.installation.sql().await?;
    let query = "SELECT tenant_id::text, id::text FROM document_versions WHERE document_id::text = $1";
    let (tenant, version): (String, String) =
        sqlx::query_as(query).bind(&entry.document_id).fetch_one(&mut database).await?;
    Ok(scene.installation.objects().join(format!("tenants/{tenant}/versions/{version}/original")))
}
