//! Where a server keeps its data: a directory, and on the distributed profile its part of the services.

use std::path::Path;

use tempfile::TempDir;
use vectrion_testkit::services;

use super::database::{Database, PEPPER};

/// Names the profile on which the suite runs: `embedded` (the default) or `distributed`.
const PROFILE: &str = "VECTRION_TEST_PROFILE";

/// Whether the suite runs on the distributed profile.
pub fn is_distributed() -> bool {
    match std::env::var(PROFILE).as_deref() {
        Err(_) | Ok("embedded") => false,
        Ok("distributed") => true,
        Ok(other) => panic!("{PROFILE}={other}: neither `embedded` nor `distributed`"),
    }
}

/// A data directory, and what belongs to it elsewhere.
pub struct Home {
    directory: TempDir,
    installation: Option<Installation>,
}

impl Home {
    /// A new one, on the profile of this run.
    pub async fn new() -> Self {
        let installation = if is_distributed() { Some(Installation::new().await) } else { None };
        Self { directory: tempfile::tempdir().expect("a directory"), installation }
    }

    /// A new one, on the embedded profile whatever this run is on.
    pub fn embedded() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory"), installation: None }
    }

    /// A new one, on the distributed profile whatever this run is on. None if there are no services to test on.
    pub async fn distributed() -> Option<Self> {
        let installation = Installation { database: Database::new().await? };
        Some(Self { installation: Some(installation), ..Self::embedded() })
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Whether workers are apart from servers.
    pub fn is_distributed(&self) -> bool {
        self.installation.is_some()
    }

    /// Its database; none on the embedded profile, where it is a file of the data directory.
    pub fn database(&self) -> Option<&Database> {
        self.installation.as_ref().map(|installation| &installation.database)
    }

    /// Settings that name the services; none on the embedded profile.
    pub fn settings(&self) -> Vec<(String, String)> {
        self.installation.as_ref().map(Installation::settings).unwrap_or_default()
    }
}

/// An installation's own part of PostgreSQL, RabbitMQ, Redis, S3 and the vector server.
struct Installation {
    database: Database,
}

impl Installation {
    async fn new() -> Self {
        let database = Database::new().await;
        Self { database: database.unwrap_or_else(|| panic!("{PROFILE}=distributed needs services")) }
    }

    fn settings(&self) -> Vec<(String, String)> {
        let name = &self.database.name;
        let s3 = address("VECTRION_TEST_S3_URL");
        // scheme://key:secret@host:port/bucket
        let (scheme, rest) = s3.split_once("://").expect("a URL");
        let (user, place) = rest.split_once('@').expect("a key");
        let (key, secret) = user.split_once(':').expect("a key and its secret");
        let (host, bucket) = place.split_once('/').expect("a bucket");
        let settings = [
            ("database.url", self.database.url.clone()),
            ("auth.pepper", PEPPER.to_owned()),
            ("queue.url", address("VECTRION_TEST_AMQP_URL")),
            ("queue.prefix", name.clone()),
            ("vectors.url", format!("{}/{name}", address("VECTRION_TEST_QDRANT_URL"))),
            ("vectors.api_key", std::env::var("VECTRION_TEST_QDRANT_API_KEY").unwrap_or_default()),
            ("objects.url", format!("s3://{bucket}/{name}")),
            ("objects.endpoint", format!("{scheme}://{host}")),
            ("objects.access_key_id", key.to_owned()),
            ("objects.secret_access_key", secret.to_owned()),
            ("objects.allow_http", "true".to_owned()),
            ("cache.url", format!("{}?prefix={name}", address("VECTRION_TEST_REDIS_URL"))),
            ("worker.in_process", "false".to_owned()),
        ];
        settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

fn address(variable: &str) -> String {
    services::address(variable).unwrap_or_else(|| panic!("{PROFILE}=distributed needs {variable}"))
}
