//! The program itself, as a process.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::{Client, PATIENCE};

/// A program that this build made, such as `vectrion` or `examples/ask`.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test runs from a file");
    let path = own.ancestors().nth(2).expect("the target directory").join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --bins --examples` first", path.display());
    path
}

/// The command line, with nothing of this process's settings but where the assets are.
pub fn vectrion() -> Command {
    let mut command = Command::new(program("vectrion"));
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"VECTRION_") {
            command.env_remove(name);
        }
    }
    command.env_remove("FAILPOINTS").env("VECTRION_ASSETS_DIR", vectrion_testkit::assets_dir());
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What a command said, and how it ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Each line of the output as JSON.
    pub fn json(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        self.out.lines().map(parse).collect()
    }
}

/// Runs a command to its end.
pub async fn run(command: &mut Command) -> Ended {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A server in a process of its own. It is killed when this is dropped.
pub struct Process {
    pub url: String,
    data: PathBuf,
    child: Child,
    log: Arc<Mutex<String>>,
    /// Kept open, so that the server can go on printing.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts on a data directory and waits until it is ready.
    pub async fn start(data: &Path, settings: &[&str], failpoints: &str) -> Self {
        match Self::try_start(data, settings, failpoints).await {
            Ok(process) => process,
            Err((status, log)) => panic!("the server did not start: {status}\n{log}"),
        }
    }

    /// The same; if it ends before it is ready, the status and the log.
    pub async fn try_start(data: &Path, settings: &[&str], failpoints: &str) -> Result<Self, (ExitStatus, String)> {
        let mut command = vectrion();
        command.args(["serve", "--data-dir"]).arg(data).args(["--set", "server.listen=127.0.0.1:0"]);
        command.args(["--set", "worker.poll_ms=200", "--set", "ingest.retry_base_ms=50"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        if !failpoints.is_empty() {
            command.env("FAILPOINTS", failpoints);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let mut errors = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let into = Arc::clone(&log);
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = errors.next_line().await {
                let mut log = into.lock().expect("no panic");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = tokio::time::timeout(PATIENCE, output.next_line()).await.expect("it says something").expect("UTF-8");
        let Some(url) = line.as_deref().and_then(|line| line.strip_prefix("vectrion is ready on ")) else {
            let status = child.wait().await.expect("a status");
            reading.await.expect("no panic");
            return Err((status, log.lock().expect("no panic").clone()));
        };
        Ok(Self { url: url.to_owned(), data: data.to_owned(), child, log, _output: output })
    }

    /// Secret of the operator's key.
    pub fn operator_key(&self) -> String {
        vectrion_runtime::data_dir::read_admin_key(&self.data).expect("admin.key")
    }

    /// A client with the operator's key.
    pub async fn operator(&self) -> Client {
        Client::connect(&self.url, &self.operator_key()).await
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    /// Its status, when it ends by itself.
    pub async fn end(&mut self) -> ExitStatus {
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.expect("a status"),
            Err(_) => panic!("the process goes on\n{}", self.log()),
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().expect("it runs")).expect("an id");
        kill(Pid::from_raw(id), signal).expect("a signal");
    }

    /// Asks it to end, as an operator does, and gives its status.
    pub async fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.end().await
    }
}
