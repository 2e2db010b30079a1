//! Opening the carrier of wake-ups.

use std::path::PathBuf;

use serde::Deserialize;
use vectrion_backends::wakeups::{
    WakeupBackend, WakeupSettings,
    amqp::{AmqpSettings, Prefetch},
};
use vectrion_core::job::Stage;

use super::{backend, misfit, scheme};
use crate::{
    app::StartError,
    config::{Config, ConfigError, redacted},
    doctor::Finding,
    job_loop::WorkerSettings,
};

const KEY: &str = "queue.url";

/// `[queue]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueSettings {
    url: String,
    prefix: String,
    ca_path: String,
    heartbeat_s: u16,
    connect_timeout_ms: u64,
    confirm_timeout_ms: u64,
}

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let queue: QueueSettings = config.section("queue")?;
    for (key, zero) in [
        ("queue.heartbeat_s", queue.heartbeat_s == 0),
        ("queue.connect_timeout_ms", queue.connect_timeout_ms == 0),
        ("queue.confirm_timeout_ms", queue.confirm_timeout_ms == 0),
    ] {
        if zero {
            return Err(ConfigError::invalid(key, "must be at least 1"));
        }
    }
    let url = queue.url.clone();
    WakeupBackend::validate(&url, &settings(config, queue)?).map_err(misfit(KEY))
}

fn settings(config: &Config, queue: QueueSettings) -> Result<WakeupSettings, ConfigError> {
    let worker: WorkerSettings = config.section("worker")?;
    let at_once = |stage| u16::try_from(worker.concurrency(stage)).unwrap_or(u16::MAX);
    let amqp = AmqpSettings {
        prefix: queue.prefix,
        ca_path: Some(queue.ca_path).filter(|path| !path.is_empty()).map(PathBuf::from),
        heartbeat_s: queue.heartbeat_s,
        connect_timeout_ms: queue.connect_timeout_ms,
        confirm_timeout_ms: queue.confirm_timeout_ms,
        prefetch: Prefetch {
            process_document: at_once(Stage::ProcessDocument),
            embed_document: at_once(Stage::EmbedDocument),
            delete_document: at_once(Stage::DeleteDocument),
        },
    };
    Ok(WakeupSettings { amqp })
}

pub(super) async fn open(config: &Config) -> Result<WakeupBackend, StartError> {
    let queue: QueueSettings = config.section("queue")?;
    let url = queue.url.clone();
    WakeupBackend::open(&url, &settings(config, queue)?).await.map_err(backend("queue"))
}

/// Whether a broker can be used.
pub(super) async fn examine(config: &Config) -> Option<Finding> {
    if scheme(config.text(KEY)) == "db" {
        return None;
    }
    Some(match open(config).await {
        Ok(broker) => {
            broker.close().await;
            Finding::good("queue", redacted(config.text(KEY)))
        }
        Err(error) => Finding::bad("queue", error.to_string()),
    })
}
