//! Injects faults for real, and checks after each that what must hold holds: nothing that was acknowledged is lost, nothing
//! is there twice, nobody sees what is not for them, every call ends.
//!
//! Two `vectrion serve` and two `vectrion-worker` of this build share PostgreSQL, RabbitMQ, Redis, an S3 server and a
//! vector index of their own, which they reach through proxies. `make test-faults` builds and runs it.

mod environment;
mod groups;
mod invariants;
mod load;
mod report;
mod scene;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use clap::Parser;
use rand::RngExt as _;

use crate::{
    environment::Services,
    groups::{FAULTS, Fault},
    report::Report,
    scene::Extent,
};

/// Time that the mixture takes in the short form.
const SHORT_MIXTURE: Duration = Duration::from_secs(60);

/// Inject faults into two servers, two workers and their services, and check what must hold.
#[derive(Debug, Parser)]
#[command(name = "vectrion-faults", max_term_width = 110)]
struct Arguments {
    /// Kill the worker twenty times at each step, and keep outages as long as the table of faults says.
    #[arg(long)]
    full: bool,
    /// Inject the mixture alone, for so many minutes.
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// What the mixture draws from; a run with the same one injects the same.
    #[arg(long)]
    seed: Option<u64>,
    /// Inject these alone, by number.
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    only: Vec<u32>,
    /// Where the report is written; beside the programs if it is not said.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vectrion-faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<bool> {
    // Two providers are linked.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let seed = arguments.seed.unwrap_or_else(|| rand::rng().random::<u32>().into());
    let mixture = arguments.soak.map_or(SHORT_MIXTURE, |minutes| Duration::from_secs(minutes * 60));
    let extent = Extent { full: arguments.full, mixture, seed };
    let wanted = |fault: &&Fault| {
        if arguments.soak.is_some() {
            fault.number == 28
        } else {
            arguments.only.is_empty() || arguments.only.contains(&fault.number)
        }
    };
    let faults: Vec<Fault> = FAULTS.iter().filter(wanted).copied().collect();
    println!("seed {seed} (repeat with SEED={seed})");

    let services = Arc::new(Services::start().await?);
    println!("vector index: {}", services.index_name());
    let form = match (arguments.soak.is_some(), arguments.full) {
        (true, _) => "soak",
        (false, true) => "full",
        (false, false) => "short",
    };
    let mut report = Report { seed, form, index: services.index_name(), rows: Vec::new() };
    let ran = scene::run(&faults, &services, extent, &mut report).await;

    let directory = match arguments.report {
        Some(directory) => directory,
        None => std::env::current_exe()?.ancestors().nth(2).context("a target directory")?.join("faults"),
    };
    let (table, data) = report.write(&directory)?;
    println!("\n{}\nreport: {} and {}", report.markdown(), table.display(), data.display());
    ran?;
    Ok(!report.has_failed())
}
