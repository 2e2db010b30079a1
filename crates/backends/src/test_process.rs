//! Tests that need a process of their own: one that gets killed, or one with a small disk.
//!
//! The test starts this test binary again, for one test alone, which does its part only when it is told a directory.

use std::{
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

/// Names the directory of the child.
const DIRECTORY: &str = "VECTRION_TEST_CHILD_DIRECTORY";

/// The directory that this process was started for as a child, if it is one.
pub(crate) fn directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

/// A child.
pub(crate) struct Child(process::Child);

impl Child {
    /// Starts the test `name` for `directory`.
    pub(crate) fn start(name: &str, directory: &Path, environment: &[(&str, String)]) -> Self {
        Self::spawn(&mut Command::new(this_binary()), name, directory, environment)
    }

    /// Starts the test `name` with a disk of its own, of so many mebibytes, at `directory`. It needs user namespaces, or
    /// root.
    pub(crate) fn start_on_small_disk(name: &str, directory: &Path, mebibytes: usize) -> Self {
        let script = "mount -t tmpfs -o size=\"$1\"m tmpfs \"$2\" && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh", &mebibytes.to_string()]);
        Self::spawn(command.arg(directory).arg(this_binary()), name, directory, &[])
    }

    fn spawn(command: &mut Command, name: &str, directory: &Path, environment: &[(&str, String)]) -> Self {
        let child = command
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// What the child prints.
    pub(crate) fn output(&mut self) -> process::ChildStdout {
        self.0.stdout.take().unwrap()
    }

    /// Kills the child, which must still run.
    pub(crate) fn kill(mut self) {
        let is_running = self.0.try_wait().unwrap().is_none();
        self.0.kill().unwrap();
        let output = self.0.wait_with_output().unwrap();
        assert!(is_running, "the child ended by itself: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Waits for the child's success.
    pub(crate) fn succeeds(self) {
        let output = self.0.wait_with_output().unwrap();
        let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "the child failed, {}: {errors}{out}", output.status);
        assert!(out.contains("1 passed"), "the child ran no test: {out}");
    }
}

fn this_binary() -> PathBuf {
    std::env::current_exe().unwrap()
}
