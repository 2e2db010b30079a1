//! Opening the vector index.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use vectrion_backends::vectors::{VectorBackend, VectorSettings};

use super::{backend, misfit, open_blocking, scheme};
use crate::{
    app::StartError,
    config::{Config, ConfigError, redacted},
    doctor::Finding,
};

const KEY: &str = "vectors.url";

/// `[vectors]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorSection {
    url: String,
    api_key: SecretString,
    ca_file: PathBuf,
    prefix: String,
    shards: u32,
    replicas: u32,
    connect_timeout_ms: u64,
    read_timeout_ms: u64,
    write_timeout_ms: u64,
}

/// What cannot work.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let section: VectorSection = config.section("vectors")?;
    let url = section.url.clone();
    VectorBackend::validate(&url, &settings(section, 0)).map_err(misfit(KEY))
}

fn settings(section: VectorSection, min_free_bytes: u64) -> VectorSettings {
    let mut settings = VectorSettings::default();
    settings.edge.min_free_bytes = min_free_bytes;
    settings.api_key = section.api_key;
    let server = &mut settings.qdrant;
    server.ca_file = Some(section.ca_file).filter(|path| !path.as_os_str().is_empty());
    server.prefix = section.prefix;
    server.shards = section.shards;
    server.replicas = section.replicas;
    server.connect_timeout_ms = section.connect_timeout_ms;
    server.read_timeout_ms = section.read_timeout_ms;
    server.write_timeout_ms = section.write_timeout_ms;
    settings
}

/// Opens the index, and asks a server whether it can be used. Below `min_free_bytes` an index on this disk takes nothing
/// more.
pub(super) async fn open(config: &Config, min_free_bytes: u64) -> Result<VectorBackend, StartError> {
    let section: VectorSection = config.section("vectors")?;
    let url = section.url.clone();
    let settings = settings(section, min_free_bytes);
    let index = open_blocking("vectors", &url, move |url| VectorBackend::open(url, &settings)).await?;
    index.verify().await.map_err(backend("vectors"))?;
    Ok(index)
}

/// Whether a server can be used. A directory is not opened: a server of ours may be using it.
pub(super) async fn examine(config: &Config) -> Option<Finding> {
    if scheme(config.text(KEY)) == "edge" {
        return None;
    }
    Some(match open(config, 0).await {
        Ok(_) => Finding::good("vectors", redacted(config.text(KEY))),
        Err(error) => Finding::bad("vectors", error.to_string()),
    })
}
