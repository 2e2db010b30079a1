//! The server's side of the program put together: backends opened, use cases wired, background work running.

use std::sync::Arc;

use rand::RngExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vectrion_core::Error;
use vectrion_pipeline::{
    Ports,
    administration::Administration,
    generations,
    identity::{AdminKey, Identity, KeySecret},
    ingestion::Ingestion,
    query::Queries,
};

use crate::{
    config::{Config, ConfigError},
    data_dir::{DataDir, DataDirError},
    engine::Engine,
    wiring,
};

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
    engine: Engine,
    data_dir: DataDir,
}

impl App {
    /// Opens what the configuration names, migrates the embedded database, makes the first key on an empty one, and takes
    /// back what a dead process left.
    ///
    /// # Errors
    /// The first thing that does not work, with what to do about it.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        wiring::check(config)?;
        let data_dir = DataDir::open(config.data_dir())?;
        let pepper = match config.text("auth.pepper") {
            "" => data_dir.pepper(|| rand::rng().random())?,
            pepper => pepper.as_bytes().to_vec(),
        };
        let engine = Engine::start(config, data_dir.scratch()?).await?;
        let ports = Arc::clone(&engine.ports);
        let identity = Arc::new(Identity::new(Arc::clone(&ports), pepper));
        let app = Self {
            ingestion: Arc::new(Ingestion::new(Arc::clone(&ports), config.section("ingest")?)),
            queries: Arc::new(Queries::new(Arc::clone(&ports), config.section("answer")?)),
            administration: Arc::new(Administration::new(
                Arc::clone(&ports),
                Arc::clone(&identity),
                config.section("ingest")?,
                config.section("housekeeping")?,
            )),
            kinds: engine.kinds(),
            ports,
            identity,
            engine,
            data_dir,
        };
        app.ensure_admin_key().await?;
        app.engine.recover().await?;
        generations::settle(&app.ports).await.map_err(|source| StartError::Backend { what: "vectors", source })?;
        Ok(app)
    }

    /// The operator's first key. The file is written before the database knows the key, so that a start that is cut off
    /// between the two is finished by the next one. Of servers that start on a new database at once, each has a key that
    /// works, or none.
    async fn ensure_admin_key(&self) -> Result<(), StartError> {
        let failed = |source| StartError::Backend { what: "first key", source };
        let kept = self.data_dir.admin_key().and_then(|text| KeySecret::parse(&text).ok());
        let is_kept = kept.is_some();
        let secret = match kept {
            Some(secret) => secret,
            None if self.identity.is_new_installation().await.map_err(failed)? => {
                let secret = self.identity.generate_secret();
                self.data_dir.write_admin_key(secret.expose())?;
                secret
            }
            None => return Ok(()),
        };
        match self.identity.ensure_admin_key(&secret).await.map_err(failed)? {
            AdminKey::Made | AdminKey::Known => {}
            AdminKey::Foreign if is_kept => {
                let path = self.data_dir.admin_key_path();
                tracing::warn!(path = %path.display(), "admin.key is not a key of this database");
            }
            AdminKey::Foreign => {
                self.data_dir.remove_admin_key()?;
                tracing::info!("another server has made the first key of this installation");
            }
        }
        Ok(())
    }

    /// Runs housekeeping, and jobs if this process is to, until `stop`. The tasks end when their work in hand is done or
    /// given back.
    #[must_use]
    pub fn run_background(&self, stop: &CancellationToken) -> JoinSet<()> {
        self.engine.run(stop, self.engine.worker.in_process)
    }

    /// Media types that can be uploaded.
    #[must_use]
    pub fn content_types(&self) -> Vec<String> {
        wiring::CONTENT_TYPES.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Closes the backends, after everything that uses them has ended.
    pub async fn close(self) {
        self.engine.close().await;
    }
}
