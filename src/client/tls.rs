//! Whom to trust.

use tonic::transport::{Certificate, ClientTlsConfig};

/// Whom to trust, and as whom to know the server.
#[derive(Clone, Debug)]
pub struct Tls {
    config: ClientTlsConfig,
}

impl Tls {
    /// Trusts what the operating system trusts.
    #[must_use]
    pub fn system() -> Self {
        Self { config: ClientTlsConfig::new().with_native_roots() }
    }

    /// Trusts the certificates in this PEM text and no others.
    #[must_use]
    pub fn only(pem: impl AsRef<[u8]>) -> Self {
        Self { config: ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)) }
    }

    /// Expects the server's certificate to name this host instead of the URL's.
    #[must_use]
    pub fn server_name(self, name: impl Into<String>) -> Self {
        Self { config: self.config.domain_name(name) }
    }

    pub(super) fn config(&self) -> ClientTlsConfig {
        self.config.clone()
    }
}
