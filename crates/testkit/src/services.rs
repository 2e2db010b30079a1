//! Services that tests use: shared ones, found by a variable, and private ones, to be killed.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// The address of a service in this variable, such as `VECTRION_TEST_AMQP_URL`; `scripts/services/all` starts them. None,
/// said on standard error: the test has nothing to run on.
///
/// # Panics
/// Without an address when `VECTRION_TEST_SERVICES` is `required`.
#[must_use]
pub fn address(variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok().filter(|address| !address.is_empty());
    if found.is_none() {
        let required = std::env::var("VECTRION_TEST_SERVICES").is_ok_and(|value| value == "required");
        assert!(!required, "{variable} is not set: start the services with `scripts/services/all start DIR`");
        eprintln!("skipped: {variable} is not set");
    }
    found
}

/// A service of one test. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    directory: TempDir,
    url: String,
}

impl Service {
    /// Starts the service of this name in `scripts/services` and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(name: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let url = run(name, "start", directory.path());
        Self { name, directory, url }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Kills it with all its processes, as a power cut does.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends a signal to all its processes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        let text = std::fs::read_to_string(self.directory.path().join("pid")).expect("it was started");
        let pid: i32 = text.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("a process id");
        kill(Pid::from_raw(-pid), signal).expect("it runs");
    }

    /// Starts it again, at the same address and with its data, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        assert_eq!(run(self.name, "start", self.directory.path()), self.url, "it keeps its address");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = script(self.name).arg("stop").arg(self.directory.path()).stdout(Stdio::null()).status();
    }
}

fn script(name: &str) -> Command {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "scripts", "services", name].iter().collect();
    Command::new(path)
}

/// Runs a script and gives the first address that it prints, as `export NAME=ADDRESS`.
fn run(name: &str, action: &str, directory: &Path) -> String {
    let output = script(name).arg(action).arg(directory).output().expect("the script runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {action}: {err}");
    let address = out.lines().find_map(|line| line.strip_prefix("export ")?.split_once('=')).map(|(_, url)| url);
    address.unwrap_or_else(|| panic!("{name} {action} printed no address: {out}")).trim_matches(['\'', '"']).to_owned()
}
