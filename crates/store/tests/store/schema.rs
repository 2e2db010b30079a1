//! The version of the tables.
