//! Reaching the server.

use std::path::PathBuf;

use vectrion::client::{Client, ConnectError, Options, Tls};
use vectrion_runtime::{Config, Sources, data_dir};

use crate::{args::Connection, failure::Failure};

/// Address of a server on this machine.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:50051";

/// Connects with the key of the command line, the environment, or the data directory.
pub(crate) async fn connect(connection: &Connection) -> Result<Client, Failure> {
    let address = connection.addr.clone().unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
    let key = api_key(connection)?;
    let mut options = Options::default();
    if let Some(path) = &connection.ca_cert {
        let pem = std::fs::read(path)
            .map_err(|error| Failure::Usage(format!("cannot read the certificate {}: {error}", path.display())))?;
        options.tls = Tls::only(pem);
    }
    Client::connect_with(&address, &key, options).await.map_err(|error| match error {
        ConnectError::Transport(source) => {
            // The outer ones say "transport error" and "tcp connect error"; the last one says why.
            let causes = std::iter::successors(std::error::Error::source(&source), |cause| cause.source());
            let cause = causes.last().map_or_else(String::new, |cause| format!(": {cause}"));
            Failure::Unreachable(format!(
                "cannot reach the server at {address}{cause}; is `vectrion serve` running there? \
                 (VECTRION_ADDR or --addr names another one)"
            ))
        }
        ConnectError::Key => {
            Failure::Usage("the API key has characters that a key cannot have; check VECTRION_API_KEY".into())
        }
        other => Failure::Usage(other.to_string()),
    })
}

/// The key of the command line or the environment, else the one that the server left in its data directory.
fn api_key(connection: &Connection) -> Result<String, Failure> {
    if let Some(key) = connection.api_key.as_deref().map(str::trim).filter(|key| !key.is_empty()) {
        return Ok(key.to_owned());
    }
    let directory = data_directory(connection)?;
    data_dir::read_admin_key(&directory).ok_or_else(|| {
        Failure::Usage(format!(
            "no API key: set VECTRION_API_KEY, or give the server's --data-dir (there is no readable {})",
            data_dir::admin_key_path(&directory).display()
        ))
    })
}

/// The data directory of the command line, the environment or the defaults.
fn data_directory(connection: &Connection) -> Result<PathBuf, Failure> {
    let overrides = connection.data_dir.iter().map(|dir| ("data_dir".to_owned(), dir.display().to_string())).collect();
    let sources = Sources { file: None, environment: std::env::vars().collect(), overrides };
    let config = Config::load(&sources).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(config.data_dir().to_owned())
}
