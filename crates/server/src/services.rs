//! The handlers: decode, call a use case, encode. One file per service.

mod admin;
mod handling;
mod ingestion;
mod query;
mod replay;
mod streams;

pub(crate) use self::{admin::AdminApi, ingestion::IngestionApi, query::QueryApi, replay::Mutations};
#[cfg(test)]
pub(crate) use self::{
    handling::{Responses, open, unary},
    query::events,
};
