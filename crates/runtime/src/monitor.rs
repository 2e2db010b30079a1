//! The small HTTP port: `/metrics` and `/healthz`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vectrion_core::{Error, ErrorKind};
use vectrion_pipeline::Ports;

use crate::config::ConfigError;

/// What does not answer within this time is not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// `[metrics]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitorSettings {
    /// Address; empty for none.
    pub listen: String,
}

/// The port, bound.
pub struct Monitor {
    listener: TcpListener,
    address: SocketAddr,
}

#[derive(Clone)]
struct Shared {
    metrics: PrometheusHandle,
    ports: Arc<Ports>,
}

impl Monitor {
    /// Binds the port, if one is set.
    ///
    /// # Errors
    /// `metrics.listen` is not an address, or is taken.
    pub async fn bind(settings: &MonitorSettings) -> Result<Option<Self>, ConfigError> {
        if settings.listen.is_empty() {
            return Ok(None);
        }
        let failed = |error: std::io::Error| {
            ConfigError::invalid("metrics.listen", format!("cannot listen on {}: {error}", settings.listen))
        };
        let listener = TcpListener::bind(&settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Some(Self { listener, address }))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`.
    pub async fn serve(self, metrics: PrometheusHandle, ports: Arc<Ports>, stop: CancellationToken) {
        let app = Router::new()
            .route("/metrics", get(scrape))
            .route("/healthz", get(health))
            .with_state(Shared { metrics, ports });
        let served = axum::serve(self.listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::warn!(%error, "the metrics port failed");
        }
    }
}

async fn scrape(State(shared): State<Shared>) -> impl IntoResponse {
    measure_state(&shared.ports).await;
    shared.metrics.run_upkeep();
    ([("content-type", "text/plain; version=0.0.4")], shared.metrics.render())
}

/// Reads what stands in the database into gauges; a database out of reach leaves them as they were.
async fn measure_state(ports: &Ports) {
    let queue_up = ports.wakeups.check().await.is_ok();
    metrics::gauge!("vectrion_queue_up").set(if queue_up { 1.0 } else { 0.0 });
    match ports.jobs.queue_depths().await {
        Ok(depths) => {
            for depth in depths {
                let stage = depth.stage.as_str();
                for (state, count) in [("ready", depth.ready), ("delayed", depth.delayed), ("running", depth.running)] {
                    metrics::gauge!("vectrion_queue_jobs", "stage" => stage, "state" => state).set(to_f64(count));
                }
                metrics::gauge!("vectrion_queue_oldest_seconds", "stage" => stage).set(to_f64(depth.oldest_ms) / 1e3);
            }
        }
        Err(error) => tracing::warn!(reason = error.reason(), %error, "cannot measure the queues"),
    }
    match ports.catalog.count_by_state().await {
        Ok(counts) => {
            for (state, count) in counts {
                metrics::gauge!("vectrion_documents", "state" => state.as_str()).set(to_f64(count));
            }
        }
        Err(error) => tracing::warn!(reason = error.reason(), %error, "cannot count documents"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

async fn health(State(shared): State<Shared>) -> (StatusCode, String) {
    let ports = &shared.ports;
    let look = async {
        let (database, vectors, objects, embedder) = futures::join!(
            async { ports.directory.is_empty().await.map(drop) },
            ports.vectors.check(),
            ports.objects.check(),
            ports.embedder.check(),
        );
        [("database", database), ("vectors", vectors), ("objects", objects), ("embedder", embedder)]
    };
    let (needed, queue) = futures::join!(tokio::time::timeout(PATIENCE, look), ports.wakeups.check());
    let needed = needed.unwrap_or_else(|_| {
        let message = format!("what a call needs did not answer within {} s", PATIENCE.as_secs());
        let silent = Error::new(ErrorKind::DeadlineExceeded, "DEPENDENCY_SILENT", message);
        [("database", Err(silent)), ("vectors", Ok(())), ("objects", Ok(())), ("embedder", Ok(()))]
    });
    verdict(&needed, &queue)
}

/// What is full or throttled refuses some calls, and without the queue jobs are found only later: nobody is to be sent
/// elsewhere, or restarted, for either.
fn verdict(needed: &[(&str, Result<(), Error>)], queue: &Result<(), Error>) -> (StatusCode, String) {
    let shown = |error: &Error| format!("{}: {}\n", error.reason(), error.message());
    let mut said = "ok\n".to_owned();
    for (what, part) in needed {
        match part {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::ResourceExhausted => {
                said.push_str(&format!("degraded: {what}: {}", shown(error)));
            }
            Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, shown(error)),
        }
    }
    if let Err(error) = queue {
        said.push_str(&format!("degraded: queue: {}", shown(error)));
    }
    (StatusCode::OK, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_full_is_degraded_and_what_is_away_is_not_ready() {
        let full = || Err(Error::new(ErrorKind::ResourceExhausted, "STORAGE_FULL", "no room"));
        let away = || Err(Error::unavailable("INDEX_UNAVAILABLE", "away"));
        assert_eq!(verdict(&[("vectors", Ok(()))], &Ok(())), (StatusCode::OK, "ok\n".to_owned()));
        let (status, said) = verdict(&[("vectors", full()), ("objects", Ok(()))], &away());
        assert_eq!(status, StatusCode::OK);
        assert_eq!(said, "ok\ndegraded: vectors: STORAGE_FULL: no room\ndegraded: queue: INDEX_UNAVAILABLE: away\n");
        let (status, said) = verdict(&[("vectors", full()), ("objects", away())], &Ok(()));
        assert_eq!((status, said.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "INDEX_UNAVAILABLE: away\n"));
    }
}
