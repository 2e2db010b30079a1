//! The server as clients see it: real connections, and services that do what a test says in place of the use cases.

mod access;
mod deadlines;
mod departures;
mod lifecycle;
mod limits;
mod mutations;
mod records;
mod support;
mod tls;
mod uploads;
mod web;
