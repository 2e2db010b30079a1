//! The commands, one module each.

mod admin;
mod ask;
mod config;
mod documents;
mod ingest;
mod keys;
mod migrate;
mod search;
mod serve;
mod values;

use clap::CommandFactory as _;

use crate::{
    args::{Arguments, Command},
    failure::Failure,
    output::Output,
};

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { connection, json, command } = arguments;
    let output = Output::new(json)?;
    match command {
        Command::Serve(args) => return serve::run(&connection, args).await,
        Command::Migrate(args) => return migrate::run(&connection, &args, &output).await,
        Command::CheckConfig(args) => return config::check(&connection, &args, &output),
        Command::Doctor(args) => return config::doctor(&connection, &args, &output).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "vectrion", &mut script);
            return output.raw(&String::from_utf8_lossy(&script));
        }
        _ => {}
    }
    let work = async {
        let client = crate::client::connect(&connection).await?;
        match command {
            Command::Ingest(args) => ingest::run(&client, &output, args).await,
            Command::Search(args) => search::run(&client, &output, args).await,
            Command::Ask(args) => ask::run(&client, &output, args).await,
            Command::Documents(command) => documents::run(&client, &output, command).await,
            Command::Keys(command) => keys::run(&client, &output, command).await,
            Command::Admin(command) => admin::run(&client, &output, command).await,
            Command::Serve(_)
            | Command::Migrate(_)
            | Command::CheckConfig(_)
            | Command::Doctor(_)
            | Command::Completions { .. } => Ok(()),
        }
    };
    tokio::select! {
        outcome = work => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    }
}
