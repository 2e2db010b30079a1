//! PostgreSQL, RabbitMQ, Redis, an S3 server and a vector index of this run alone.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use vectrion_testkit::services::Service;

/// The vector index: started here, or one that the caller has.
enum Index {
    Own(Service),
    Given { url: String, key: String },
}

/// The services of a run.
pub struct Services {
    pub postgres: Service,
    pub rabbitmq: Service,
    pub redis: Service,
    pub s3: Service,
    index: Index,
}

impl Services {
    /// Starts them all at once.
    pub async fn start() -> Result<Self> {
        let start = |name| tokio::task::spawn_blocking(move || Service::start(name));
        let index = async {
            match std::env::var("VECTRION_TEST_QDRANT_URL").ok().filter(|url| !url.is_empty()) {
                Some(url) => {
                    let key = std::env::var("VECTRION_TEST_QDRANT_API_KEY").unwrap_or_default();
                    Ok(Index::Given { url, key })
                }
                None => start("qdrant").await.map(Index::Own),
            }
        };
        let (postgres, rabbitmq, redis, s3, index) =
            tokio::try_join!(start("postgres"), start("rabbitmq"), start("redis"), start("s3"), index)
                .context("a service does not start")?;
        Ok(Self { postgres, rabbitmq, redis, s3, index })
    }

    /// What the vector index is, for the report.
    pub fn index_name(&self) -> String {
        match &self.index {
            Index::Own(_) => "stand-in of a Qdrant server".to_owned(),
            Index::Given { url, .. } => format!("Qdrant server at {url}"),
        }
    }

    /// Address of the vector index, and the key that it asks for.
    pub fn index(&self) -> (&str, &str) {
        match &self.index {
            Index::Own(service) => {
                (service.url(), service.exported("VECTRION_TEST_QDRANT_API_KEY").unwrap_or_default())
            }
            Index::Given { url, key } => (url, key),
        }
    }

    /// The vector index, if it can be killed.
    pub fn own_index(&self) -> Option<&Service> {
        match &self.index {
            Index::Own(service) => Some(service),
            Index::Given { .. } => None,
        }
    }

    /// The directory in which the S3 server keeps the objects of a bucket.
    pub fn bucket(&self) -> PathBuf {
        self.s3.directory().join("data/vectrion")
    }

    /// Undoes what a fault may have left: processes that stand still go on, those that are dead are started again.
    pub async fn mend(&self) -> Result<()> {
        for service in [&self.postgres, &self.rabbitmq, &self.redis, &self.s3].into_iter().chain(self.own_index()) {
            start_again(service)?;
        }
        Ok(())
    }
}

/// Starts a service that may be dead, or stand still. It blocks until the service is ready.
pub fn start_again(service: &Service) -> Result<()> {
    tokio::task::block_in_place(|| {
        service.signal_if_running(Signal::SIGCONT);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| service.start_again()))
    })
    .map_err(|panic| anyhow::anyhow!("a service does not start again: {}", crate::report::panic_text(&panic)))
}
