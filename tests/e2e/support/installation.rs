//! An installation of either profile: the server as a process, and on the distributed profile a worker beside it.

use std::process::Stdio;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use super::{
    Client, Home, PATIENCE, Process,
    process::{program, run, vectrion},
};

/// A server, and whatever belongs to it.
pub struct Installation {
    /// `embedded` or `distributed`.
    pub profile: &'static str,
    pub server: Process,
    worker: Option<Child>,
    home: Home,
}

impl Installation {
    /// One of each profile with these settings; the distributed one if there are services to test on.
    pub async fn of_each_profile(settings: &[String]) -> Vec<Self> {
        let mut all = vec![Self::start("embedded", Home::embedded(), settings).await];
        if let Some(home) = Home::distributed().await {
            all.push(Self::start("distributed", home, settings).await);
        }
        all
    }

    async fn start(profile: &'static str, home: Home, more: &[String]) -> Self {
        let mut settings: Vec<String> =
            home.settings().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        if home.is_distributed() {
            settings.extend(["worker.lease_s=4", "metrics.listen="].map(str::to_owned));
            let mut migrate = vectrion();
            migrate.arg("migrate").args(set(&settings));
            assert_eq!(run(&mut migrate).await.code, Some(0));
        }
        settings.extend(more.iter().cloned());
        let all: Vec<&str> = settings.iter().map(String::as_str).collect();
        let server = Process::start(home.path(), &all, "").await;
        let worker = home.is_distributed().then(|| worker(&home, &settings));
        Self { profile, server, worker, home }
    }

    /// A client with the operator's key.
    pub async fn operator(&self) -> Client {
        self.server.operator().await
    }

    /// Ids of the processes that run jobs.
    pub fn workers(&self) -> Vec<u32> {
        self.worker.as_ref().map_or_else(|| self.server.id(), Child::id).into_iter().collect()
    }

    /// Ends all of it in an orderly way.
    pub async fn end(mut self) {
        if let Some(mut worker) = self.worker.take() {
            let id = i32::try_from(worker.id().expect("it runs")).expect("an id");
            kill(Pid::from_raw(id), Signal::SIGTERM).expect("a signal");
            let status = tokio::time::timeout(PATIENCE, worker.wait()).await.expect("it ends").expect("a status");
            assert_eq!(status.code(), Some(0), "the worker: {status}");
        }
        assert_eq!(self.server.terminate().await.code(), Some(0));
        drop(self.home);
    }
}

/// A worker, killed when it is dropped.
fn worker(home: &Home, settings: &[String]) -> Child {
    let mut command = Command::new(program("vectrion-worker"));
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"VECTRION_") {
            command.env_remove(name);
        }
    }
    command.env_remove("FAILPOINTS").env("VECTRION_ASSETS_DIR", vectrion_testkit::assets_dir());
    command.arg("--data-dir").arg(home.path().join("workers"));
    command.args(["--set", "worker.poll_ms=200", "--set", "ingest.retry_base_ms=50"]).args(set(settings));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("the worker starts")
}

fn set(settings: &[String]) -> Vec<&str> {
    settings.iter().flat_map(|setting| ["--set", setting.as_str()]).collect()
}
