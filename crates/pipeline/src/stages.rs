//! What the stages do: `process_document`, `embed_document`, `delete_document`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use vectrion_core::{
    Result,
    ids::WorkerId,
    job::{Lease, Stage},
};

use crate::{Ports, settings::IngestSettings};

/// Runs jobs. The job loop of the runtime claims and calls [`Stages::run`]; everything that a job commits is committed in
/// here, under its lease.
pub struct Stages {
    ports: Arc<Ports>,
    settings: IngestSettings,
    scratch: PathBuf,
}

impl Stages {
    /// `scratch`: a directory for temporary copies; what is in it at the start is removed.
    #[must_use]
    pub fn new(ports: Arc<Ports>, settings: IngestSettings, scratch: PathBuf) -> Self {
        Self { ports, settings, scratch }
    }

    /// Claims the fairest ready job of these stages.
    pub async fn claim(&self, stages: &[Stage], worker: &WorkerId, lease_for: Duration) -> Result<Option<Lease>> {
        self.ports.jobs.claim(stages, worker, lease_for).await
    }

    /// Works on a claimed job until it is committed, put off or given up, keeping the lease alive meanwhile. `jitter` in
    /// 0 to 1 spreads the delay of a retry. An error means that not even the outcome could be written: the lease runs
    /// out and the job comes back. Dropping the future leaves the lease to be released by [`Stages::release`].
    pub async fn run(&self, lease: &Lease, lease_for: Duration, jitter: f64) -> Result<()> {
        let _ = (&self.settings, &self.scratch, lease, lease_for, jitter);
        todo!()
    }

    /// Gives a job back because this process is ending.
    pub async fn release(&self, lease: &Lease) -> Result<()> {
        self.ports.jobs.release(lease).await
    }
}
