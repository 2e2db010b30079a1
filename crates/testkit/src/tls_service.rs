//! A service that speaks TLS with a certificate that no system trusts.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// It is stopped when this is dropped.
#[derive(Debug)]
pub struct TlsService {
    name: &'static str,
    directory: TempDir,
    /// Its address.
    pub url: String,
}

impl TlsService {
    /// Starts the service of this name in `scripts/services`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(name: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let output = script(name, "start", directory.path()).output().expect("the script runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let out = String::from_utf8(output.stdout).expect("UTF-8");
        let first = out.lines().next().expect("an address");
        let (_, url) = first.strip_prefix("export ").and_then(|line| line.split_once('=')).expect("an address");
        Self { name, directory, url: url.trim_matches('\'').to_owned() }
    }

    /// The certificate of its authority, in PEM.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("tls/ca.pem")
    }
}

impl Drop for TlsService {
    fn drop(&mut self) {
        let _ = script(self.name, "stop", self.directory.path()).stdout(Stdio::null()).status();
    }
}

fn script(name: &str, action: &str, directory: &Path) -> Command {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "scripts", "services", name].iter().collect();
    let mut command = Command::new(path);
    command.arg(action).arg(directory).env("VECTRION_SERVICE_TLS", "1").stdin(Stdio::null());
    command
}
