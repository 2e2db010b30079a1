//! The servers that the tests use.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, Weak, mpsc},
    thread,
    time::Instant,
};

use qdrant_client::qdrant::{
    DeleteCollection, HealthCheckReply, HealthCheckRequest, ListCollectionsRequest, qdrant_client::QdrantClient,
};
use tempfile::TempDir;

use super::*;

/// The server to use; it is not stopped, and emptied of what a test wrote.
const URL: &str = "VECTRION_TEST_QDRANT_URL";
/// The key of that server.
const KEY: &str = "VECTRION_TEST_QDRANT_API_KEY";
/// A real server's program, for the tests that start and kill servers of their own.
const PROGRAM: &str = "VECTRION_TEST_QDRANT_PROGRAM";

/// Time that a server may take to be there.
const PATIENCE: Duration = Duration::from_secs(60);

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A server process of the test's own, killed when this is dropped.
pub(super) struct Process {
    child: Child,
    pub(super) port: u16,
}

impl Process {
    /// Starts a server that keeps its data in `directory`, on a free port unless one is given.
    pub(super) fn start(directory: &Path, port: Option<u16>, api_key: &str, tls: Option<(&Path, &Path)>) -> Self {
        match environment(PROGRAM) {
            Some(program) => Self::start_real(&program, directory, port, api_key, tls),
            None => Self::start_stand_in(directory, port, api_key, tls),
        }
    }

    fn start_stand_in(directory: &Path, port: Option<u16>, api_key: &str, tls: Option<(&Path, &Path)>) -> Self {
        let mut command = Command::new(stand_in());
        command.arg(directory).arg(format!("127.0.0.1:{}", port.unwrap_or(0))).env("QDRANT_STANDIN_API_KEY", api_key);
        if let Some((certificate, key)) = tls {
            command.arg("--tls").arg(certificate).arg(key);
        }
        // It ends with its input, should this process be killed.
        command.arg("--until-stdin-ends").stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the stand-in starts");
        let (lines, line) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        // Read to the end, so that the stand-in never waits for somebody to read.
        thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(lines.send(line))));
        let line = line.recv_timeout(PATIENCE).expect("the stand-in says where it is");
        println!("{line}");
        let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        Self { child, port: port.expect("a port") }
    }

    fn start_real(
        program: &str,
        directory: &Path,
        port: Option<u16>,
        api_key: &str,
        tls: Option<(&Path, &Path)>,
    ) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = port.unwrap_or_else(free);
        std::fs::create_dir_all(directory).expect("a directory");
        let mut command = Command::new(program);
        command
            .current_dir(directory)
            .env("QDRANT__SERVICE__HOST", "127.0.0.1")
            .env("QDRANT__SERVICE__GRPC_PORT", port.to_string())
            .env("QDRANT__SERVICE__HTTP_PORT", free().to_string())
            .env("QDRANT__STORAGE__STORAGE_PATH", directory.join("storage"))
            .env("QDRANT__STORAGE__SNAPSHOTS_PATH", directory.join("snapshots"))
            .env("QDRANT__TELEMETRY_DISABLED", "true");
        if !api_key.is_empty() {
            command.env("QDRANT__SERVICE__API_KEY", api_key);
        }
        if let Some((certificate, key)) = tls {
            command
                .env("QDRANT__SERVICE__ENABLE_TLS", "true")
                .env("QDRANT__TLS__CERT", certificate)
                .env("QDRANT__TLS__KEY", key)
                .env("QDRANT__TLS__CA_CERT", certificate);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        println!("{program}: a server of its own on port {port}");
        let process = Self { child: child.expect("the server starts"), port };
        let begin = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < PATIENCE, "{program} does not listen");
            thread::sleep(Duration::from_millis(50));
        }
        process
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Kills the server, which must still run.
    pub(super) fn kill(mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the server ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The stand-in's program, which the build of the workspace makes.
fn stand_in() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join("qdrant-standin");
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

/// A server, and the indexes that a test opened on it.
pub(super) struct TestServer {
    url: String,
    api_key: SecretString,
    opened: Mutex<Vec<String>>,
    /// Keeps the shared server while it is in use.
    _shared: Option<Arc<Shared>>,
}

/// A server that the tests of this process share.
struct Shared {
    process: Process,
    _directory: TempDir,
}

static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

impl TestServer {
    /// The server of the environment, or the stand-in that all tests of this process share.
    pub(super) async fn shared() -> Self {
        let server = Self::find();
        let index = server.open(QdrantSettings::default());
        let asked = QdrantClient::new(index.connection.channel()).health_check(HealthCheckRequest {}).await;
        let HealthCheckReply { title, version, .. } = asked.expect("it answers").into_inner();
        println!("{}: {title}, version {version}", server.url);
        server
    }

    fn find() -> Self {
        if let Some(url) = environment(URL) {
            return Self::new(&url, &environment(KEY).unwrap_or_default(), None);
        }
        println!("{URL} is not set: the tests start a server of their own");
        let mut shared = SHARED.lock().unwrap();
        let running = shared.upgrade().unwrap_or_else(|| {
            let directory = vectrion_testkit::temporary_directory();
            Arc::new(Shared { process: Process::start(directory.path(), None, "", None), _directory: directory })
        });
        *shared = Arc::downgrade(&running);
        Self::new(&running.process.url(), "", Some(running))
    }

    /// A server of the test's own.
    pub(super) fn of(process: &Process) -> Self {
        Self::new(&process.url(), "", None)
    }

    fn new(url: &str, api_key: &str, shared: Option<Arc<Shared>>) -> Self {
        Self { url: url.to_owned(), api_key: api_key.into(), opened: Mutex::default(), _shared: shared }
    }

    /// An index with nothing in it.
    pub(super) fn index(&self) -> QdrantIndex {
        self.index_with(QdrantSettings::default())
    }

    /// An index with nothing in it.
    pub(super) fn index_with(&self, settings: QdrantSettings) -> QdrantIndex {
        let prefix = format!("test_{}", Uuid::now_v7().as_simple());
        self.opened.lock().unwrap().push(prefix.clone());
        self.open(QdrantSettings { prefix, ..settings })
    }

    /// Another index on what `index` holds, as another process would have it.
    pub(super) fn index_beside(&self, index: &QdrantIndex) -> QdrantIndex {
        self.open(index.settings.clone())
    }

    /// The same with other settings.
    pub(super) fn index_beside_with(&self, index: &QdrantIndex, settings: QdrantSettings) -> QdrantIndex {
        self.open(QdrantSettings { prefix: index.settings.prefix.clone(), ..settings })
    }

    fn open(&self, settings: QdrantSettings) -> QdrantIndex {
        QdrantIndex::open(&self.url, &self.api_key, &settings).unwrap()
    }

    /// The URL with a prefix in it.
    pub(super) fn url_with(&self, prefix: &str) -> String {
        self.opened.lock().unwrap().push(prefix.to_owned());
        format!("{}/{prefix}", self.url)
    }

    /// The names of the collections of an index.
    pub(super) async fn collections_of(&self, index: &QdrantIndex) -> Vec<String> {
        let listed = index.connection.collections().list(ListCollectionsRequest {}).await.unwrap();
        let names = listed.into_inner().collections.into_iter().map(|collection| collection.name);
        names.filter(|name| name.starts_with(&index.settings.prefix)).collect()
    }

    /// Removes what the test wrote, unless the server goes away by itself.
    pub(super) async fn clean(&self) {
        let prefixes = self.opened.lock().unwrap().clone();
        for prefix in prefixes {
            let index = self.open(QdrantSettings { prefix, ..QdrantSettings::default() });
            for collection_name in self.collections_of(&index).await {
                let delete = DeleteCollection { collection_name, timeout: None };
                index.connection.collections().delete(delete).await.unwrap();
            }
        }
    }
}
