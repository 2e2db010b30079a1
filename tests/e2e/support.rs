//! A server in this process with a data directory of its own, and clients of it. On the distributed profile a worker runs
//! beside it, on services that they share.

pub mod client;
mod database;
pub mod fleet;
mod home;
pub mod installation;
pub mod process;
pub mod restorable;
pub mod shared;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Once},
    time::Duration,
};

use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use vectrion_core::ports::objects::ObjectKey;
use vectrion_runtime::{App, Config, Sources, Worker};
use vectrion_server::{Server, ServerInfo, UseCases};

pub use self::{client::Client, home::Home, process::Process};

/// Longest time that anything in a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. [`TestApp::stop`] ends it and checks that no work is left.
pub struct TestApp {
    pub app: App,
    pub url: String,
    home: Home,
    worker: Option<Worker>,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), vectrion_server::ServeError>>,
    background: JoinSet<()>,
}

impl TestApp {
    /// The profile of this run, with its defaults.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with some settings changed.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_in(Home::new().await, settings).await
    }

    /// The same, on a data directory that is there already.
    pub async fn start_in(home: Home, settings: &[(&str, &str)]) -> Self {
        install_crypto();
        let services = home.settings();
        let services = services.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let settings: Vec<_> = services.chain(settings.iter().copied()).collect();
        let config = config(home.path(), &settings);
        if home.is_distributed() {
            vectrion_runtime::migrate(&config).await.expect("the database is brought up to date");
        }
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
        let mut background = app.run_background(&stop);
        let mut worker = None;
        if home.is_distributed() {
            let started = Worker::start(&config).await.expect("the worker starts");
            let mut tasks = started.run(&stop);
            background.spawn(async move { while tasks.join_next().await.is_some() {} });
            worker = Some(started);
        }
        let serving = tokio::spawn(server.serve(stop.clone()));
        Self { app, url, home, worker, stop, serving, background }
    }

    /// Secret of the operator's key of the tenant `default`.
    pub fn operator_key(&self) -> String {
        vectrion_runtime::data_dir::read_admin_key(self.home.path()).expect("admin.key")
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

    /// Keys of all objects; on the embedded profile also what else is in their directory.
    pub async fn objects(&self) -> Vec<String> {
        if !self.home.is_distributed() {
            return objects(self.home.path()).iter().map(|path| path.display().to_string()).collect();
        }
        let mut keys = Vec::new();
        for prefix in ["tenants/", "removals/"] {
            let found = self.app.ports.objects.list(&ObjectKey::from_listing(prefix.to_owned())).await;
            keys.extend(found.expect("a listing").into_iter().map(|object| object.key.as_str().to_owned()));
        }
        keys
    }

    /// Where it keeps its data.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Stops the server as SIGTERM does, checks that no job is left over, and gives the data directory back.
    pub async fn stop(mut self) -> Home {
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
        if let Some(worker) = self.worker {
            worker.close().await;
        }
        self.app.close().await;
        self.home
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
