//! The command line.

mod dead_letters;
mod upkeep;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::dead_letters::{DeadLetterFilterArgs, DeadLettersCommand};
pub(crate) use self::upkeep::{LifecycleCommand, ReconcileArgs};

const AFTER: &str = "\
Exit status: 0 all went well; 1 something failed; 2 wrong arguments; 3 the server cannot be reached;
4 the key is wrong or may not do this; 5 not found; 130 interrupted.

Results go to standard output, everything else to standard error. With --json each result is one line of
protobuf JSON (the messages of proto/vectrion/v1).";

/// Retrieval-augmented generation: documents in, streamed and cited answers out.
#[derive(Debug, Parser)]
#[command(name = "vectrion", version, after_help = AFTER, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Print protobuf JSON, one message a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which server, and with which key.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// The server [default: http://127.0.0.1:50051].
    #[arg(long, global = true, env = "VECTRION_ADDR", value_name = "URL")]
    pub(crate) addr: Option<String>,
    /// API key; without one, that of the data directory is used.
    #[arg(long, global = true, env = "VECTRION_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// Data directory of a server on this machine.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Certificate (PEM) of the authority that signed the server's.
    #[arg(long, global = true, env = "VECTRION_CA_CERT", value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(ServeArgs),
    /// Upload files and folders.
    Ingest(IngestArgs),
    /// Find passages.
    Search(SearchArgs),
    /// Ask a question and stream the answer.
    Ask(AskArgs),
    /// List, show, watch, retry, delete documents.
    #[command(subcommand)]
    Documents(DocumentsCommand),
    /// Create, list, revoke API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Tenants, collections, jobs, workers, dead letters.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Bring a shared database (PostgreSQL) up to date. Safe beside others that do the same, and to repeat.
    Migrate(ConfigArgs),
    /// Check the configuration and print what is in force, without secrets.
    CheckConfig(ConfigArgs),
    /// Check that this machine, and the server if it runs, have all they need.
    Doctor(ConfigArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file (TOML).
    #[arg(long, env = "VECTRION_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set a value, such as `--set worker.lease_s=10`; stronger than file and environment.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Address to listen on [default: 127.0.0.1:50051].
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Bring the database up to date first, as `vectrion migrate` does.
    #[arg(long)]
    pub(crate) migrate: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    /// Files and folders. In folders, hidden files and files of other types are passed over.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Collection, by name or id.
    #[arg(long, value_name = "C", default_value = "default")]
    pub(crate) collection: String,
    /// Metadata for each document; the value is a JSON scalar or list, else text.
    #[arg(long, value_name = "K=V")]
    pub(crate) metadata: Vec<String>,
    /// Wait until each document is indexed or failed; fail if one failed.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Make a document of its own even if another one has the same bytes.
    #[arg(long)]
    pub(crate) allow_duplicate: bool,
    /// Uploads at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) parallel: u8,
    /// How long an upload whose connection broke is tried again, for example while the server restarts.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) retry_for: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Dense and BM25, fused.
    Hybrid,
    /// Meaning.
    Dense,
    /// Words (BM25).
    Sparse,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// The question.
    #[arg(value_name = "QUESTION")]
    pub(crate) question: String,
    #[command(flatten)]
    pub(crate) options: SearchOptions,
}

#[derive(Debug, Args)]
pub(crate) struct SearchOptions {
    /// Passages at the most (1 to 100).
    #[arg(short = 'k', long = "top-k", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) top_k: Option<u32>,
    /// How passages are found.
    #[arg(long, value_enum, default_value_t = Mode::Hybrid)]
    pub(crate) mode: Mode,
    /// Only in this collection, by name or id; may be given several times.
    #[arg(long, value_name = "C")]
    pub(crate) collection: Vec<String>,
    /// Only in this document; may be given several times.
    #[arg(long, value_name = "ID")]
    pub(crate) document: Vec<String>,
    /// Only in documents with this metadata; a list means any of it. May be given several times.
    #[arg(long, value_name = "K=V")]
    pub(crate) filter: Vec<String>,
    /// Leave out passages with a lower score.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) min_score: Option<f32>,
}

#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// The question.
    #[arg(value_name = "QUESTION")]
    pub(crate) question: String,
    #[command(flatten)]
    pub(crate) options: SearchOptions,
    /// Tokens of the answer at the most.
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DocumentsCommand {
    /// List documents, oldest first.
    List {
        /// Only in this collection, by name or id.
        #[arg(long, value_name = "C")]
        collection: Option<String>,
        /// Only in this state; may be given several times.
        #[arg(long, value_enum)]
        state: Vec<State>,
        /// Only with this text in the file name.
        #[arg(long, value_name = "TEXT")]
        filename: Option<String>,
        /// Only with this metadata.
        #[arg(long, value_name = "K=V")]
        filter: Vec<String>,
        /// `create_time`, `update_time` or `filename`, and `desc` behind it for largest first.
        #[arg(long, value_name = "ORDER", default_value = "create_time")]
        order_by: String,
        /// Documents at the most; all by default.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Show a document.
    Show {
        /// Its id.
        id: String,
    },
    /// List the versions of a document, newest first.
    Versions {
        /// Its id.
        id: String,
    },
    /// List the chunks of a document.
    Chunks {
        /// Its id.
        id: String,
        /// Version; the newest by default.
        #[arg(long)]
        version: Option<u32>,
    },
    /// List the pages of a document.
    Pages {
        /// Its id.
        id: String,
        /// Version; the newest by default.
        #[arg(long)]
        version: Option<u32>,
    },
    /// Write a document's bytes, or its extracted text, to a file or to standard output.
    Download {
        /// Its id.
        id: String,
        /// Version; the newest by default.
        #[arg(long)]
        version: Option<u32>,
        /// The extracted text in place of the file.
        #[arg(long)]
        text: bool,
        /// Where to; standard output by default.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Follow changes of documents until Ctrl-C.
    Watch {
        /// Only in this collection, by name or id.
        #[arg(long, value_name = "C")]
        collection: Option<String>,
        /// Only these documents.
        ids: Vec<String>,
        /// Only changes after this revision.
        #[arg(long, value_name = "N", default_value_t = 0)]
        after: i64,
    },
    /// Replace a document's metadata.
    Update {
        /// Its id.
        id: String,
        /// The new metadata, all of it.
        #[arg(long, value_name = "K=V")]
        metadata: Vec<String>,
    },
    /// Work on a failed document again.
    Retry {
        /// Its id.
        id: String,
    },
    /// Call off the work on documents that are neither indexed nor failed, and wait until it has ended.
    Cancel {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Show what is kept of documents that were deleted: what was removed, and that nothing is left.
    Receipt {
        /// Ids of the documents; without any, all receipts, newest first.
        ids: Vec<String>,
        /// Receipts at the most.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Delete documents with everything that belongs to them.
    Delete {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum State {
    Uploaded,
    Processing,
    Processed,
    Embedding,
    Indexed,
    Failed,
    Deleting,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleName {
    /// Query, and the reads of ingestion.
    User,
    /// Ingest and query.
    Editor,
    /// Everything within its tenant.
    Admin,
    /// Crosses tenants.
    Operator,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Create a key and print its secret, this once.
    Create {
        /// Tenant, by name or id; the key's own by default.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// What it may do.
        #[arg(long, value_enum)]
        role: RoleName,
        /// For people.
        #[arg(long, default_value = "")]
        name: String,
        /// Days until it expires; never by default.
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<u32>,
    },
    /// List keys.
    List {
        /// Tenant, by name or id; the key's own by default.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
    /// Revoke a key for good.
    Revoke {
        /// Its id.
        id: String,
        /// Tenant, by name or id; the key's own by default.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Tenants.
    #[command(subcommand)]
    Tenants(TenantsCommand),
    /// Collections.
    #[command(subcommand)]
    Collections(CollectionsCommand),
    /// Background jobs.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// List the processes that run jobs.
    Workers,
    /// Show what waits, runs and has ended of late, by stage.
    Queues {
        /// Go on showing it, whenever it changes, until Ctrl-C.
        #[arg(long)]
        watch: bool,
        /// With --watch: milliseconds between two looks at the most.
        #[arg(long, value_name = "MS", default_value_t = 5000)]
        interval_ms: i32,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Jobs that were given up.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// What of a collection is removed by itself.
    #[command(subcommand)]
    Lifecycle(LifecycleCommand),
    /// Compare database, vectors and objects, and repair what does not fit.
    Reconcile(ReconcileArgs),
    /// Tell what the server is and what it works with.
    Info,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantsCommand {
    /// Create a tenant.
    Create {
        /// Its name.
        name: String,
    },
    /// List tenants.
    List,
    /// Show a tenant.
    Show {
        /// Name or id.
        tenant: String,
    },
    /// Rename a tenant.
    Rename {
        /// Name or id.
        tenant: String,
        /// The new name.
        name: String,
    },
    /// Delete a tenant without documents.
    Delete {
        /// Name or id.
        tenant: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CollectionsCommand {
    /// Create a collection.
    Create {
        /// Its name.
        name: String,
        /// For people.
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// List collections.
    List {
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Show a collection.
    Show {
        /// Name or id.
        collection: String,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Change a collection.
    Update {
        /// Name or id.
        collection: String,
        /// The new name.
        #[arg(long)]
        name: Option<String>,
        /// The new description.
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Delete a collection without documents.
    Delete {
        /// Name or id.
        collection: String,
        #[command(flatten)]
        tenant: TenantArg,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TenantArg {
    /// Tenant, by name or id; the key's own by default.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum JobStateName {
    Pending,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// List jobs, newest first.
    List {
        /// Only of this document.
        #[arg(long, value_name = "ID")]
        document: Option<String>,
        /// Only in this stage.
        #[arg(long)]
        stage: Vec<String>,
        /// Only in this state.
        #[arg(long, value_enum)]
        state: Vec<JobStateName>,
        /// Jobs at the most.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Show a job and its tries.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        tenant: TenantArg,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn json_may_stand_anywhere() {
        for line in [
            &["vectrion", "--json", "ask", "why?"][..],
            &["vectrion", "ask", "--json", "why?"],
            &["vectrion", "ask", "why?", "--json"],
            &["vectrion", "documents", "list", "--json"],
        ] {
            assert!(Arguments::try_parse_from(line).expect("a valid line").json, "{line:?}");
        }
    }
}
