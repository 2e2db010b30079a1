//! Vector index, objects, cache and queue wake-ups: what the ports of `vectrion-core` need from outside the database.
//!
//! Each kind is an enum of the backends that were compiled in, opened from a URL whose scheme picks one of them:
//!
//! | kind | URL | backend |
//! |---|---|---|
//! | [`vectors::VectorBackend`] | `edge:///dir` | the Qdrant engine in this process, on a local disk |
//! | [`vectors::VectorBackend`] | `http://host:6334`, `https://…` | a Qdrant server |
//! | [`objects::ObjectBackend`] | `file:///dir` | a local disk |
//! | | `s3://bucket/prefix` | a bucket of any S3 service |
//! | [`cache::CacheBackend`] | `memory:` | this process's memory |
//! | | `redis://host:6379/0`, `rediss://…` | a Redis server |
//! | [`wakeups::WakeupBackend`] | `db:` | notifications within this process, beside the polled jobs table |
//! | | `amqp://…`, `amqps://…` | RabbitMQ, beside the polled jobs table |
//!
//! A URL that cannot be used is `INVALID_ARGUMENT` with reason `UNSUPPORTED_BACKEND` or `INVALID_BACKEND_URL`; the error
//! names the configuration key and what would be possible. URLs are never repeated in messages: they may hold secrets.

mod backend_url;
pub mod cache;
mod directory_lock;
mod durable;
pub mod free_space;
pub mod objects;
#[cfg(test)]
mod test_process;
pub mod vectors;
pub mod wakeups;
