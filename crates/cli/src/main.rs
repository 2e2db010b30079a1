//! The `vectrion` command: runs the server, and is a client of it.

mod args;
mod client;
mod commands;
mod failure;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{args::Arguments, failure::Failure};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Two providers are linked (qdrant-edge's tonic brings ring); without a choice the first TLS call would panic.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("vectrion: another TLS provider was installed before ours");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("vectrion: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(commands::run(arguments));
    // Threads that still compute for nobody must not hold the end up.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    if let Some(message) = failure.message() {
        eprintln!("vectrion: {message}");
    }
    ExitCode::from(failure.exit_code())
}
