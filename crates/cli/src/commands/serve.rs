//! `vectrion serve`.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use vectrion_runtime::{
    App, Config, StartError, faults,
    monitor::{Monitor, MonitorSettings},
    shutdown, telemetry,
};
use vectrion_server::{Server, ServerInfo, ServerSettings, UseCases};

use crate::{
    args::{Connection, ServeArgs},
    failure::Failure,
    output::Output,
};

/// Time that background work gets to end beyond its own drain time.
const LAST_WAIT: Duration = Duration::from_secs(30);

/// The server's section of a configuration.
pub(crate) fn settings(config: &Config) -> Result<ServerSettings, Failure> {
    config.section("server").map_err(|error| Failure::Usage(error.to_string()))
}

pub(crate) async fn run(connection: &Connection, args: ServeArgs) -> Result<(), Failure> {
    let listen = args.listen.map(|listen| ("server.listen".to_owned(), listen));
    let config = super::config::load(connection, &args.config, listen.into_iter().collect())?;
    let log = config.section("log").map_err(|error| Failure::Usage(error.to_string()))?;
    telemetry::init_logs(&log).map_err(|error| Failure::Usage(error.to_string()))?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    if faults::arm() {
        tracing::warn!("failpoints are compiled in; this build is for tests");
    }
    let settings = settings(&config)?;
    let monitor_settings: MonitorSettings =
        config.section("metrics").map_err(|error| Failure::Usage(error.to_string()))?;
    let metrics = telemetry::init_metrics()?;

    let stop = CancellationToken::new();
    shutdown::on_signal(stop.clone()).context("cannot listen for signals")?;
    if args.migrate {
        let migrated = vectrion_runtime::migrate(&config).await.map_err(refuse)?;
        tracing::info!(migrations = ?migrated.applied, backup = ?migrated.backup, "database is up to date");
    }
    let app = App::start(&config).await.map_err(refuse)?;
    let use_cases = UseCases {
        ingestion: Arc::clone(&app.ingestion),
        queries: Arc::clone(&app.queries),
        administration: Arc::clone(&app.administration),
        identity: Arc::clone(&app.identity),
        ports: Arc::clone(&app.ports),
    };
    let info = ServerInfo {
        backends: app.kinds.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect(),
        content_types: app.content_types(),
    };
    let server = Server::bind(settings, use_cases, info).await.map_err(|error| Failure::Usage(error.to_string()))?;
    let url = server.url();

    let monitor = Monitor::bind(&monitor_settings).await.map_err(|error| Failure::Usage(error.to_string()))?;
    let mut background = app.run_background(&stop);
    if let Some(monitor) = monitor {
        tracing::info!(address = %monitor.address(), "metrics and health by http");
        background.spawn(monitor.serve(metrics, Arc::clone(&app.ports), stop.clone()));
    }
    tracing::info!(%url, data_dir = %config.data_dir().display(), version = env!("CARGO_PKG_VERSION"), "serving");
    let serving = tokio::spawn(server.serve(stop.clone()));
    Output::new(false)?.line(&format!("vectrion is ready on {url}"))?;

    let served = serving.await.context("the server broke down")?;
    stop.cancel();
    app.queries.shut_down();
    let ended = tokio::time::timeout(LAST_WAIT, async { while background.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!("background work did not end in time; its leases will run out");
        background.abort_all();
    }
    app.close().await;
    tracing::info!("ended");
    served.map_err(|error| Failure::Other(anyhow::Error::new(error).context("the server failed")))
}

/// What is wrong with the configuration is a wrong call; all else is a failure.
pub(super) fn refuse(error: StartError) -> Failure {
    match error {
        StartError::Config(error) => Failure::Usage(error.to_string()),
        other => {
            if let Some(source) = std::error::Error::source(&other) {
                tracing::error!(error = %other, ?source, "cannot start");
            }
            Failure::Other(anyhow::Error::msg(other.to_string()))
        }
    }
}
