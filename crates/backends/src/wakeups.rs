//! Telling workers that there is something to do.

#[cfg(feature = "amqp")]
pub mod amqp;
mod in_process;

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use vectrion_core::{
    Result,
    ids::OutboxId,
    job::Stage,
    ports::wakeups::{Announcement, Delivery, Wakeups},
};

pub use self::in_process::InProcessWakeups;
use crate::backend_url::{self, Scheme};

/// The configuration key of the URL.
const KEY: &str = "queue.url";

const AMQP_FEATURE: Option<&str> = if cfg!(feature = "amqp") { None } else { Some("amqp") };

const SCHEMES: &[Scheme] = &[
    Scheme { name: "db", example: "db:", missing_feature: None },
    Scheme { name: "amqp", example: "amqp://user:password@host:5672/vhost", missing_feature: AMQP_FEATURE },
    Scheme { name: "amqps", example: "amqps://user:password@host:5671/vhost", missing_feature: AMQP_FEATURE },
];

/// Settings of the carriers, each used by the backend of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WakeupSettings {
    /// RabbitMQ.
    #[cfg(feature = "amqp")]
    pub amqp: amqp::AmqpSettings,
}

/// A carrier of wake-ups.
#[derive(Debug)]
pub enum WakeupBackend {
    /// Within this process.
    InProcess(InProcessWakeups),
    /// Through RabbitMQ.
    #[cfg(feature = "amqp")]
    Amqp(Box<amqp::AmqpWakeups>),
}

impl WakeupBackend {
    /// Opens the carrier that `url` names: `db:`, where the jobs table is all there is, and whoever runs jobs runs in
    /// this process or looks by itself; or `amqp://USER:PASSWORD@HOST/VHOST` (with TLS, `amqps://`).
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with reason `UNSUPPORTED_BACKEND` or `INVALID_BACKEND_URL`; what the backend's own `open` gives.
    pub async fn open(url: &str, settings: &WakeupSettings) -> Result<Self> {
        match backend_url::split(KEY, url)? {
            ("db", "") => Ok(Self::InProcess(InProcessWakeups::default())),
            #[cfg(feature = "amqp")]
            ("amqp" | "amqps", _) => Ok(Self::Amqp(Box::new(amqp::AmqpWakeups::open(url, &settings.amqp).await?))),
            (scheme, _) => {
                let _ = settings;
                Err(backend_url::unsupported(KEY, scheme, SCHEMES))
            }
        }
    }

    /// Whether the URL and the settings can be right. Reads certificates, and asks no broker.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, naming the setting.
    pub fn validate(url: &str, settings: &WakeupSettings) -> Result<()> {
        match backend_url::split(KEY, url)? {
            ("db", "") => Ok(()),
            #[cfg(feature = "amqp")]
            ("amqp" | "amqps", _) => amqp::validate(url, &settings.amqp),
            (scheme, _) => {
                let _ = settings;
                Err(backend_url::unsupported(KEY, scheme, SCHEMES))
            }
        }
    }

    /// Whether wake-ups are published by a relay from an outbox, because they leave the process.
    #[must_use]
    pub fn needs_outbox(url: &str) -> bool {
        matches!(url.split_once(':'), Some(("amqp" | "amqps", _)))
    }

    /// For the relay: waits until [`Wakeups::notify`] was called in this process since the last time, or until `at_most`
    /// has passed. Without an outbox nobody asks, and it is a plain wait.
    pub async fn nudged(&self, at_most: Duration) {
        match self {
            Self::InProcess(_) => tokio::time::sleep(at_most).await,
            #[cfg(feature = "amqp")]
            Self::Amqp(wakeups) => wakeups.nudged(at_most).await,
        }
    }

    /// Ends connections in good order. What is held unsettled is delivered to others.
    pub async fn close(&self) {
        match self {
            Self::InProcess(_) => {}
            #[cfg(feature = "amqp")]
            Self::Amqp(wakeups) => wakeups.close().await,
        }
    }

    fn wakeups(&self) -> &dyn Wakeups {
        match self {
            Self::InProcess(wakeups) => wakeups,
            #[cfg(feature = "amqp")]
            Self::Amqp(wakeups) => wakeups.as_ref(),
        }
    }
}

#[async_trait]
impl Wakeups for WakeupBackend {
    async fn notify(&self, stage: Stage) -> Result<()> {
        self.wakeups().notify(stage).await
    }

    async fn announce(&self, batch: &[Announcement]) -> Result<Vec<OutboxId>> {
        self.wakeups().announce(batch).await
    }

    async fn wait(&self, stage: Stage, at_most: Duration) -> Result<Option<Box<dyn Delivery>>> {
        self.wakeups().wait(stage, at_most).await
    }

    async fn check(&self) -> Result<()> {
        self.wakeups().check().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(url: &str) -> Result<WakeupBackend> {
        WakeupBackend::open(url, &WakeupSettings::default()).await
    }

    #[tokio::test]
    async fn the_scheme_picks_the_backend() {
        open("db:").await.unwrap();
        let error = open("kafka://user:secret@host").await.expect_err("not a backend");
        assert_eq!(error.reason(), "UNSUPPORTED_BACKEND");
        assert!(error.message().contains("queue.url") && !error.message().contains("secret"), "{error}");
        assert!(WakeupBackend::needs_outbox("amqps://host/v") && !WakeupBackend::needs_outbox("db:"));
    }

    #[tokio::test]
    async fn conforms() {
        vectrion_testkit::conformance::wakeups::suite(async || open("db:").await.unwrap()).await;
    }
}
