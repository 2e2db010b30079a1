//! What has to be done from time to time, and once at the start.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use vectrion_core::{Error, Result, job::Stage};

use crate::{
    Ports, administration, chores, ingestion,
    lifecycle::Lifecycle,
    query, receipts,
    settings::{AnswerSettings, HousekeepingSettings, IngestSettings},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Outcomes of mutations are replayed for this long.
const KEEP_REQUESTS: Duration = DAY;
/// Ended jobs are listed for this long.
const KEEP_JOBS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A watch can be taken up again after this long without a resync.
const KEEP_HISTORY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Dead uploads that are read at once.
const UPLOADS: u32 = 100;

/// Takes back expired leases, removes what expired.
pub struct Housekeeping {
    ports: Arc<Ports>,
    ingest: IngestSettings,
    answer: AnswerSettings,
    upkeep: HousekeepingSettings,
    scratch: PathBuf,
}

impl Housekeeping {
    /// Over these ports.
    #[must_use]
    pub fn new(
        ports: Arc<Ports>,
        ingest: IngestSettings,
        answer: AnswerSettings,
        upkeep: HousekeepingSettings,
        scratch: PathBuf,
    ) -> Self {
        Self { ports, ingest, answer, upkeep, scratch }
    }

    /// For a process that is the only one on its database and has just started: takes back the leases of its dead self,
    /// removes uploads that cannot go on, ends answers that nobody writes, empties the scratch directory. Does all that
    /// it can, then reports the first failure.
    pub async fn recover(&self) -> Result<()> {
        let mut chores = Chores::default();
        chores.run("take back the jobs of the dead process", self.take_back(true)).await;
        chores.run("remove uploads that cannot go on", self.remove_uploads(true)).await;
        chores.run("end answers that nobody writes", self.end_answers(Duration::ZERO)).await;
        chores.run("empty the scratch directory", self.empty_scratch()).await;
        chores.run("finish the removal of tenants", administration::finish_removals(&self.ports)).await;
        chores.outcome()
    }

    /// Takes back expired leases; every few seconds.
    pub async fn reap(&self) -> Result<()> {
        self.take_back(false).await.map(|_jobs| ())
    }

    /// Removes expired uploads, answers, request ids, ended jobs and history, verifies deletions, and applies lifecycle
    /// policies; every few minutes. Does all that it can,
    /// then reports the first failure. Of several processes on a database one does it at a time; says whether this one has.
    pub async fn sweep(&self) -> Result<bool> {
        Ok(chores::alone(&self.ports, chores::SWEEP, self.sweep_alone()).await?.is_some())
    }

    async fn sweep_alone(&self) -> Result<()> {
        let ports = &self.ports;
        let retention = DAY * self.answer.retention_days;
        let mut chores = Chores::default();
        chores.run("remove expired uploads", self.remove_uploads(false)).await;
        chores.run("end answers that nobody writes", self.end_answers(query::ANSWER_IDLE)).await;
        chores.run("remove old answers", ports.answers.purge_answers(millis(retention))).await;
        chores.run("remove old request ids", ports.idempotency.purge_requests(millis(KEEP_REQUESTS))).await;
        chores.run("forget what became of uploads", ports.uploads.purge_completed_uploads(millis(KEEP_REQUESTS))).await;
        chores.run("remove ended jobs", ports.jobs.purge_jobs(millis(KEEP_JOBS))).await;
        chores.run("forget the ends of documents", ports.catalog.trim_history(millis(KEEP_HISTORY))).await;
        chores.run("finish the removal of tenants", administration::finish_removals(ports)).await;
        chores.run("verify deletions", receipts::verify_ended(ports)).await;
        let keep = millis(DAY * self.upkeep.receipt_days);
        chores.run("forget receipts of deletions", ports.upkeep.purge_receipts(keep)).await;
        chores.run("apply lifecycle policies", self.lifecycle().apply_all()).await;
        chores.outcome()
    }

    fn lifecycle(&self) -> Lifecycle {
        Lifecycle { ports: Arc::clone(&self.ports), ingest: self.ingest.clone(), housekeeping: self.upkeep.clone() }
    }

    async fn take_back(&self, all: bool) -> Result<u64> {
        let (jobs, limit) = (&self.ports.jobs, self.ingest.max_interruptions);
        let taken = if all { jobs.reap_all(limit).await? } else { jobs.reap(limit).await? };
        if taken > 0 {
            tracing::info!(jobs = taken, "took back jobs of workers that are gone");
            for stage in Stage::ALL {
                self.ports.wake(stage).await;
            }
        }
        Ok(taken)
    }

    async fn remove_uploads(&self, left_over: bool) -> Result<u64> {
        let (mut removed, mut failed) = (0, None);
        loop {
            let dead = self.ports.uploads.expired_uploads(left_over, UPLOADS).await?;
            let before = removed;
            for upload in &dead {
                // One that cannot be removed is the first of the next sweep again; it keeps none from being removed.
                match ingestion::remove_dead(&self.ports, upload).await {
                    Ok(()) => removed += 1,
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            if dead.len() < UPLOADS as usize || removed == before {
                return failed.map_or(Ok(removed), Err);
            }
        }
    }

    async fn end_answers(&self, idle: Duration) -> Result<u64> {
        query::end_abandoned(&self.ports, idle).await
    }

    async fn empty_scratch(&self) -> Result<u64> {
        let failed = |error: std::io::Error| {
            Error::unavailable("SCRATCH_FAILED", "the directory for temporary files cannot be emptied")
                .with_source(error)
        };
        tokio::fs::create_dir_all(&self.scratch).await.map_err(failed)?;
        let mut entries = tokio::fs::read_dir(&self.scratch).await.map_err(failed)?;
        let mut removed = 0;
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            let is_directory = entry.file_type().await.map_err(failed)?.is_dir();
            let path = entry.path();
            let gone =
                if is_directory { tokio::fs::remove_dir_all(path).await } else { tokio::fs::remove_file(path).await };
            gone.map_err(failed)?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// Runs one chore after the other and keeps the first failure, so that one that fails does not keep the rest from being
/// done.
#[derive(Default)]
struct Chores {
    failed: Option<Error>,
}

impl Chores {
    async fn run(&mut self, chore: &'static str, work: impl Future<Output = Result<u64>>) {
        match work.await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(chore, count, "housekeeping"),
            Err(error) if self.failed.is_none() => self.failed = Some(error),
            Err(error) => tracing::warn!(chore, reason = error.reason(), ?error, "housekeeping failed"),
        }
    }

    fn outcome(self) -> Result<()> {
        self.failed.map_or(Ok(()), Err)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_chore_that_fails_does_not_keep_the_rest_from_being_done() {
        let mut chores = Chores::default();
        let mut done = false;
        chores.run("first", async { Ok(1) }).await;
        chores.run("second", async { Err(Error::unavailable("FIRST_FAILURE", "down")) }).await;
        chores.run("third", async { Err(Error::unavailable("LATER_FAILURE", "down")) }).await;
        chores
            .run("fourth", async {
                done = true;
                Ok(1)
            })
            .await;
        assert!(done);
        assert_eq!(chores.outcome().expect_err("the first failure").reason(), "FIRST_FAILURE");
    }
}
