//! A connection with an API key, and uploads.

#[cfg(feature = "tls")]
mod tls;
mod upload;

use std::{fmt, time::Duration};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

#[cfg(feature = "tls")]
pub use self::tls::Tls;
pub use self::upload::UploadError;
use crate::v1::{
    admin_service_client::AdminServiceClient, ingestion_service_client::IngestionServiceClient,
    query_service_client::QueryServiceClient,
};

/// Lists of long chunks exceed the 4 MiB that clients take by default.
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

/// A channel that sends the API key with every call.
pub type Authenticated = InterceptedService<Channel, ApiKey>;

/// A connection to a server with an API key. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Authenticated,
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time that connecting may take.
    pub connect_timeout: Duration,
    /// Time between HTTP/2 pings while a call is running, so that a lost connection is noticed.
    pub keepalive_interval: Duration,
    /// Time for the answer to a ping.
    pub keepalive_timeout: Duration,
    /// Whom to trust, for `https://` URLs.
    #[cfg(feature = "tls")]
    pub tls: Tls,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            #[cfg(feature = "tls")]
            tls: Tls::system(),
        }
    }
}

/// Why no connection came to be.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none, or has another scheme than `http` and `https`.
    Url(String),
    /// An `https://` URL, and this crate was built without the feature `tls`.
    WithoutTls,
    /// The key holds characters that cannot be sent.
    Key,
    /// The server cannot be reached, or is not trusted.
    Transport(tonic::transport::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => {
                write!(f, "`{url}` is no address of a server; write it as http://HOST:PORT or https://HOST:PORT")
            }
            Self::WithoutTls => f.write_str("https needs the feature `tls` of the crate `vectrion`"),
            Self::Key => f.write_str("the API key holds characters that no key has"),
            Self::Transport(_) => f.write_str("cannot connect to the server"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(source) => Some(source),
            Self::Url(_) | Self::WithoutTls | Self::Key => None,
        }
    }
}

impl Client {
    /// Connects to `http://HOST:PORT` or `https://HOST:PORT` with an API key.
    ///
    /// # Errors
    /// A URL or key that cannot be right, a server out of reach.
    pub async fn connect(url: &str, key: &str) -> Result<Self, ConnectError> {
        Self::connect_with(url, key, Options::default()).await
    }

    /// Connects with options.
    ///
    /// # Errors
    /// A URL or key that cannot be right, a server out of reach.
    pub async fn connect_with(url: &str, key: &str, options: Options) -> Result<Self, ConnectError> {
        let key = ApiKey::new(key)?;
        let channel = endpoint(url, &options)?.connect().await.map_err(ConnectError::Transport)?;
        Ok(Self::over(channel, key))
    }

    /// Connects at the first call, and again after the connection was lost.
    ///
    /// # Errors
    /// A URL or key that cannot be right.
    pub fn lazy(url: &str, key: &str, options: Options) -> Result<Self, ConnectError> {
        Ok(Self::over(endpoint(url, &options)?.connect_lazy(), ApiKey::new(key)?))
    }

    /// Over a channel of the caller's making.
    #[must_use]
    pub fn over(channel: Channel, key: ApiKey) -> Self {
        Self { channel: InterceptedService::new(channel, key) }
    }

    /// IngestionService.
    #[must_use]
    pub fn ingestion(&self) -> IngestionServiceClient<Authenticated> {
        IngestionServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    /// QueryService.
    #[must_use]
    pub fn query(&self) -> QueryServiceClient<Authenticated> {
        QueryServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    /// AdminService.
    #[must_use]
    pub fn admin(&self) -> AdminServiceClient<Authenticated> {
        AdminServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }
}

fn endpoint(url: &str, options: &Options) -> Result<Endpoint, ConnectError> {
    let bad = || ConnectError::Url(url.to_owned());
    let uri: http::Uri = url.parse().map_err(|_| bad())?;
    let https = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(bad()),
    };
    let endpoint = Endpoint::from(uri)
        .connect_timeout(options.connect_timeout)
        .http2_keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .tcp_nodelay(true);
    if !https {
        return Ok(endpoint);
    }
    #[cfg(feature = "tls")]
    return endpoint.tls_config(options.tls.config()).map_err(ConnectError::Transport);
    #[cfg(not(feature = "tls"))]
    return Err(ConnectError::WithoutTls);
}

/// Sends `authorization: Bearer …` with every call. Its `Debug` does not show the key.
#[derive(Clone, Debug)]
pub struct ApiKey {
    header: MetadataValue<Ascii>,
}

impl ApiKey {
    /// # Errors
    /// [`ConnectError::Key`] if it holds characters that cannot be sent.
    pub fn new(key: &str) -> Result<Self, ConnectError> {
        let mut header: MetadataValue<Ascii> =
            format!("Bearer {}", key.trim()).parse().map_err(|_| ConnectError::Key)?;
        header.set_sensitive(true);
        Ok(Self { header })
    }
}

impl Interceptor for ApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.header.clone());
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_shown() {
        let key = ApiKey::new("vk_secret\n").expect("a key");
        assert!(!format!("{key:?}").contains("secret"));
        assert_eq!(key.header.to_str().expect("ascii"), "Bearer vk_secret");
        assert!(matches!(ApiKey::new("vk_\u{7}"), Err(ConnectError::Key)));
    }

    #[test]
    fn addresses_need_a_scheme_that_can_be_spoken() {
        let options = Options::default();
        assert!(endpoint("http://127.0.0.1:1", &options).is_ok());
        for bad in ["", "127.0.0.1:1", "localhost", "ftp://localhost", "http://"] {
            assert!(matches!(endpoint(bad, &options), Err(ConnectError::Url(_))), "{bad}");
        }
        let https = endpoint("https://localhost:1", &options);
        if cfg!(feature = "tls") {
            assert!(https.is_ok());
        } else {
            assert!(matches!(https, Err(ConnectError::WithoutTls)));
        }
    }
}
