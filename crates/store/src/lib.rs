//! Rows, unit of work, jobs and leases on SQLite and PostgreSQL.
//!
//! [`Store`] implements the ports of the database: `Directory`, `Catalog`, `Jobs`, `Uploads`, `Answers`,
//! `Idempotency`, `Outbox` and `Upkeep`. Each method of a port is one unit of work: a transaction, or one consistent read.
//!
//! # What holds
//! - **Tenancy is in the constructor.** Rows are read and removed through `rows::<table>::for_tenant` and
//!   `rows::<table>::delete_for_tenant`, joins and updates through `sql::for_tenant`, which takes the tenant as its first
//!   parameter and insists on a condition on it. The tables themselves are private to their modules. What belongs to the
//!   installation and not to a tenant (claims, reaping, metrics, retention) says `across_tenants`.
//! - **One writer on SQLite**: a single connection, every transaction `BEGIN IMMEDIATE`; readers have connections of their
//!   own that refuse to write.
//! - **One order of locks on PostgreSQL**: first the job that a call is about (or the upload, then the names under which its
//!   document would be found), then the document, then the tenant's row. Whoever adds or changes a document
//!   takes the tenant's row at the end, for the next revision: so revisions are in order of commit, and the tenant's other
//!   documents wait for that moment alone. Waiting jobs are only
//!   ever touched with `SKIP LOCKED`.
//! - **Time is the database's**, read after the locks were taken.

mod answers;
mod catalog;
mod connect;
mod directory;
mod failure;
mod idempotency;
mod jobs;
mod outbox;
mod page_token;
#[cfg(test)]
mod plans;
mod rows;
mod schema;
mod sql;
#[cfg(test)]
mod test_database;
mod time;
mod unit;
mod upkeep;
mod uploads;

pub use connect::{Store, StoreSettings};
pub use schema::{Migrated, SchemaStatus};
