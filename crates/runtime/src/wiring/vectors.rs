//! Opening the vector index.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use vectrion_backends::vectors::{VectorBackend, VectorSettings};

use super::{backend, open_blocking};
use crate::{
    app::StartError,
    config::{Config, ConfigError},
};

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

/// Whether the section can be read.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    config.section::<VectorSection>("vectors").map(|_| ())
}

/// Opens the index, and asks a server whether it can be used. Below `min_free_bytes` an index on this disk takes nothing
/// more.
pub(super) async fn open(config: &Config, min_free_bytes: u64) -> Result<VectorBackend, StartError> {
    let section: VectorSection = config.section("vectors")?;
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
    let index = open_blocking("vectors", &section.url, move |url| VectorBackend::open(url, &settings)).await?;
    index.verify().await.map_err(backend("vectors"))?;
    Ok(index)
}
