//! Opening the object store and the cache.

use secrecy::SecretString;
use serde::Deserialize;
use vectrion_backends::{
    cache::{CacheBackend, CacheSettings},
    objects::{ObjectBackend, ObjectSettings, S3Settings},
};

use super::{backend, misfit, scheme};
use crate::{
    app::StartError,
    config::{Config, ConfigError, redacted},
    doctor::Finding,
};

/// `[objects]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectSection {
    url: String,
    endpoint: String,
    region: String,
    access_key_id: String,
    secret_access_key: SecretString,
    allow_http: bool,
    path_style: bool,
}

/// `[cache]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheSection {
    url: String,
    max_mib: u64,
    timeout_ms: u64,
}

/// What cannot work.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let objects: ObjectSection = config.section("objects")?;
    let url = objects.url.clone();
    ObjectBackend::validate(&url, &settings(objects, 0)).map_err(misfit("objects.url"))?;
    let cache: CacheSection = config.section("cache")?;
    if cache.timeout_ms == 0 {
        return Err(ConfigError::invalid("cache.timeout_ms", "must be at least 1"));
    }
    CacheBackend::validate(&cache.url).map_err(misfit("cache.url"))
}

/// `floor`: bytes that a store on a disk leaves free.
fn settings(section: ObjectSection, floor: u64) -> ObjectSettings {
    let mut settings = ObjectSettings::default();
    settings.local.min_free_bytes = floor;
    settings.s3 = S3Settings {
        endpoint: section.endpoint,
        region: section.region,
        access_key_id: section.access_key_id,
        secret_access_key: section.secret_access_key,
        allow_http: section.allow_http,
        path_style: section.path_style,
    };
    settings
}

/// `floor`: bytes that a store on a disk leaves free.
pub(super) async fn open_objects(config: &Config, floor: u64) -> Result<ObjectBackend, StartError> {
    let section: ObjectSection = config.section("objects")?;
    let url = section.url.clone();
    ObjectBackend::open(&url, &settings(section, floor)).await.map_err(backend("objects"))
}

pub(super) async fn open_cache(config: &Config) -> Result<CacheBackend, StartError> {
    let section: CacheSection = config.section("cache")?;
    let max_bytes = section.max_mib.saturating_mul(1024 * 1024);
    let settings = CacheSettings { max_bytes, timeout_ms: section.timeout_ms };
    CacheBackend::open(&section.url, &settings).await.map_err(backend("cache"))
}

/// Whether the services that the configuration names can be used. A directory is not opened: a server may be using it.
pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if scheme(config.text("objects.url")) == "s3" {
        findings.push(match open_objects(config, 0).await {
            Ok(_) => Finding::good("objects", redacted(config.text("objects.url"))),
            Err(error) => Finding::bad("objects", error.to_string()),
        });
    }
    if scheme(config.text("cache.url")) != "memory" {
        findings.push(match open_cache(config).await {
            Ok(_) => Finding::good("cache", redacted(config.text("cache.url"))),
            Err(error) => Finding::bad("cache", error.to_string()),
        });
    }
    findings
}
