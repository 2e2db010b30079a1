//! Faults drawn at random while documents come and go, the same ones for the same seed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use vectrion_testkit::{
    fault_proxy::{Cut, Fault, FaultProxy, Line},
    openai::Reply,
};

use crate::{
    environment::{Installation, Kind, services},
    load::{Entry, Expected, Load},
    scene::{Scene, Told},
};

/// A call is repeated for as long as this.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is drawn, and how often beside the others.
const DRAWN: [(Drawn, u32); 14] = [
    (Drawn::KillWorker, 6),
    (Drawn::KillServer, 4),
    (Drawn::StopWorker, 4),
    (Drawn::Stall, 5),
    (Drawn::Slow, 4),
    (Drawn::Narrow, 2),
    (Drawn::Reset, 5),
    (Drawn::HalfOpen, 3),
    (Drawn::Closed, 4),
    (Drawn::FaultyObjects, 4),
    (Drawn::FailingModel, 4),
    (Drawn::KillBroker, 1),
    (Drawn::KillCacheOrIndex, 3),
    (Drawn::KillDatabase, 2),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Drawn {
    KillWorker,
    KillServer,
    StopWorker,
    Stall,
    Slow,
    Narrow,
    Reset,
    HalfOpen,
    Closed,
    FaultyObjects,
    FailingModel,
    KillBroker,
    KillCacheOrIndex,
    KillDatabase,
}

pub async fn mixture(scene: &mut Scene) -> Result<Told> {
    let start = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let changing = tokio::spawn(change(Arc::clone(&scene.load), Arc::clone(&stop), scene.extent.seed));
    let mut drawn: BTreeMap<Drawn, usize> = BTreeMap::new();
    while start.elapsed() < scene.extent.mixture {
        let next = draw(&mut scene.rng);
        let seed = scene.rng.next_u64();
        println!("    {:4} s: {next:?}", start.elapsed().as_secs());
        inject(&mut scene.installation, next, StdRng::seed_from_u64(seed)).await?;
        *drawn.entry(next).or_default() += 1;
        let pause = Duration::from_millis(scene.rng.random_range(200..2000));
        tokio::time::sleep(pause).await;
    }
    scene.installation.mend().await?;
    stop.store(true, Ordering::SeqCst);
    let (uploads, versions, deletions) = changing.await??;
    let listed: Vec<String> = drawn.iter().map(|(what, times)| format!("{what:?} {times}")).collect();
    Ok(Told::new(
        format!(
            "{} s of faults drawn with seed {}: {}",
            scene.extent.mixture.as_secs(),
            scene.extent.seed,
            listed.join(", ")
        ),
        format!(
            "{uploads} uploads, {versions} new versions and {deletions} deletions acknowledged meanwhile, all as promised"
        ),
    ))
}

fn draw(rng: &mut StdRng) -> Drawn {
    let all: u32 = DRAWN.iter().map(|(_, weight)| weight).sum();
    let mut at = rng.random_range(0..all);
    for (what, weight) in DRAWN {
        if at < weight {
            return what;
        }
        at -= weight;
    }
    DRAWN[0].0
}

/// Uploads, replaces and deletes until it is told to stop.
async fn change(load: Arc<Load>, stop: Arc<AtomicBool>, seed: u64) -> Result<(usize, usize, usize)> {
    let mut rng = StdRng::seed_from_u64(seed ^ 1);
    let (mut uploads, mut versions, mut deletions) = (0, 0, 0);
    let mut own: Vec<Entry> = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let what = rng.random_range(0..10);
        if what < 7 || own.is_empty() {
            let tenant = rng.random_range(0..load.tenants.len());
            own.push(load.upload(tenant, &load.make(tenant), Expected::Indexed, PATIENCE).await?);
            uploads += 1;
        } else if what < 9 {
            let at = rng.random_range(0..own.len());
            let made = load.make_again(own[at].tenant, &own[at].external_id);
            own[at] = load.upload(own[at].tenant, &made, Expected::Indexed, PATIENCE).await?;
            versions += 1;
        } else {
            let entry = own.swap_remove(rng.random_range(0..own.len()));
            load.delete(&entry, PATIENCE).await?;
            deletions += 1;
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(20..250))).await;
    }
    Ok((uploads, versions, deletions))
}

async fn inject(installation: &mut Installation, what: Drawn, mut rng: StdRng) -> Result<()> {
    let while_it_lasts = Duration::from_millis(rng.random_range(500..5000));
    let proxies = [
        &installation.proxies.database,
        &installation.proxies.broker,
        &installation.proxies.cache,
        &installation.proxies.objects,
        &installation.proxies.index,
    ];
    let Some(proxy) = proxies.choose(&mut rng).copied() else { return Ok(()) };
    match what {
        Drawn::KillWorker | Drawn::KillServer => {
            let kind = if what == Drawn::KillWorker { Kind::Worker } else { Kind::Server };
            installation.process(kind, rng.random_range(0..2)).kill()?;
            tokio::time::sleep(while_it_lasts / 2).await;
            let settings = installation.settings.clone();
            for process in installation.processes() {
                if !process.is_running() {
                    process.start(&settings).await?;
                }
            }
        }
        Drawn::StopWorker => {
            let worker = installation.process(Kind::Worker, rng.random_range(0..2));
            worker.signal(Signal::SIGSTOP)?;
            tokio::time::sleep(while_it_lasts).await;
            worker.signal(Signal::SIGCONT)?;
        }
        Drawn::Stall => line(proxy, Line { stalled: true, ..Line::default() }, while_it_lasts).await,
        Drawn::Closed => {
            proxy.cut(Cut::End);
            line(proxy, Line { closed: true, ..Line::default() }, while_it_lasts).await;
        }
        Drawn::Slow => {
            line(proxy, Line { latency: Duration::from_millis(100), ..Line::default() }, while_it_lasts).await
        }
        Drawn::Narrow => line(proxy, Line { bytes_per_second: Some(50_000), ..Line::default() }, while_it_lasts).await,
        Drawn::Reset => proxy.cut(Cut::Reset),
        Drawn::HalfOpen => proxy.cut(Cut::HalfOpen),
        Drawn::FaultyObjects => {
            let faults = [Fault::CutResponse(900), Fault::FlipResponse(1500), Fault::Refuse];
            let proxy = &installation.proxies.objects;
            if let Some(fault) = faults.choose(&mut rng) {
                // Three changed bytes in a row would say that the object itself is damaged.
                proxy.order(fault, rng.random_range(1..3));
            }
            proxy.cut(Cut::End);
            tokio::time::sleep(while_it_lasts).await;
            proxy.heal();
        }
        Drawn::FailingModel => {
            let status = *[429, 500, 503].choose(&mut rng).unwrap_or(&500);
            installation.model.answer_embeddings(move |_| Reply::error(status, "overloaded"));
            tokio::time::sleep(while_it_lasts / 2).await;
            installation.model.answer_embeddings(|_| Reply::embeddings());
        }
        Drawn::KillBroker => restart(&installation.services.rabbitmq, while_it_lasts).await?,
        Drawn::KillDatabase => restart(&installation.services.postgres, while_it_lasts / 2).await?,
        Drawn::KillCacheOrIndex => match installation.services.own_index() {
            Some(index) if rng.random_bool(0.5) => restart(index, while_it_lasts).await?,
            _ => restart(&installation.services.redis, while_it_lasts).await?,
        },
    }
    ensure!(installation.processes().count() == 4, "two servers and two workers");
    Ok(())
}

async fn line(proxy: &FaultProxy, line: Line, while_it_lasts: Duration) {
    proxy.set(line);
    tokio::time::sleep(while_it_lasts).await;
    proxy.heal();
}

async fn restart(service: &vectrion_testkit::services::Service, after: Duration) -> Result<()> {
    service.kill();
    tokio::time::sleep(after).await;
    services::start_again(service)
}
