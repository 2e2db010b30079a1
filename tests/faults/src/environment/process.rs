//! A server or a worker as a process.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::RngExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Longest time that a process takes to become ready.
const START: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Server,
    Worker,
}

/// A process of the installation. It is killed when this is dropped.
pub struct Process {
    pub kind: Kind,
    pub name: String,
    /// Address of the server's interface.
    pub url: String,
    /// Settings that this process has beside those of the installation.
    pub settings: Vec<String>,
    metrics: String,
    data: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// One that does not run yet, with its files in a directory and ports that are free.
    pub fn new(kind: Kind, name: &str, directory: &Path) -> Result<Self> {
        let (url, metrics) = (format!("127.0.0.1:{}", free_port()?), format!("127.0.0.1:{}", free_port()?));
        let mut process = Self {
            kind,
            name: name.to_owned(),
            settings: Vec::new(),
            url: String::new(),
            metrics,
            data: directory.join(name),
            log: directory.join(format!("{name}.log")),
            child: None,
        };
        if kind == Kind::Server {
            process.url = format!("http://{url}");
        }
        Ok(process)
    }

    /// Takes another directory for its data.
    pub fn move_to(&mut self, data: PathBuf) {
        self.data = data;
    }

    /// Starts it; the failpoints and variables are for this time.
    pub fn spawn(&mut self, installation: &[String], failpoints: &str, variables: &[(&str, String)]) -> Result<()> {
        let mut command = match self.kind {
            Kind::Server => program("vectrion", &["serve"])?,
            Kind::Worker => program("vectrion-worker", &[])?,
        };
        command.arg("--data-dir").arg(&self.data);
        let mut own = vec![format!("metrics.listen={}", self.metrics)];
        if self.kind == Kind::Server {
            own.push(format!("server.listen={}", self.url.trim_start_matches("http://")));
        }
        for setting in installation.iter().chain(&own).chain(&self.settings) {
            command.args(["--set", setting]);
        }
        if !failpoints.is_empty() {
            command.env("FAILPOINTS", failpoints);
        }
        command.envs(variables.iter().map(|(name, value)| (*name, value)));
        let log = File::options().create(true).append(true).open(&self.log)?;
        command.stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("{} cannot be started", self.name))?);
        Ok(())
    }

    /// Waits until it says that it is ready, and tells how long that took.
    pub async fn wait_ready(&mut self, within: Duration) -> Result<Duration> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                bail!("{} ended ({status}) before it was ready\n{}", self.name, self.log_tail());
            }
            if self.is_ready().await {
                return Ok(start.elapsed());
            }
            if start.elapsed() > within {
                bail!("{} is not ready after {within:?}: {}\n{}", self.name, self.health().await, self.log_tail());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&mut self, installation: &[String]) -> Result<()> {
        self.spawn(installation, "", &[])?;
        self.wait_ready(START).await.map(drop)
    }

    /// Whether it is ready by its own word.
    pub async fn is_ready(&self) -> bool {
        self.health().await.starts_with("ok")
    }

    /// What `/healthz` says.
    pub async fn health(&self) -> String {
        match tokio::time::timeout(Duration::from_secs(10), http_get(&self.metrics, "/healthz")).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => format!("no answer: {error}"),
            Err(_) => "no answer in 10 s".to_owned(),
        }
    }

    pub fn pid(&self) -> Option<i32> {
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.name))?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { bail!("{} does not run", self.name) };
        Ok(child.try_wait()?)
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.ended(), Ok(None))
    }

    /// Waits until it ends by itself.
    pub async fn end(&mut self, within: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                self.child = None;
                return Ok(status);
            }
            if start.elapsed() > within {
                bail!("{} goes on after {within:?}\n{}", self.name, self.log_tail());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Asks it to end, as an operator does.
    pub async fn terminate(&mut self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.end(within).await
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        self.pid().map_or(0, resident)
    }

    /// Files and sockets that it has open.
    pub fn descriptors(&self) -> usize {
        self.pid().and_then(|pid| std::fs::read_dir(format!("/proc/{pid}/fd")).ok()).map_or(0, Iterator::count)
    }

    /// Secret of the operator's key.
    pub fn operator_key(&self) -> Result<String> {
        let path = self.data.join("admin.key");
        Ok(std::fs::read_to_string(&path).with_context(|| path.display().to_string())?.trim().to_owned())
    }

    /// All of its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What its log complained of last, and its very end.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let (before, end) = lines.split_at(lines.len().saturating_sub(2));
        let complaints: Vec<&str> =
            before.iter().copied().filter(|line| !line.contains("  INFO ") && !line.contains(" DEBUG ")).collect();
        let shown = complaints[complaints.len().saturating_sub(8)..].iter().chain(end);
        shown.map(|line| format!("{line:.600}\n")).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.kill();
    }
}

/// Resident memory of a process in bytes; 0 if it is gone.
pub fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// A program of this build, with nothing of this process's settings but where the assets are.
pub fn program(name: &str, arguments: &[&str]) -> Result<Command> {
    let own = std::env::current_exe()?;
    let path = own.with_file_name(name);
    if !path.is_file() {
        bail!("{} is missing: run `cargo build --workspace --bins --tests --examples` first", path.display());
    }
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"VECTRION_") {
            command.env_remove(name);
        }
    }
    command.env_remove("FAILPOINTS").env("VECTRION_ASSETS_DIR", vectrion_testkit::assets_dir());
    command.args(arguments).stdin(Stdio::null());
    Ok(command)
}

/// Below those that the system gives to whoever asks for any: a process finds its port free when it is started again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

fn free_port() -> Result<u16> {
    for _ in 0..1000 {
        let port = rand::rng().random_range(PORTS);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port of {PORTS:?} is free")
}

/// The body of a response.
pub async fn http_get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response.split_once("\r\n\r\n").context("no response")?.1.to_owned())
}
