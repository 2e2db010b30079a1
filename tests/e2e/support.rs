//! A server in this process with a data directory of its own, and clients of it.

pub mod client;
pub mod process;
pub mod shared;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Once},
    time::Duration,
};

use tempfile::TempDir;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use vectrion_runtime::{App, Config, Sources};
use vectrion_server::{Server, ServerInfo, UseCases};

pub use self::{client::Client, process::Process};

/// Longest time that anything in a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. [`TestApp::stop`] ends it and checks that no work is left.
pub struct TestApp {
    pub app: App,
    pub url: String,
    data: TempDir,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), vectrion_server::ServeError>>,
    background: JoinSet<()>,
}

impl TestApp {
    /// The embedded profile.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The embedded profile with some settings changed.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), settings).await
    }

    /// The same, on a data directory that is there already.
    pub async fn start_in(data: TempDir, settings: &[(&str, &str)]) -> Self {
        install_crypto();
        let config = config(data.path(), settings);
        let app = App::start(&config).await.expect("the app starts");
        let use_cases = UseCases {
            ingestion: Arc::clone(&app.ingestion),
            queries: Arc::clone(&app.queries),
            administration: Arc::clone(&app.administration),
            identity: Arc::clone(&app.identity),
            ports: Arc::clone(&app.ports),
        };
        let info = ServerInfo {
            backends: app.kinds.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect(),
            content_types: app.content_types(),
        };
        let settings = config.section("server").expect("the server's settings");
        let server = Server::bind(settings, use_cases, info).await.expect("the server binds");
        let url = server.url();
        let stop = CancellationToken::new();
        let background = app.run_background(&stop);
        let serving = tokio::spawn(server.serve(stop.clone()));
        Self { app, url, data, stop, serving, background }
    }

    /// Secret of the operator's key of the tenant `default`.
    pub fn operator_key(&self) -> String {
        vectrion_runtime::data_dir::read_admin_key(self.data.path()).expect("admin.key")
    }

    /// A client with the operator's key.
    pub async fn operator(&self) -> Client {
        Client::connect(&self.url, &self.operator_key()).await
    }

    /// A client with a new key of this role, of a tenant (empty: `default`).
    pub async fn client(&self, tenant: &str, role: vectrion::v1::Role) -> Client {
        let secret = self.operator().await.create_key(tenant, role).await;
        Client::connect(&self.url, &secret).await
    }

    /// Files below the directory of objects.
    pub fn objects(&self) -> Vec<PathBuf> {
        objects(self.data.path())
    }

    /// Stops the server as SIGTERM does, checks that no job is left over, and gives the data directory back.
    pub async fn stop(mut self) -> TempDir {
        let idle = async {
            loop {
                let depths = self.app.ports.jobs.queue_depths().await.expect("the queues");
                if depths.iter().all(|depth| depth.ready + depth.delayed + depth.running == 0) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, idle).await.expect("no job is left");
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.serving)
            .await
            .expect("the server ends")
            .expect("it does not panic")
            .expect("it ends well");
        while self.background.join_next().await.is_some() {}
        self.app.close().await;
        self.data
    }
}

/// Files below the directory of objects of a data directory.
pub fn objects(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![data.join("objects")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
        .retain(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.') && name != "lock"));
    found
}

/// The configuration of a test: nothing from the environment but where the assets are.
pub fn config(data: &Path, settings: &[(&str, &str)]) -> Config {
    let mut overrides = vec![
        ("data_dir".to_owned(), data.display().to_string()),
        ("assets_dir".to_owned(), vectrion_testkit::assets_dir().display().to_string()),
        ("server.listen".to_owned(), "127.0.0.1:0".to_owned()),
        ("worker.poll_ms".to_owned(), "200".to_owned()),
        ("ingest.retry_base_ms".to_owned(), "50".to_owned()),
    ];
    overrides.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    Config::load(&Sources { file: None, environment: Vec::new(), overrides }).expect("a valid configuration")
}

/// Two TLS providers are linked; the first use of one without a choice panics.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider().install_default().expect("no provider was installed before");
    });
}

/// A sample document of the project.
pub fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/documents").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
