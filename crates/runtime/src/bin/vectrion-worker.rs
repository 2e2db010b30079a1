//! The `vectrion-worker` command: runs jobs for the servers of an installation.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use tokio_util::sync::CancellationToken;
use vectrion_runtime::{
    Config, ConfigError, Sources, StartError, Worker, faults,
    monitor::{Monitor, MonitorSettings},
    shutdown, telemetry,
};

/// Time that background work gets to end beyond its own drain time.
const LAST_WAIT: Duration = Duration::from_secs(30);

/// Run the jobs of an installation: process, embed and delete documents.
///
/// A worker shares PostgreSQL, RabbitMQ, the Qdrant server and the object store with the servers, and takes the same
/// configuration. As many as wanted run at once. SIGTERM lets the jobs in hand end, gives the rest back, and ends with 0.
#[derive(Debug, Parser)]
#[command(name = "vectrion-worker", version, max_term_width = 110)]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, env = "VECTRION_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory for temporary files; several workers can share one.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Set a value, such as `--set worker.lease_s=10`; stronger than file and environment.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Check the configuration, and end.
    #[arg(long)]
    check_config: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Two providers are linked; without a choice the first TLS call would panic.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("vectrion-worker: another TLS provider was installed before ours");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("vectrion-worker: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(arguments));
    // Threads that still compute for nobody must not hold the end up.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vectrion-worker: {error:#}");
            ExitCode::from(if error.downcast_ref::<ConfigError>().is_some() { 2 } else { 1 })
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = load(&arguments)?;
    vectrion_runtime::check_worker(&config)?;
    if arguments.check_config {
        return Ok(());
    }
    telemetry::init_logs(&config.section("log")?)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    if faults::arm() {
        tracing::warn!("failpoints are compiled in; this build is for tests");
    }
    // Before jobs run: a port that is taken ends the process.
    let monitor_settings: MonitorSettings = config.section("metrics")?;
    let monitor = Monitor::bind(&monitor_settings).await?;
    let metrics = telemetry::init_metrics()?;

    let stop = CancellationToken::new();
    shutdown::on_signal(stop.clone()).context("cannot listen for signals")?;
    let worker = Worker::start(&config).await.map_err(|error| {
        if let Some(source) = std::error::Error::source(&error) {
            tracing::error!(%error, ?source, "cannot start");
        }
        match error {
            StartError::Config(error) => anyhow::Error::new(error),
            // The message is whole; the source would say the same again.
            other => anyhow::Error::msg(other.to_string()),
        }
    })?;
    let mut tasks = worker.run(&stop);
    if let Some(monitor) = monitor {
        tracing::info!(address = %monitor.address(), "metrics and health by http");
        // Beside the others: it answers until they have ended.
        tokio::spawn(monitor.serve(metrics, worker.ports.clone(), CancellationToken::new()));
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "working");

    stop.cancelled().await;
    let drain = Duration::from_secs(config.section::<vectrion_runtime::job_loop::WorkerSettings>("worker")?.drain_s);
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(drain + LAST_WAIT, ended).await.is_err() {
        tracing::warn!("work did not end in time; its leases will run out");
        tasks.abort_all();
    }
    worker.close().await;
    tracing::info!("ended");
    Ok(())
}

fn load(arguments: &Arguments) -> Result<Config, ConfigError> {
    let mut overrides = Vec::new();
    if let Some(dir) = &arguments.data_dir {
        overrides.push(("data_dir".to_owned(), dir.display().to_string()));
    }
    for pair in &arguments.set {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            ConfigError::invalid("--set", format!("{pair:?} is not KEY=VALUE, such as worker.lease_s=10"))
        })?;
        overrides.push((key.trim().to_owned(), value.to_owned()));
    }
    Config::load(&Sources { file: arguments.config.clone(), environment: std::env::vars().collect(), overrides })
}
