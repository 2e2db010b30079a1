//! Logs and metrics of this process.

use std::io::IsTerminal as _;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use crate::config::ConfigError;

/// `[log]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Level, or a filter.
    pub level: String,
    /// Form of a line.
    pub format: LogFormat,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
    /// Text on a terminal, else JSON.
    Auto,
}

/// Sends the process's logs to standard error. The first call wins; later ones, as in tests, change nothing.
///
/// # Errors
/// `log.level` is not a filter.
pub fn init_logs(settings: &LogSettings) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|error| ConfigError::invalid("log.level", format!("is not a level or filter: {error}")))?;
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = if json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    };
    if installed.is_err() {
        tracing::debug!("logs were set up before");
    }
    Ok(())
}

/// Seconds at which durations are counted: from a fast call to a slow document.
const SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Installs the process's metrics recorder and says what each metric is.
///
/// # Errors
/// A recorder is installed already.
pub fn init_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    metrics::describe_gauge!("vectrion_queue_jobs", "Jobs by stage and state (ready, delayed, running)");
    metrics::describe_gauge!("vectrion_queue_oldest_seconds", "Age of the oldest ready job by stage");
    metrics::describe_gauge!("vectrion_queue_up", "Whether the carrier of wake-ups (the broker) can be used");
    metrics::describe_gauge!(
        "vectrion_outbox_rows",
        "Wake-ups that wait to be published, those of delayed jobs included"
    );
    metrics::describe_gauge!("vectrion_outbox_oldest_seconds", "For how long the oldest of them has been due");
    metrics::describe_counter!("vectrion_wakeups_published_total", "Wake-ups that the broker has confirmed");
    metrics::describe_gauge!("vectrion_documents", "Documents by state");
    metrics::describe_gauge!("vectrion_build_info", "Always 1; the version is a label");
    metrics::gauge!("vectrion_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}
