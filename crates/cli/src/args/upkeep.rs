//! What keeps an installation in order.

use clap::{Args, Subcommand};

use super::TenantArg;

#[derive(Debug, Subcommand)]
pub(crate) enum LifecycleCommand {
    /// Show the policy of a collection.
    Show {
        /// Name or id.
        collection: String,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Set the policy of a collection, all of it: what is not given is no rule.
    Set {
        /// Name or id.
        collection: String,
        /// Days after which a document is deleted, counted from its newest version.
        #[arg(long, value_name = "DAYS", default_value_t = 0)]
        retention_days: u32,
        /// Newest versions of a document that are kept, beside the one that searches see.
        #[arg(long, value_name = "N", default_value_t = 0)]
        keep_versions: u32,
        /// Days after which a document is deleted that failed and was never searchable.
        #[arg(long, value_name = "DAYS", default_value_t = 0)]
        purge_failed_days: u32,
        /// Remove points and objects that no document refers to.
        #[arg(long)]
        purge_orphans: bool,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Apply the policy of a collection now; otherwise the server does every few minutes.
    Apply {
        /// Name or id.
        collection: String,
        /// Only list what would go.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        tenant: TenantArg,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    #[command(flatten)]
    pub(crate) tenant: TenantArg,
    /// Every tenant, and what is left of tenants that are gone; takes an operator's key.
    #[arg(long, conflicts_with_all = ["tenant", "collection"])]
    pub(crate) all_tenants: bool,
    /// Only what belongs to this collection, by name or id.
    #[arg(long, value_name = "C")]
    pub(crate) collection: Option<String>,
    /// Repair: embed again what is missing, remove what nobody refers to.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Read every object and compare its SHA-256, not only its size.
    #[arg(long)]
    pub(crate) verify_objects: bool,
    /// Seconds from which on what nobody refers to counts as left over; as configured by default.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) min_age: Option<i64>,
}
