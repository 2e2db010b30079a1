//! What servers and workers have in common: opened backends, the stages, and the work in the background.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rand::RngExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vectrion_core::ids::WorkerId;
use vectrion_pipeline::{
    Ports,
    housekeeping::Housekeeping,
    settings::{AnswerSettings, HousekeepingSettings, IngestSettings},
    stages::Stages,
};

use crate::{
    app::StartError,
    config::Config,
    job_loop::{JobLoop, WorkerSettings},
    relay::Relay,
    wiring::{self, Backends},
};

/// Time between looks for expired leases.
const REAP_EVERY: Duration = Duration::from_secs(5);

/// Opened backends, and what runs on them without being asked.
pub(crate) struct Engine {
    pub(crate) ports: Arc<Ports>,
    pub(crate) worker: WorkerSettings,
    backends: Backends,
    stages: Arc<Stages>,
    housekeeping: Arc<Housekeeping>,
    sweep_every: Duration,
}

impl Engine {
    /// Opens what the configuration names, and takes back what a dead process left if nobody else can have it.
    pub(crate) async fn start(config: &Config, scratch: PathBuf) -> Result<Self, StartError> {
        let ingest: IngestSettings = config.section("ingest")?;
        let answer: AnswerSettings = config.section("answer")?;
        let worker: WorkerSettings = config.section("worker")?;
        let upkeep: HousekeepingSettings = config.section("housekeeping")?;
        let backends = wiring::open(config).await?;
        let ports = Arc::clone(&backends.ports);
        Ok(Self {
            stages: Arc::new(Stages::new(Arc::clone(&ports), ingest.clone(), scratch.clone())),
            housekeeping: Arc::new(Housekeeping::new(Arc::clone(&ports), ingest, answer, upkeep.clone(), scratch)),
            sweep_every: upkeep.sweep_every(),
            ports,
            worker,
            backends,
        })
    }

    /// Takes back what a dead process left, if nobody else can be at work: what runs on a shared database may be in the
    /// hands of another process, and comes back when its lease runs out.
    pub(crate) async fn recover(&self) -> Result<(), StartError> {
        if self.backends.store.is_shared() {
            return Ok(());
        }
        self.housekeeping.recover().await.map_err(|source| StartError::Backend { what: "recovery", source })
    }

    /// Kind of each backend by name, without addresses.
    pub(crate) fn kinds(&self) -> Vec<(&'static str, String)> {
        self.backends.kinds.clone()
    }

    /// Runs housekeeping, the relay, and jobs if asked to, until `stop`. The tasks end when their work in hand is done or
    /// given back.
    pub(crate) fn run(&self, stop: &CancellationToken, jobs: bool) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if jobs {
            let host = host_name();
            let id = WorkerId(format!("{host}:{}:{:08x}", std::process::id(), rand::rng().random::<u32>()));
            let jobs = JobLoop::new(
                Arc::clone(&self.stages),
                Arc::clone(&self.ports.jobs),
                Arc::clone(&self.ports.wakeups),
                self.worker.clone(),
                id,
                host,
            );
            tasks.spawn(jobs.run(stop.clone()));
        }
        if self.backends.store.has_outbox() {
            let poll = Duration::from_millis(self.worker.poll_ms);
            let relay = Relay::new(Arc::new(self.backends.store.clone()), Arc::clone(&self.backends.wakeups), poll);
            tasks.spawn(relay.run(stop.clone()));
        }
        tasks.spawn(keep_house(Arc::clone(&self.housekeeping), self.sweep_every, stop.clone()));
        tasks
    }

    /// Closes the backends, after everything that uses them has ended.
    pub(crate) async fn close(self) {
        self.backends.close().await;
    }
}

async fn keep_house(housekeeping: Arc<Housekeeping>, sweep_every: Duration, stop: CancellationToken) {
    let mut reap = tokio::time::interval(REAP_EVERY);
    let mut sweep = tokio::time::interval(sweep_every);
    loop {
        let (done, what) = tokio::select! {
            () = stop.cancelled() => return,
            _ = reap.tick() => (housekeeping.reap().await, "take back expired leases"),
            _ = sweep.tick() => (housekeeping.sweep().await.map(drop), "remove what expired"),
        };
        if let Err(error) = done {
            tracing::warn!(reason = error.reason(), ?error, "cannot {what}");
        }
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or("localhost").to_owned()
}
