//! What has to be done from time to time, and once at the start.

use std::{path::PathBuf, sync::Arc};

use vectrion_core::Result;

use crate::{
    Ports,
    settings::{AnswerSettings, IngestSettings},
};

/// Takes back expired leases, removes what expired.
pub struct Housekeeping {
    ports: Arc<Ports>,
    ingest: IngestSettings,
    answer: AnswerSettings,
    scratch: PathBuf,
}

impl Housekeeping {
    /// Over these ports.
    #[must_use]
    pub fn new(ports: Arc<Ports>, ingest: IngestSettings, answer: AnswerSettings, scratch: PathBuf) -> Self {
        Self { ports, ingest, answer, scratch }
    }

    /// For a process that is the only one on its database and has just started: takes back the leases of its dead self,
    /// removes uploads that cannot go on, ends answers that nobody writes, empties the scratch directory.
    pub async fn recover(&self) -> Result<()> {
        let _ = (&self.ports, &self.ingest, &self.answer, &self.scratch);
        todo!()
    }

    /// Takes back expired leases; every few seconds.
    pub async fn reap(&self) -> Result<()> {
        todo!()
    }

    /// Removes expired uploads, answers, request ids, ended jobs and history; every few minutes.
    pub async fn sweep(&self) -> Result<()> {
        todo!()
    }
}
