//! Rows, unit of work, jobs and leases on SQLite and PostgreSQL.
