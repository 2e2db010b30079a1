//! Why a server cannot start or go on.

use std::{io, net::SocketAddr, path::PathBuf};

/// Why a server cannot start or go on. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting that cannot work.
    #[error("`server.{key}`: {problem}")]
    Setting {
        /// The key.
        key: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The address cannot be resolved.
    #[error("`server.listen`: cannot resolve {listen}; give HOST:PORT, such as 127.0.0.1:50051")]
    Address {
        /// As configured.
        listen: String,
        /// Why.
        source: io::Error,
    },
    /// Beyond loopback without TLS.
    #[error(
        "refusing to listen on {address} without TLS: API keys would cross the network in clear text; set \
         `server.tls_certificate_path` and `server.tls_key_path`, or `server.allow_insecure = true` if something in \
         front of it encrypts"
    )]
    Insecure {
        /// Where.
        address: SocketAddr,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {address}; is another server running there?")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A TLS file cannot be read.
    #[error("`server.{key}`: cannot read {path}")]
    TlsFile {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A TLS file does not hold what it should.
    #[error("`server.{key}`: {path} {problem}")]
    TlsContent {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Certificate and key do not go together, or cannot be used.
    #[error("`server.tls_certificate_path` and `server.tls_key_path` cannot be used together")]
    TlsIdentity {
        /// Why.
        source: rustls::Error,
    },
    /// The descriptors for reflection cannot be read.
    #[error("cannot set reflection up")]
    Reflection {
        /// Why.
        source: tonic_reflection::server::Error,
    },
    /// The transport gave up.
    #[error("the transport failed")]
    Transport {
        /// Why.
        source: tonic::transport::Error,
    },
}
