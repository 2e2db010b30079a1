//! Measuring programs of `make bench`: what the scripts in `scripts/bench` cannot do fast enough themselves.
//!
//! Each prints one line of JSON, or one for each question; `stub` prints its URL and serves until it is killed.

mod answers;
mod figures;
mod load;
mod questions;
mod stub;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vectrion::v1::SearchMode;

#[derive(Parser)]
#[command(name = "vectrion-bench", about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// An OpenAI-compatible `/v1/embeddings` whose vectors are made from the words of the text: no model, no wait.
    Stub(stub::StubArguments),
    /// Searches with many callers at once, each with a connection of its own: latency and rate.
    Load(load::LoadArguments),
    /// Searches once for each question and prints the file names in the order of their rank.
    Rank(load::RankArguments),
    /// Asks questions: time to the first event, to the first text, to the end.
    Answers(answers::AnswersArguments),
}

/// Which server, and what is asked.
#[derive(Args)]
struct Target {
    /// URL of the server.
    #[arg(long)]
    addr: String,
    /// File that holds the API key.
    #[arg(long)]
    key_file: PathBuf,
    /// Questions, one JSON object `{"id", "text"}` a line.
    #[arg(long)]
    questions: PathBuf,
    /// How passages are found.
    #[arg(long, default_value = "hybrid")]
    mode: Mode,
    /// Passages at the most.
    #[arg(long, default_value_t = 10)]
    top_k: i32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Hybrid,
    Dense,
    Sparse,
}

impl From<Mode> for SearchMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Hybrid => Self::Hybrid,
            Mode::Dense => Self::Dense,
            Mode::Sparse => Self::Sparse,
        }
    }
}

impl Target {
    async fn connect(&self) -> anyhow::Result<vectrion::client::Client> {
        let key = std::fs::read_to_string(&self.key_file)?;
        Ok(vectrion::client::Client::connect(&self.addr, key.trim()).await?)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Stub(arguments) => stub::run(arguments).await,
        Command::Load(arguments) => load::run(arguments).await,
        Command::Rank(arguments) => load::rank(arguments).await,
        Command::Answers(arguments) => answers::run(arguments).await,
    }
}
