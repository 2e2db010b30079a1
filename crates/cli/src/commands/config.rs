//! `vectrion check-config` and `vectrion doctor`.

use vectrion_runtime::{Config, Sources, doctor};

use crate::{
    args::{ConfigArgs, Connection},
    failure::Failure,
    output::{self, Output},
};

/// The configuration that a command line names.
pub(crate) fn load(connection: &Connection, args: &ConfigArgs, more: Vec<(String, String)>) -> Result<Config, Failure> {
    let mut overrides = more;
    if let Some(dir) = &connection.data_dir {
        overrides.push(("data_dir".to_owned(), dir.display().to_string()));
    }
    for pair in &args.set {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("--set {pair:?} is not KEY=VALUE, such as worker.lease_s=10")))?;
        overrides.push((key.trim().to_owned(), value.to_owned()));
    }
    let sources = Sources { file: args.config.clone(), environment: std::env::vars().collect(), overrides };
    Config::load(&sources).map_err(|error| Failure::Usage(error.to_string()))
}

pub(crate) fn check(connection: &Connection, args: &ConfigArgs, output: &Output) -> Result<(), Failure> {
    let config = load(connection, args, Vec::new())?;
    for warning in config.warnings() {
        output::note(&format!("warning: {warning}"));
    }
    super::serve::settings(&config)?;
    vectrion_runtime::check(&config).map_err(|error| Failure::Usage(error.to_string()))?;
    output.line(config.to_redacted_toml().trim_end())
}

pub(crate) async fn doctor(connection: &Connection, args: &ConfigArgs, output: &Output) -> Result<(), Failure> {
    let config = load(connection, args, Vec::new())?;
    let mut findings = doctor::examine(&config).await;
    let server = match crate::client::connect(connection).await {
        Ok(client) => match client.admin().get_server_info(vectrion::v1::GetServerInfoRequest {}).await {
            Ok(info) => doctor::Finding::good("server", format!("answers, version {}", info.into_inner().version)),
            Err(status) => {
                let failure = Failure::from(status);
                doctor::Finding::bad("server", failure.message().unwrap_or_default())
            }
        },
        Err(failure) => doctor::Finding::note("server", failure.message().unwrap_or_default()),
    };
    findings.push(server);
    for finding in &findings {
        output.line(&finding.to_string())?;
    }
    if findings.iter().any(doctor::Finding::is_bad) { Err(Failure::Partly) } else { Ok(()) }
}
