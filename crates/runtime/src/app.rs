//! The program put together: backends opened, use cases wired, background work running.

use std::{sync::Arc, time::Duration};

use rand::RngExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vectrion_core::{Error, ids::WorkerId};
use vectrion_pipeline::{
    Ports,
    administration::Administration,
    generations,
    housekeeping::Housekeeping,
    identity::{AdminKey, Identity, KeySecret},
    ingestion::Ingestion,
    query::Queries,
    settings::{AnswerSettings, IngestSettings},
    stages::Stages,
};

use crate::{
    config::{Config, ConfigError},
    data_dir::{DataDir, DataDirError},
    job_loop::{JobLoop, WorkerSettings},
    wiring::{self, Backends},
};

/// Time between looks for expired leases.
const REAP_EVERY: Duration = Duration::from_secs(5);
/// Time between sweeps of what expired.
const SWEEP_EVERY: Duration = Duration::from_secs(300);

/// Why the program cannot start. The message says what to change.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A backend cannot be opened.
    #[error("{what}: {source}")]
    Backend {
        /// Which, such as `database`.
        what: &'static str,
        /// Why.
        source: Error,
    },
    /// The system refused something.
    #[error("cannot {what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// The program: use cases over opened backends.
pub struct App {
    /// What the use cases need from the outside.
    pub ports: Arc<Ports>,
    /// Documents in.
    pub ingestion: Arc<Ingestion>,
    /// Questions.
    pub queries: Arc<Queries>,
    /// Tenants, collections, keys, jobs.
    pub administration: Arc<Administration>,
    /// API keys.
    pub identity: Arc<Identity>,
    /// Kind of each backend by name, without addresses.
    pub kinds: Vec<(&'static str, String)>,
    backends: Backends,
    stages: Arc<Stages>,
    housekeeping: Arc<Housekeeping>,
    worker: WorkerSettings,
    data_dir: DataDir,
}

impl App {
    /// Opens what the configuration names, migrates the embedded database, makes the first key on an empty one, and takes
    /// back what a dead process left.
    ///
    /// # Errors
    /// The first thing that does not work, with what to do about it.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let data_dir = DataDir::open(config.data_dir())?;
        let scratch = data_dir.scratch()?;
        let pepper = match config.text("auth.pepper") {
            "" => data_dir.pepper(|| rand::rng().random())?,
            short if short.len() < 32 => {
                return Err(ConfigError::invalid("auth.pepper", "needs at least 32 bytes").into());
            }
            pepper => pepper.as_bytes().to_vec(),
        };
        let ingest: IngestSettings = config.section("ingest")?;
        let answer: AnswerSettings = config.section("answer")?;
        let worker: WorkerSettings = config.section("worker")?;

        let backends = wiring::open(config).await?;
        let ports = Arc::clone(&backends.ports);
        let identity = Arc::new(Identity::new(Arc::clone(&ports), pepper));
        let app = Self {
            ingestion: Arc::new(Ingestion::new(Arc::clone(&ports), ingest.clone())),
            queries: Arc::new(Queries::new(Arc::clone(&ports), answer.clone())),
            administration: Arc::new(Administration::new(Arc::clone(&ports), Arc::clone(&identity))),
            stages: Arc::new(Stages::new(Arc::clone(&ports), ingest.clone(), scratch.clone())),
            housekeeping: Arc::new(Housekeeping::new(Arc::clone(&ports), ingest, answer, scratch)),
            kinds: backends.kinds.clone(),
            backends,
            ports,
            identity,
            worker,
            data_dir,
        };
        app.ensure_admin_key().await?;
        app.housekeeping.recover().await.map_err(|source| StartError::Backend { what: "recovery", source })?;
        generations::settle(&app.ports).await.map_err(|source| StartError::Backend { what: "vectors", source })?;
        Ok(app)
    }

    /// The operator's first key. The file is written before the database knows the key, so that a start that is cut off
    /// between the two is finished by the next one.
    async fn ensure_admin_key(&self) -> Result<(), StartError> {
        let failed = |source| StartError::Backend { what: "first key", source };
        let kept = self.data_dir.admin_key().and_then(|text| KeySecret::parse(&text).ok());
        let secret = match kept {
            Some(secret) => secret,
            None if self.identity.is_new_installation().await.map_err(failed)? => {
                let secret = self.identity.generate_secret();
                self.data_dir.write_admin_key(secret.expose())?;
                secret
            }
            None => return Ok(()),
        };
        if self.identity.ensure_admin_key(&secret).await.map_err(failed)? == AdminKey::Foreign {
            tracing::warn!(path = %self.data_dir.admin_key_path().display(), "admin.key is not a key of this database");
        }
        Ok(())
    }

    /// Runs jobs and housekeeping until `stop`. The tasks end when their work in hand is done or given back.
    #[must_use]
    pub fn run_background(&self, stop: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if self.worker.in_process {
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
        tasks.spawn(keep_house(Arc::clone(&self.housekeeping), stop.clone()));
        tasks
    }

    /// Media types that can be uploaded.
    #[must_use]
    pub fn content_types(&self) -> Vec<String> {
        wiring::CONTENT_TYPES.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Closes the backends, after everything that uses them has ended.
    pub async fn close(self) {
        self.backends.close().await;
    }
}

async fn keep_house(housekeeping: Arc<Housekeeping>, stop: CancellationToken) {
    let mut reap = tokio::time::interval(REAP_EVERY);
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        let (done, what) = tokio::select! {
            () = stop.cancelled() => return,
            _ = reap.tick() => (housekeeping.reap().await, "take back expired leases"),
            _ = sweep.tick() => (housekeeping.sweep().await, "remove what expired"),
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
