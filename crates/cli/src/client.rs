//! Reaching the server.

use std::{path::PathBuf, time::Duration};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use vectrion::v1::{
    admin_service_client::AdminServiceClient, ingestion_service_client::IngestionServiceClient,
    query_service_client::QueryServiceClient,
};
use vectrion_runtime::{Config, Sources, data_dir};

use crate::{args::Connection, failure::Failure};

/// Address of a server on this machine.
pub(crate) const DEFAULT_ADDRESS: &str = "http://127.0.0.1:50051";
/// Bytes of a message from the server at the most.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

pub(crate) type Service = InterceptedService<Channel, BearerKey>;

/// Adds the API key to every call.
#[derive(Clone)]
pub(crate) struct BearerKey(MetadataValue<Ascii>);

impl Interceptor for BearerKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A connection with a key.
#[derive(Clone)]
pub(crate) struct Client {
    service: Service,
}

impl Client {
    pub(crate) async fn connect(connection: &Connection) -> Result<Self, Failure> {
        let address = connection.addr.clone().unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
        let key = api_key(connection)?;
        let key = MetadataValue::try_from(format!("Bearer {key}"))
            .map_err(|_| Failure::Usage("the API key has characters that a key cannot have; check VECTRION_API_KEY".into()))?;
        let endpoint = endpoint(&address, connection)?;
        let channel = endpoint.connect().await.map_err(|error| {
            tracing::debug!(?error, "cannot connect");
            Failure::Unreachable(format!(
                "cannot reach the server at {address}: is `vectrion serve` running there? \
                 (VECTRION_ADDR or --addr names another one)"
            ))
        })?;
        Ok(Self { service: InterceptedService::new(channel, BearerKey(key)) })
    }

    pub(crate) fn ingestion(&self) -> IngestionServiceClient<Service> {
        IngestionServiceClient::new(self.service.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub(crate) fn query(&self) -> QueryServiceClient<Service> {
        QueryServiceClient::new(self.service.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Service> {
        AdminServiceClient::new(self.service.clone()).max_decoding_message_size(MAX_MESSAGE)
    }
}

fn endpoint(address: &str, connection: &Connection) -> Result<Endpoint, Failure> {
    let wrong = || Failure::Usage(format!("{address:?} is not an address; write http://HOST:PORT or https://HOST:PORT"));
    let mut endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| wrong())?;
    if endpoint.uri().host().is_none() || !matches!(endpoint.uri().scheme_str(), Some("http" | "https")) {
        return Err(wrong());
    }
    if endpoint.uri().scheme_str() == Some("https") {
        let mut tls = ClientTlsConfig::new().with_enabled_roots();
        if let Some(path) = &connection.ca_cert {
            let pem = std::fs::read(path)
                .map_err(|error| Failure::Usage(format!("cannot read the certificate {}: {error}", path.display())))?;
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        endpoint = endpoint
            .tls_config(tls)
            .map_err(|error| Failure::Usage(format!("cannot use TLS: {error}; check --ca-cert")))?;
    }
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20)))
}

/// The key of the command line or the environment, else the one that the server left in its data directory.
fn api_key(connection: &Connection) -> Result<String, Failure> {
    if let Some(key) = connection.api_key.as_deref().map(str::trim).filter(|key| !key.is_empty()) {
        return Ok(key.to_owned());
    }
    let directory = data_directory(connection)?;
    data_dir::read_admin_key(&directory).ok_or_else(|| {
        Failure::Usage(format!(
            "no API key: set VECTRION_API_KEY, or give the server's --data-dir (there is no readable {})",
            data_dir::admin_key_path(&directory).display()
        ))
    })
}

/// The data directory of the command line, the environment or the defaults.
fn data_directory(connection: &Connection) -> Result<PathBuf, Failure> {
    let overrides = connection.data_dir.iter().map(|dir| ("data_dir".to_owned(), dir.display().to_string())).collect();
    let sources = Sources { file: None, environment: std::env::vars().collect(), overrides };
    let config = Config::load(&sources).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(config.data_dir().to_owned())
}
