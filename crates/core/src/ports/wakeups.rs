//! Telling workers that there is something to do.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Result, job::Stage};

/// Carries wake-ups from whoever commits a job to whoever runs jobs. A wake-up names a stage and nothing else: what is
/// to be done stands in the jobs table. A lost wake-up delays work until the next poll; a doubled one costs an empty
/// look.
#[async_trait]
pub trait Wakeups: Send + Sync {
    /// Says that a job of this stage became ready. Called after the commit.
    async fn notify(&self, stage: Stage) -> Result<()>;

    /// Waits until there may be a job of this stage, or until `at_most` has passed.
    async fn wait(&self, stage: Stage, at_most: Duration) -> Result<()>;
}
