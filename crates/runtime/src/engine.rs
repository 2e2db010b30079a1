//! What servers and workers have in common: opened backends, the stages, and the work in the background.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rand::RngExt as _;
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use vectrion_core::{Result, ids::WorkerId};
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
        let housekeeping = Arc::clone(&self.housekeeping);
        tasks.spawn(keep_house("take back expired leases", REAP_EVERY, stop.clone(), move || {
            let housekeeping = Arc::clone(&housekeeping);
            async move { housekeeping.reap().await }
        }));
        let housekeeping = Arc::clone(&self.housekeeping);
        tasks.spawn(keep_house("remove what expired", self.sweep_every, stop.clone(), move || {
            let housekeeping = Arc::clone(&housekeeping);
            async move { housekeeping.sweep().await.map(drop) }
        }));
        tasks
    }

    /// Closes the backends, after everything that uses them has ended.
    pub(crate) async fn close(self) {
        self.backends.close().await;
    }
}

/// Does a chore at once and then every so often, until `stop`; then what is under way is dropped, and is done by the next
/// time it is begun. Each chore has a task of its own, so that one that takes long, or hangs, holds up no other.
async fn keep_house<F>(what: &'static str, every: Duration, stop: CancellationToken, chore: impl Fn() -> F)
where
    F: Future<Output = Result<()>>,
{
    let mut due = tokio::time::interval(every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let keeping = async {
        loop {
            due.tick().await;
            if let Err(error) = chore().await {
                tracing::warn!(reason = error.reason(), ?error, "cannot {what}");
            }
        }
    };
    stop.run_until_cancelled(keeping).await;
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or("localhost").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_chore_that_hangs_is_dropped_at_the_end() {
        let stop = CancellationToken::new();
        let keeping = tokio::spawn(keep_house("hang", Duration::from_secs(1), stop.clone(), std::future::pending));
        tokio::time::sleep(Duration::from_millis(20)).await;
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), keeping).await.expect("it ends").expect("no panic");
    }
}
