//! OpenAI-compatible endpoints: what chat and embeddings share, and the embedder.
//!
//! The types of the requests are async-openai's; the transport is not, because its client loses `Retry-After`, takes
//! a stream that was cut off for a whole one, buffers without bound and logs what servers say. The answers are read
//! by types of our own that know only the fields in use: async-openai's refuse a whole answer for an unknown finish
//! reason, service tier or a missing `created`, all of which compatible servers send.

mod breaker;
mod budget;
mod calls;
mod embedder;
mod embedding_response;
mod endpoint;
mod failure;
mod limit;
mod lines;
mod rate;
mod settings;
mod upstream_error;
mod windows;

pub(crate) use self::{
    breaker::Health,
    calls::Calls,
    endpoint::{Accept, BodyStream, Endpoint, is_json, read_to_end},
    failure::{Break, Failure, Model},
    limit::{Limit, from_now},
    lines::Lines,
    rate::{Gate, Pass, Urgency},
    upstream_error::UpstreamError,
};
pub use self::{
    embedder::{EmbedderSettings, OpenAiEmbedder, VectorEncoding},
    settings::{BreakerSettings, EndpointSettings, RateSettings, RetrySettings},
};
