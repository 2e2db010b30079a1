//! The connection: one channel, opened when it is first used and again when it was lost.
//!
//! The stubs are those of `qdrant-client`; the channel is our own, because the one of that crate cannot be told whom to
//! trust, takes a refused connection for a defect of the server, and has one limit of time for all calls.

use std::{fmt, fs, path::Path, sync::OnceLock, time::Duration};

use qdrant_client::qdrant::{collections_client::CollectionsClient, points_client::PointsClient};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use vectrion_core::{Error, Result};

use super::{address::Address, failure::Trouble, settings::QdrantSettings};

/// Bytes of an answer at the most.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A connection that carries nothing is asked for a sign of life so often, and must give it within so long.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(5);

/// A channel that puts the key on every call.
pub(super) type Authorized = InterceptedService<Channel, ApiKey>;
/// Calls about points.
pub(super) type Points = PointsClient<Authorized>;
/// Calls about collections.
pub(super) type Collections = CollectionsClient<Authorized>;

/// The way to a server.
pub(super) struct Connection {
    endpoint: Endpoint,
    key: ApiKey,
    /// Made at the first call: it needs the runtime, which need not be there when the index is opened.
    channel: OnceLock<Channel>,
    read_timeout: Duration,
    write_timeout: Duration,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("origin", self.endpoint.uri()).finish_non_exhaustive()
    }
}

impl Connection {
    /// Prepares a connection. Reads certificates, so it blocks.
    pub(super) fn new(address: &Address, api_key: &SecretString, settings: &QdrantSettings) -> Result<Self> {
        let mut endpoint = Endpoint::from(address.origin.clone())
            .connect_timeout(settings.connect_timeout())
            .tcp_keepalive(Some(KEEP_ALIVE_EVERY))
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_WAIT)
            .keep_alive_while_idle(true);
        if address.is_secure {
            let failed = "the certificates to trust cannot be read";
            endpoint =
                endpoint.tls_config(tls(settings.ca_file.as_deref())?).map_err(|error| match &settings.ca_file {
                    Some(_) => Error::invalid_field("vectors.ca_file", failed).with_source(error),
                    None => Error::precondition(
                        "VECTOR_INDEX_INSECURE",
                        "this system knows no authority that signs certificates: name one by vectors.ca_file",
                    )
                    .with_source(error),
                })?;
        }
        let key = ApiKey::new(api_key)?;
        Ok(Self {
            endpoint,
            key,
            channel: OnceLock::new(),
            read_timeout: settings.read_timeout(),
            write_timeout: settings.write_timeout(),
        })
    }

    /// The channel, with the key.
    pub(super) fn channel(&self) -> Authorized {
        let connect = || {
            if self.key.0.is_some() && self.endpoint.uri().scheme_str() != Some("https") {
                tracing::warn!("the API key of the Qdrant server travels without TLS");
            }
            self.endpoint.connect_lazy()
        };
        let channel = self.channel.get_or_init(connect).clone();
        InterceptedService::new(channel, self.key.clone())
    }

    /// Calls about points.
    pub(super) fn points(&self) -> Points {
        PointsClient::new(self.channel()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// Calls about collections.
    pub(super) fn collections(&self) -> Collections {
        CollectionsClient::new(self.channel()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// Makes a call that reads; a second time if the connection was lost.
    pub(super) async fn read<T, F>(&self, call: impl Fn() -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let twice = async {
            match answer(call()).await {
                Err(trouble) if trouble.is_lost_connection() => answer(call()).await,
                answered => answered,
            }
        };
        within(self.read_timeout, twice).await
    }

    /// Makes a call that changes something, once: whoever asked for the change asks again, later.
    pub(super) async fn write<T, F>(&self, call: F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        within(self.write_timeout, answer(call)).await
    }
}

async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Trouble> {
    call.await.map(Response::into_inner).map_err(Trouble::Status)
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    tokio::time::timeout(limit, call).await.unwrap_or(Err(Trouble::TimedOut(limit)))
}

fn tls(ca_file: Option<&Path>) -> Result<ClientTlsConfig> {
    let Some(path) = ca_file else { return Ok(ClientTlsConfig::new().with_native_roots()) };
    let pem =
        fs::read(path).map_err(|error| Error::invalid_field("vectors.ca_file", "cannot be read").with_source(error))?;
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}

/// Puts the API key on every call.
#[derive(Clone)]
pub(super) struct ApiKey(Option<MetadataValue<Ascii>>);

impl ApiKey {
    fn new(key: &SecretString) -> Result<Self> {
        let key = key.expose_secret().trim();
        if key.is_empty() {
            return Ok(Self(None));
        }
        let mut value: MetadataValue<Ascii> =
            key.parse().map_err(|_| Error::invalid_field("vectors.api_key", "must be of printable ASCII alone"))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for ApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Self(Some(key)) = self {
            request.metadata_mut().insert("api-key", key.clone());
        }
        Ok(request)
    }
}
