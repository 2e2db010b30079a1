//! Telling workers that there is something to do.

mod in_process;

use std::time::Duration;

use async_trait::async_trait;
use vectrion_core::{Result, job::Stage, ports::wakeups::Wakeups};

pub use self::in_process::InProcessWakeups;
use crate::backend_url::{self, Scheme};

/// The configuration key of the URL.
const KEY: &str = "queue.url";

const SCHEMES: &[Scheme] = &[Scheme { name: "db", example: "db:", missing_feature: None }];

/// A carrier of wake-ups.
#[derive(Debug)]
pub enum WakeupBackend {
    /// Within this process.
    InProcess(InProcessWakeups),
}

impl WakeupBackend {
    /// Opens the carrier that `url` names: `db:`, where the jobs table is all there is, and whoever runs jobs runs in
    /// this process.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with reason `UNSUPPORTED_BACKEND` or `INVALID_BACKEND_URL`.
    pub fn open(url: &str) -> Result<Self> {
        match backend_url::split(KEY, url)? {
            ("db", "") => Ok(Self::InProcess(InProcessWakeups::default())),
            (scheme, _) => Err(backend_url::unsupported(KEY, scheme, SCHEMES)),
        }
    }

    fn wakeups(&self) -> &dyn Wakeups {
        match self {
            Self::InProcess(wakeups) => wakeups,
        }
    }
}

#[async_trait]
impl Wakeups for WakeupBackend {
    async fn notify(&self, stage: Stage) -> Result<()> {
        self.wakeups().notify(stage).await
    }

    async fn wait(&self, stage: Stage, at_most: Duration) -> Result<()> {
        self.wakeups().wait(stage, at_most).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_picks_the_backend() {
        WakeupBackend::open("db:").unwrap();
        let error = WakeupBackend::open("amqp://user:secret@host").expect_err("not a backend");
        assert_eq!(error.reason(), "UNSUPPORTED_BACKEND");
        assert!(error.message().contains("queue.url") && !error.message().contains("secret"), "{error}");
    }

    #[tokio::test]
    async fn conforms() {
        vectrion_testkit::conformance::wakeups::suite(async || WakeupBackend::open("db:").unwrap()).await;
    }
}
