//! gRPC health: each service, and the whole under the empty name.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tonic_health::{ServingStatus, server::HealthReporter};
use vectrion_core::{Error, ErrorKind, Result};
use vectrion_pipeline::Ports;

const INGESTION: &str = "vectrion.v1.IngestionService";
const QUERY: &str = "vectrion.v1.QueryService";
const ADMIN: &str = "vectrion.v1.AdminService";
/// A dependency that does not answer within this time is not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the services depend on, looked at just now.
#[derive(Debug)]
pub struct Readiness {
    /// Tenants, keys and documents.
    pub database: Result<()>,
    /// Bytes of documents.
    pub objects: Result<()>,
    /// Vectors.
    pub vectors: Result<()>,
    /// Embedding model.
    pub embedder: Result<()>,
    /// Carrier of wake-ups. Without it everything works, only later.
    pub queue: Result<()>,
}

/// Looks at what the services depend on.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, Readiness> + Send + Sync>;

/// Asks the ports.
#[must_use]
pub fn probe_ports(ports: Arc<Ports>) -> Probe {
    Arc::new(move || {
        let ports = Arc::clone(&ports);
        async move {
            let (database, objects, vectors, embedder, queue) = futures::join!(
                patiently("database", async { ports.directory.is_empty().await.map(drop) }),
                patiently("object store", ports.objects.check()),
                patiently("vector index", ports.vectors.check()),
                patiently("embedding model", ports.embedder.check()),
                patiently("queue", ports.wakeups.check()),
            );
            Readiness { database, objects, vectors, embedder, queue }
        }
        .boxed()
    })
}

async fn patiently(what: &str, check: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::time::timeout(PATIENCE, check).await.unwrap_or_else(|_| {
        let message = format!("the {what} did not answer within {} s", PATIENCE.as_secs());
        Err(Error::new(ErrorKind::DeadlineExceeded, "DEPENDENCY_SILENT", message))
    })
}

impl Readiness {
    /// Whether ingestion, query, administration and the whole can do their work. A full disk stops uploads and nothing
    /// else.
    fn verdict(&self) -> [(&'static str, bool); 4] {
        let full = |part: &Result<()>| part.as_ref().is_err_and(|error| error.kind() == ErrorKind::ResourceExhausted);
        let works = |part: &Result<()>| part.is_ok() || full(part);
        let room = !full(&self.objects) && !full(&self.vectors);
        let (database, objects, vectors, embedder) =
            (works(&self.database), works(&self.objects), works(&self.vectors), works(&self.embedder));
        [
            (INGESTION, database && objects && room),
            (QUERY, database && vectors && embedder),
            (ADMIN, database),
            ("", database && objects && vectors && embedder),
        ]
    }

    fn complaints(&self) -> impl Iterator<Item = (&'static str, &Error)> {
        [
            ("database", &self.database),
            ("objects", &self.objects),
            ("vectors", &self.vectors),
            ("embedder", &self.embedder),
            ("queue", &self.queue),
        ]
        .into_iter()
        .filter_map(|(what, part)| part.as_ref().err().map(|error| (what, error)))
    }
}

/// Keeps the health of the services up to date.
pub(crate) struct HealthWatch {
    reporter: HealthReporter,
    probe: Probe,
    every: Duration,
    last: [bool; 4],
}

impl HealthWatch {
    /// Nothing serves before the first look.
    pub(crate) async fn new(reporter: HealthReporter, probe: Probe, every: Duration) -> Self {
        let watch = Self { reporter, probe, every, last: [false; 4] };
        watch.nothing_serves().await;
        watch
    }

    /// Looks once, and reports.
    pub(crate) async fn look(&mut self) {
        let readiness = (self.probe)().await;
        let verdict = readiness.verdict();
        if verdict.map(|(_, serves)| serves) != self.last {
            for (dependency, error) in readiness.complaints() {
                tracing::warn!(dependency, reason = error.reason(), ?error, "dependency is not ready");
            }
        }
        for ((service, serves), last) in verdict.into_iter().zip(&mut self.last) {
            let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
            if serves != *last {
                tracing::info!(service = if service.is_empty() { "all" } else { service }, serves, "health changed");
                *last = serves;
                self.reporter.set_service_status(service, status).await;
            }
        }
    }

    /// Looks again and again; never ends.
    pub(crate) async fn keep_looking(mut self) {
        loop {
            tokio::time::sleep(self.every).await;
            self.look().await;
        }
    }

    async fn nothing_serves(&self) {
        nothing_serves(&self.reporter).await;
    }
}

/// Tells everybody who asks that no service works any more.
pub(crate) async fn nothing_serves(reporter: &HealthReporter) {
    for service in [INGESTION, QUERY, ADMIN, ""] {
        reporter.set_service_status(service, ServingStatus::NotServing).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Readiness {
        Readiness { database: Ok(()), objects: Ok(()), vectors: Ok(()), embedder: Ok(()), queue: Ok(()) }
    }

    fn down() -> Result<()> {
        Err(Error::unavailable("DOWN", "it is down"))
    }

    fn full() -> Result<()> {
        Err(Error::new(ErrorKind::ResourceExhausted, "STORAGE_FULL", "no room"))
    }

    fn serving(readiness: &Readiness) -> Vec<&'static str> {
        readiness.verdict().into_iter().filter(|(_, serves)| *serves).map(|(service, _)| service).collect()
    }

    #[test]
    fn each_service_depends_on_its_own_parts() {
        assert_eq!(serving(&ready()), [INGESTION, QUERY, ADMIN, ""]);
        assert_eq!(serving(&Readiness { database: down(), ..ready() }), Vec::<&str>::new());
        assert_eq!(serving(&Readiness { vectors: down(), ..ready() }), [INGESTION, ADMIN]);
        assert_eq!(serving(&Readiness { embedder: down(), ..ready() }), [INGESTION, ADMIN]);
        assert_eq!(serving(&Readiness { objects: down(), ..ready() }), [QUERY, ADMIN]);
        // Uploads are accepted without the broker: what is to be done stands in the database.
        assert_eq!(serving(&Readiness { queue: down(), ..ready() }), [INGESTION, QUERY, ADMIN, ""]);
    }

    #[test]
    fn a_full_disk_stops_uploads_only() {
        assert_eq!(serving(&Readiness { objects: full(), ..ready() }), [QUERY, ADMIN, ""]);
        assert_eq!(serving(&Readiness { vectors: full(), ..ready() }), [QUERY, ADMIN, ""]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_dependency_is_not_ready() {
        let error = patiently("database", futures::future::pending()).await.expect_err("silent");
        assert_eq!(error.reason(), "DEPENDENCY_SILENT");
    }
}
