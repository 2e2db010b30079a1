//! A process that runs jobs and nothing else.

use std::{path::Path, sync::Arc};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vectrion_pipeline::{Ports, generations};

use crate::{
    app::StartError,
    config::Config,
    data_dir::{DataDir, DataDirError},
    engine::Engine,
    wiring,
};

/// Workers that can share a data directory.
const MAX_WORKERS: usize = 64;

/// A worker over opened backends.
pub struct Worker {
    /// What the stages need from the outside.
    pub ports: Arc<Ports>,
    engine: Engine,
    /// Its directory for temporary files, which is its own until it ends.
    _data_dir: DataDir,
}

impl Worker {
    /// Opens what the configuration names. Of the data directory it uses a directory for temporary files, beside those of
    /// other workers.
    ///
    /// # Errors
    /// The first thing that does not work, with what to do about it.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        wiring::check_worker(config)?;
        let data_dir = own_directory(config.data_dir())?;
        let engine = Engine::start(config, data_dir.scratch()?).await?;
        generations::settle(&engine.ports).await.map_err(|source| StartError::Backend { what: "vectors", source })?;
        Ok(Self { ports: Arc::clone(&engine.ports), engine, _data_dir: data_dir })
    }

    /// Runs jobs, housekeeping and the relay until `stop`; ends when the work in hand is done or given back.
    #[must_use]
    pub fn run(&self, stop: &CancellationToken) -> JoinSet<()> {
        self.engine.run(stop, true)
    }

    /// Closes the backends, after everything that uses them has ended.
    pub async fn close(self) {
        self.engine.close().await;
    }
}

/// The first directory that no other worker has.
fn own_directory(data_dir: &Path) -> Result<DataDir, DataDirError> {
    let mut taken = None;
    for n in 1..=MAX_WORKERS {
        match DataDir::open(&data_dir.join(format!("worker-{n}"))) {
            Err(error @ DataDirError::InUse(_)) => taken = Some(error),
            other => return other,
        }
    }
    Err(taken.unwrap_or_else(|| DataDirError::InUse(data_dir.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_of_a_data_directory_keep_apart() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (own_directory(dir.path()).unwrap(), own_directory(dir.path()).unwrap());
        assert_ne!(first.path(), second.path());
        let of_first = first.path().to_owned();
        drop(first);
        assert_eq!(own_directory(dir.path()).unwrap().path(), of_first);
    }
}
