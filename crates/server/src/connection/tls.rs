//! TLS from certificate and key files.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
};
use tokio_rustls::TlsAcceptor;

use crate::{error::ServeError, settings::ServerSettings};

const CERTIFICATE: &str = "tls_certificate_path";
const KEY: &str = "tls_key_path";

/// The acceptor for the configured files; none without them.
pub(crate) async fn acceptor(settings: &ServerSettings) -> Result<Option<TlsAcceptor>, ServeError> {
    if !settings.tls() {
        return Ok(None);
    }
    let chain = read(CERTIFICATE, &settings.tls_certificate_path).await?;
    let key = read(KEY, &settings.tls_key_path).await?;
    let chain = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| content(CERTIFICATE, &settings.tls_certificate_path, "is not valid PEM"))?;
    if chain.is_empty() {
        return Err(content(CERTIFICATE, &settings.tls_certificate_path, "holds no certificate in PEM form"));
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| {
        let problem = match error {
            pem::Error::NoItemsFound => "holds no private key in PEM form (PKCS#8, PKCS#1 or SEC1, not encrypted)",
            _ => "is not valid PEM",
        };
        content(KEY, &settings.tls_key_path, problem)
    })?;

    // The provider is named: which one is the process's default is not this crate's business.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|source| ServeError::TlsIdentity { source })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    if settings.grpc_web {
        config.alpn_protocols.push(b"http/1.1".to_vec());
    }
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

async fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, ServeError> {
    let source = match tokio::fs::read(path).await {
        Ok(bytes) if bytes.is_empty() => io::Error::new(io::ErrorKind::UnexpectedEof, "the file is empty"),
        Ok(bytes) => return Ok(bytes),
        Err(source) => source,
    };
    Err(ServeError::TlsFile { key, path: path.to_owned(), source })
}

fn content(key: &'static str, path: &Path, problem: &'static str) -> ServeError {
    ServeError::TlsContent { key, path: PathBuf::from(path), problem }
}
