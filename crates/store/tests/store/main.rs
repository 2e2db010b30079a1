//! The store against the conformance suites of its ports, on SQLite and on PostgreSQL.
//!
//! PostgreSQL is tested when `VECTRION_TEST_POSTGRES_URL` names a database in which schemas can be made, such as
//! `postgres://postgres@127.0.0.1:5432/postgres`.

mod contention;
mod postgres;
mod sqlite;
mod state_machine;
mod tenancy;
mod tls;
mod traces;
