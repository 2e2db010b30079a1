//! Servers that are one installation: everything that they keep is on services that they share.

use std::sync::Mutex;

use tempfile::TempDir;
use vectrion_testkit::services;

use super::{
    Client, Process,
    process::{run, vectrion},
    shared::Shared,
};

/// An installation, with a database, queues, objects and vectors of its own.
pub struct Fleet {
    pub shared: Shared,
    settings: Vec<String>,
    data: Mutex<Vec<TempDir>>,
}

impl Fleet {
    /// A new one, with its tables; none if there are no services to test on.
    pub async fn new() -> Option<Self> {
        let shared = Shared::new().await?;
        Self::over(shared).await
    }

    /// The same, on this database and queue.
    pub async fn over(shared: Shared) -> Option<Self> {
        let vectors = services::address("VECTRION_TEST_QDRANT_URL")?;
        let objects = services::address("VECTRION_TEST_S3_URL")?;
        let mut settings = shared.settings();
        settings.push(format!("vectors.url={vectors}/{}", shared.prefix()));
        if let Ok(key) = std::env::var("VECTRION_TEST_QDRANT_API_KEY") {
            settings.push(format!("vectors.api_key={key}"));
        }
        // http://KEY:SECRET@HOST:PORT/BUCKET
        let (scheme, rest) = objects.split_once("://").expect("a URL");
        let (user, place) = rest.split_once('@').expect("a key and a secret");
        let (key, secret) = user.split_once(':').expect("a secret");
        let (host, bucket) = place.split_once('/').expect("a bucket");
        settings.push(format!("objects.url=s3://{bucket}/{}", shared.prefix()));
        settings.push(format!("objects.endpoint={scheme}://{host}"));
        settings.push(format!("objects.access_key_id={key}"));
        settings.push(format!("objects.secret_access_key={secret}"));
        settings.push(format!("objects.allow_http={}", scheme == "http"));
        // What a killed process held comes back soon: on a shared database nobody knows that it is dead.
        settings.push("worker.lease_s=2".to_owned());

        let mut command = vectrion();
        command.arg("migrate");
        for setting in &settings {
            command.args(["--set", setting]);
        }
        let migrated = run(&mut command).await;
        assert_eq!(migrated.code, Some(0), "{}", migrated.err);
        Some(Self { shared, settings, data: Mutex::default() })
    }

    /// Starts a server.
    pub async fn server(&self, more: &[&str], failpoints: &str) -> Process {
        let data = tempfile::tempdir().expect("a directory");
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let process = Process::start(data.path(), &settings, failpoints).await;
        self.data.lock().expect("no panic").push(data);
        process
    }

    /// A client of a server, with the key of the operator, which the first server made.
    pub async fn client(&self, server: &Process) -> Client {
        self.client_at(&server.url).await
    }

    /// The same, at this address.
    pub async fn client_at(&self, url: &str) -> Client {
        let key = {
            let data = self.data.lock().expect("no panic");
            let first = data.first().expect("a server was started");
            vectrion_runtime::data_dir::read_admin_key(first.path()).expect("admin.key")
        };
        Client::connect(url, &key).await
    }
}
