//! PostgreSQL is restarted, stands still, or is put back to an earlier time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use vectrion::{
    client::Client,
    v1::{ReconcileRequest, ReconcileSummary, reconcile_response::Event},
};

use crate::{
    environment::services,
    load::{Expected, UNARY_DEADLINE},
    scene::{SOON, Scene, Told},
};

/// Time within which everybody is ready after the database's return.
const READY: Duration = Duration::from_secs(15);
const STANDSTILL: Duration = Duration::from_secs(30);
const SHORT_STANDSTILL: Duration = Duration::from_secs(15);
/// Calls that are made while the database stands still.
const CALLS: usize = 40;

pub async fn restarted(scene: &mut Scene) -> Result<Told> {
    scene.load.upload_many(9, SOON).await?;
    let load = scene.load.clone();
    let uploading = tokio::spawn(async move { load.upload_many(12, SOON * 2).await });
    tokio::time::sleep(Duration::from_millis(700)).await;
    scene.installation.services.postgres.kill();
    // They have to notice, and to say so.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for process in scene.installation.processes() {
        ensure!(!process.is_ready().await, "I6: {} says that it is ready without a database", process.name);
    }
    services::start_again(&scene.installation.services.postgres)?;
    let ready = scene.installation.wait_ready(READY).await?;
    uploading.await??;
    Ok(Told::new(
        "kill -9 of the database's processes while documents are uploaded and worked on, started again after 3 s",
        format!(
            "not ready meanwhile, all ready {:.1} s after its return, what was under way repeated",
            ready.as_secs_f64()
        ),
    )
    .recovered_in(ready))
}

pub async fn stopped(scene: &mut Scene) -> Result<Told> {
    let standstill = if scene.extent.full { STANDSTILL } else { SHORT_STANDSTILL };
    scene.load.upload_many(9, SOON).await?;
    let before: Vec<(u64, usize)> = figures(scene);
    let start = Instant::now();
    scene.installation.services.postgres.signal(Signal::SIGSTOP);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..CALLS {
        let load = scene.load.clone();
        calls.spawn(async move {
            let began = Instant::now();
            let ended = load.search(n % 2, n % 3, "Which light stands north of the skerries?").await;
            (began.elapsed(), ended.map(|_| ()))
        });
    }
    tokio::time::sleep(standstill.saturating_sub(start.elapsed())).await;
    let during = figures(scene);
    scene.installation.services.postgres.signal(Signal::SIGCONT);
    let (mut slowest, mut failed) = (Duration::ZERO, 0);
    while let Some(ended) = calls.join_next().await {
        let (took, ended) = ended?;
        slowest = slowest.max(took);
        failed += usize::from(ended.is_err());
    }
    let ready = scene.installation.wait_ready(READY).await?;
    ensure!(
        slowest <= UNARY_DEADLINE + Duration::from_secs(1),
        "I5: a call took {:.1} s of {} s",
        slowest.as_secs_f64(),
        UNARY_DEADLINE.as_secs()
    );
    for ((before, during), process) in before.iter().zip(&during).zip(scene.installation.processes()) {
        let grown = during.0.saturating_sub(before.0) >> 20;
        ensure!(grown < 200, "I6: {} has grown by {grown} MiB", process.name);
    }
    Ok(Told::new(
        format!(
            "SIGSTOP of the database's processes for {} s, {CALLS} questions at once meanwhile",
            standstill.as_secs()
        ),
        format!(
            "{failed} of {CALLS} questions failed, the slowest ended after {:.1} s; ready {:.1} s after its return",
            slowest.as_secs_f64(),
            ready.as_secs_f64()
        ),
    )
    .recovered_in(ready))
}

fn figures(scene: &mut Scene) -> Vec<(u64, usize)> {
    scene.installation.processes().map(|process| (process.resident(), process.descriptors())).collect()
}

/// The dump is of an earlier time than index and object store.
pub async fn restored(scene: &mut Scene) -> Result<Told> {
    let kept = scene.load.upload_many(9, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    let dump = scene.installation.directory.path().join("dump");
    tool("pg_dump", &["--format=custom", "--file", &dump.to_string_lossy(), &scene.installation.database])?;
    let later = scene.load.upload_many(6, SOON).await?;
    let replaced = scene.load.make_again(kept[0].tenant, &kept[0].external_id);
    scene.load.upload(kept[0].tenant, &replaced, Expected::Indexed, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;

    for process in scene.installation.processes() {
        process.terminate(SOON).await?;
    }
    let start = Instant::now();
    let database = &scene.installation.database;
    tool("pg_restore", &["--clean", "--if-exists", "--dbname", database, &dump.to_string_lossy()])?;
    scene.installation.start_missing().await?;
    let restored = start.elapsed();
    let mut served = 0;
    for entry in &kept[1..] {
        let found = scene.load.search(0, entry.tenant, &entry.marker).await?;
        served += usize::from(found.iter().any(|passage| passage.document_id == entry.document_id));
    }
    ensure!(served == kept.len() - 1, "{served} of {} documents of the dump are found", kept.len() - 1);
    for entry in &later {
        let found = scene.load.search(0, entry.tenant, &entry.marker).await?;
        let seen = found.iter().any(|passage| passage.document_id == entry.document_id);
        ensure!(!seen, "I3: a search sees {}, which the database does not know", entry.external_id);
    }
    for entry in later {
        scene.load.forget(&entry);
    }
    scene.load.remember(kept[0].clone());
    let reconciling = Instant::now();
    let summary = reconcile(scene).await?;
    let settled = scene.load.settle(Duration::from_secs(62)).await?;
    ensure!(summary.findings > 0 && summary.remedied == summary.findings, "not all is repaired: {summary:?}");
    let left = reconcile(scene).await?;
    ensure!(left.findings == 0, "after the repair: {left:?}");
    Ok(Told::new(
        "pg_dump, then 6 more documents and a new version, then pg_restore under the later index and object store",
        format!(
            "restored and ready in {:.1} s; the {served} documents of the dump are found, those after it are not seen; the \
             reconciler repaired {} findings in {:.1} s",
            restored.as_secs_f64(),
            summary.findings,
            reconciling.elapsed().as_secs_f64(),
        ),
    )
    .recovered_in(restored + settled))
}

/// Compares and repairs everything there is.
async fn reconcile(scene: &Scene) -> Result<ReconcileSummary> {
    let server = &scene.installation.servers[0];
    let operator = Client::connect(&server.url, &server.operator_key()?).await?;
    let request =
        ReconcileRequest { all_tenants: true, repair: true, min_age_seconds: Some(0), ..ReconcileRequest::default() };
    let mut stream = operator.admin().reconcile(request).await?.into_inner();
    while let Some(told) = stream.message().await? {
        match told.event {
            Some(Event::Finding(finding)) => println!("    {finding:?}"),
            Some(Event::Summary(summary)) => return Ok(summary),
            Some(Event::Progress(_)) | None => {}
        }
    }
    bail!("the comparison ended without a summary")
}

fn tool(name: &str, arguments: &[&str]) -> Result<()> {
    let output = tokio::task::block_in_place(|| std::process::Command::new(name).args(arguments).output());
    let output = output.with_context(|| format!("{name} cannot be run"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
