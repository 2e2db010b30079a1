//! Opening what the configuration names. The scheme of each URL picks the backend.

mod database;
mod documents;
mod models;
mod queue;
mod stores;
mod vectors;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use vectrion_backends::{vectors::VectorBackend, wakeups::WakeupBackend};
use vectrion_core::{Error, ErrorKind};
use vectrion_documents::FileParser;
use vectrion_pipeline::Ports;
use vectrion_store::Store;

use crate::{
    app::StartError,
    clock::SystemClock,
    config::{Config, ConfigError},
    doctor::Finding,
    job_loop::WorkerSettings,
};

pub use self::database::migrate;

/// Bytes of a pepper that cannot be guessed.
const MIN_PEPPER_BYTES: usize = 32;
/// Largest wait for a backend to let go of what it holds.
const CLOSE_WAIT: std::time::Duration = std::time::Duration::from_secs(15);

/// `[disk]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskSettings {
    min_free_mib: u64,
}

/// Media types that can be uploaded.
pub(crate) const CONTENT_TYPES: [&str; 4] = ["application/pdf", "text/plain", "text/markdown", "text/html"];

/// The backends behind the ports.
pub(crate) struct Backends {
    pub(crate) ports: Arc<Ports>,
    /// Kind of each by name, without addresses.
    pub(crate) kinds: Vec<(&'static str, String)>,
    pub(crate) store: Store,
    /// The carrier behind `ports.wakeups`, for the relay.
    pub(crate) wakeups: Arc<WakeupBackend>,
    vectors: Arc<VectorBackend>,
    parser: Arc<FileParser>,
}

impl Backends {
    /// Closes what holds files, so that the next start finds everything in order. It would anyway, only later.
    pub(crate) async fn close(self) {
        if tokio::time::timeout(CLOSE_WAIT, self.parser.close()).await.is_err() {
            tracing::warn!("the processes that read PDF files did not end in time; they end with this one");
        }
        self.wakeups.close().await;
        match tokio::time::timeout(CLOSE_WAIT, self.vectors.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(reason = error.reason(), ?error, "cannot close the vector index"),
            Err(_) => tracing::warn!("the vector index did not close in time; nothing that was flushed is lost"),
        }
        if let Err(error) = self.store.close().await {
            tracing::warn!(reason = error.reason(), ?error, "cannot close the database");
        }
    }
}

/// Opens everything. The configuration was checked.
pub(crate) async fn open(config: &Config) -> Result<Backends, StartError> {
    let disk: DiskSettings = config.section("disk")?;
    let floor = disk.min_free_mib.saturating_mul(1024 * 1024);
    let assets = assets_dir(config)?;

    let store = database::open(config).await?;
    let objects = stores::open_objects(config, floor).await?;
    let cache = stores::open_cache(config).await?;
    let vectors = Arc::new(vectors::open(config, floor).await?);
    let wakeups = Arc::new(queue::open(config).await?);

    let models = models::open(config, &assets).await?;
    let parser = documents::open(config, &assets, &models.tokenizer)?;
    let kinds = ["database", "objects", "vectors", "queue", "cache"]
        .into_iter()
        .map(|name| (name, scheme(config.text(&format!("{name}.url"))).to_owned()))
        .collect();
    let shared = Arc::new(store.clone());
    let ports = Ports {
        clock: Arc::new(SystemClock),
        directory: Arc::clone(&shared) as _,
        catalog: Arc::clone(&shared) as _,
        jobs: Arc::clone(&shared) as _,
        upkeep: Arc::clone(&shared) as _,
        uploads: Arc::clone(&shared) as _,
        answers: Arc::clone(&shared) as _,
        idempotency: shared,
        objects: Arc::new(objects),
        vectors: Arc::clone(&vectors) as _,
        parser: Arc::clone(&parser) as _,
        embedder: models.embedder,
        chat: models.chat,
        wakeups: Arc::clone(&wakeups) as _,
        cache: Arc::new(cache),
    };
    Ok(Backends { ports: Arc::new(ports), kinds, store, wakeups, vectors, parser })
}

/// Opens a backend that blocks meanwhile.
async fn open_blocking<T: Send + 'static>(
    what: &'static str,
    url: &str,
    open: impl FnOnce(&str) -> Result<T, Error> + Send + 'static,
) -> Result<T, StartError> {
    let url = url.to_owned();
    off_thread(move || open(&url)).await.map_err(backend(what))
}

/// Runs what blocks, once, at the start.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panicked| {
        Err(Error::internal("BACKEND_PANICKED", "it broke down while it was opened").with_source(panicked))
    })
}

fn backend(what: &'static str) -> impl Fn(Error) -> StartError {
    move |source| match source.kind() {
        // Nothing but the settings has been given to it.
        ErrorKind::InvalidArgument => StartError::Config(misfit(what)(source)),
        _ => StartError::Backend { what, source },
    }
}

/// What a backend says of its settings, by the setting that it names, else by `key`.
fn misfit(key: &'static str) -> impl Fn(Error) -> ConfigError {
    move |error| match error.violations().first() {
        Some(violation) => ConfigError::invalid(violation.field.as_str(), violation.description.as_str()),
        None => ConfigError::invalid(key, error.message()),
    }
}

fn scheme(url: &str) -> &str {
    url.split_once(':').map_or(url, |(scheme, _)| scheme)
}

/// What cannot work together in a server, naming the key.
///
/// # Errors
/// The first such key.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    check_backends(config)?;
    let pepper = config.text("auth.pepper");
    if !pepper.is_empty() && pepper.len() < MIN_PEPPER_BYTES {
        return Err(ConfigError::invalid("auth.pepper", format!("needs at least {MIN_PEPPER_BYTES} bytes")));
    }
    if database::is_shared(config) && pepper.is_empty() {
        return Err(ConfigError::invalid(
            "auth.pepper",
            "must be set with a PostgreSQL database: every server of an installation needs the same; make one with \
             `openssl rand -hex 32` and give it as VECTRION_AUTH_PEPPER or VECTRION_AUTH_PEPPER_FILE",
        ));
    }
    Ok(())
}

/// What cannot work together in a worker that is a process of its own, naming the key.
///
/// # Errors
/// The first such key.
pub fn check_worker(config: &Config) -> Result<(), ConfigError> {
    check_backends(config)?;
    check_shared(config, "with a separate worker")
}

/// Servers and workers that are different processes need backends that they share.
fn check_shared(config: &Config, when: &str) -> Result<(), ConfigError> {
    for (key, single, shared) in [
        ("database.url", "sqlite", "postgres://"),
        ("vectors.url", "edge", "http:// or https:// of a Qdrant server"),
        ("objects.url", "file", "s3://"),
    ] {
        if scheme(config.text(key)) == single {
            return Err(ConfigError::invalid(
                key,
                format!("`{single}:` belongs to one process and cannot be used {when}; use {shared}"),
            ));
        }
    }
    Ok(())
}

/// What cannot work in any process.
fn check_backends(config: &Config) -> Result<(), ConfigError> {
    for (key, known) in [
        ("database.url", &["sqlite", "postgres", "postgresql"][..]),
        ("objects.url", &["file", "s3"]),
        ("vectors.url", &["edge", "http", "https"]),
        ("queue.url", &["db", "amqp", "amqps"]),
        ("cache.url", &["memory", "redis", "rediss"]),
    ] {
        let found = scheme(config.text(key));
        if !known.contains(&found) {
            return Err(ConfigError::invalid(
                key,
                format!("`{found}:` is not supported; supported: {}", known.join(", ")),
            ));
        }
    }
    let worker: WorkerSettings = config.section("worker")?;
    if !worker.in_process {
        check_shared(config, "with worker.in_process = false")?;
    }
    if worker.lease_s == 0 {
        return Err(ConfigError::invalid("worker.lease_s", "must be at least 1"));
    }
    database::check(config)?;
    queue::check(config)?;
    config.section::<vectrion_pipeline::settings::IngestSettings>("ingest")?;
    config.section::<vectrion_pipeline::settings::AnswerSettings>("answer")?;
    config.section::<DiskSettings>("disk")?;
    config.section::<crate::monitor::MonitorSettings>("metrics")?;
    config.section::<crate::telemetry::LogSettings>("log")?;
    vectors::check(config)?;
    stores::check(config)?;
    models::check(config)?;
    documents::check(config)
}

/// Whether the stores that the configuration names can be reached.
pub(crate) async fn examine_stores(config: &Config) -> Vec<Finding> {
    let (database, queue, vectors, others) = futures::join!(
        database::examine(config),
        queue::examine(config),
        vectors::examine(config),
        stores::examine(config)
    );
    database.into_iter().chain(queue).chain(vectors).chain(others).collect()
}

/// Whether the models that the configuration names can be loaded or reached.
pub(crate) async fn examine_models(config: &Config) -> Vec<Finding> {
    let assets = match assets_dir(config) {
        Ok(assets) => assets,
        Err(error) => return vec![Finding::bad("assets", error.to_string())],
    };
    let mut findings = vec![Finding::good("assets", assets.display().to_string())];
    findings.push(documents::examine(config, &assets).await);
    findings.extend(models::examine(config, &assets).await);
    findings
}

/// Where pdfium, ONNX Runtime and the model are: as set, else `assets` beside the program, else the cache.
fn assets_dir(config: &Config) -> Result<PathBuf, ConfigError> {
    let set = config.text("assets_dir");
    if !set.is_empty() {
        let path = PathBuf::from(set);
        return if path.is_dir() {
            Ok(path)
        } else {
            Err(ConfigError::invalid("assets_dir", format!("{set} is not a directory; `make assets` makes it")))
        };
    }
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("assets")));
    let cached = config.cache_dir().map(|cache| cache.join("vectrion/assets"));
    let candidates: Vec<PathBuf> = beside.into_iter().chain(cached).collect();
    candidates.iter().find(|path| is_complete(path)).cloned().ok_or_else(|| {
        let places: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
        ConfigError::invalid(
            "assets_dir",
            format!("pdfium, ONNX Runtime and the model are in none of {}; run `make assets`", places.join(", ")),
        )
    })
}

fn is_complete(assets: &Path) -> bool {
    ["pdfium/libpdfium.so", "onnxruntime/libonnxruntime.so"].iter().all(|file| assets.join(file).is_file())
}

#[cfg(test)]
mod tests;
