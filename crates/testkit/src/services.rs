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
    exported: Vec<(String, String)>,
}

impl Service {
    /// Starts the service of this name in `scripts/services` and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(name: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let exported = run(name, "start", directory.path());
        Self { name, directory, exported }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.exported[0].1
    }

    /// What its script printed under this name, such as `VECTRION_TEST_QDRANT_API_KEY`.
    #[must_use]
    pub fn exported(&self, variable: &str) -> Option<&str> {
        self.exported.iter().find(|(name, _)| name == variable).map(|(_, value)| value.as_str())
    }

    /// Where its data and its log are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Kills it with all its processes, as a power cut does.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends a signal to all its processes, those that left its group too.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        assert!(self.signal_if_running(signal), "it runs");
    }

    /// The same, and whether it runs.
    pub fn signal_if_running(&self, signal: Signal) -> bool {
        let text = std::fs::read_to_string(self.directory.path().join("pid")).unwrap_or_default();
        let Some(pid) = text.split_whitespace().next().and_then(|pid| pid.parse().ok()) else { return false };
        let descendants = descendants(pid);
        let found = kill(Pid::from_raw(-pid), signal).is_ok();
        for descendant in descendants {
            // It may have ended, by this very signal.
            let _ = kill(Pid::from_raw(descendant), signal);
        }
        found
    }

    /// Starts it again, at the same address and with its data, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        assert_eq!(run(self.name, "start", self.directory.path()), self.exported, "it keeps its address");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = script(self.name).arg("stop").arg(self.directory.path()).stdout(Stdio::null()).status();
    }
}

fn script(name: &str) -> Command {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "scripts", "services", name].iter().collect();
    let mut command = Command::new(path);
    // The script of a service that we build looks for its program where this one is.
    if let Ok(own) = std::env::current_exe()
        && let Some(profile) = own.ancestors().find(|path| path.ends_with("debug") || path.ends_with("release"))
        && let Some(target) = profile.parent()
    {
        command.env("CARGO_TARGET_DIR", target);
    }
    command
}

/// The processes that a process started, and those that these started.
///
/// # Panics
/// When the list of processes cannot be read.
#[must_use]
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("a list of processes").flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // One that has ended meanwhile has no file any more.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<i32>().ok());
        parents.extend(parent.map(|parent| (child, parent)));
    }
    let mut found = vec![pid];
    let mut at = 0;
    while at < found.len() {
        let of = found[at];
        found.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(child, _)| *child));
        at += 1;
    }
    found.remove(0);
    found
}

/// Runs a script and gives what it prints as `export NAME=VALUE…`, the address first.
fn run(name: &str, action: &str, directory: &Path) -> Vec<(String, String)> {
    let output = script(name).arg(action).arg(directory).output().expect("the script runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {action}: {err}");
    let words = out.lines().filter_map(|line| line.strip_prefix("export ")).flat_map(str::split_whitespace);
    let exported: Vec<(String, String)> = words
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches(['\'', '"']).to_owned()))
        .collect();
    assert!(!exported.is_empty(), "{name} {action} printed no address: {out}");
    exported
}
