//! Settings of an endpoint.

use std::time::Duration;

use secrecy::SecretString;

/// Where an OpenAI-compatible endpoint is, and how it is called.
#[derive(Clone, Debug)]
pub struct EndpointSettings {
    /// URL up to the version, such as `https://api.openai.com/v1`; a query stays behind the path. No user or password.
    pub base_url: String,
    /// Name of the model, as the endpoint knows it.
    pub model: String,
    /// Sent as `Authorization: Bearer`.
    pub api_key: Option<SecretString>,
    /// Sent with each request, such as `api-key`.
    pub headers: Vec<(String, SecretString)>,
    /// Proxy for all requests. Without it none is used, whatever the environment says: the endpoint is often on the
    /// loopback or in the cluster.
    pub proxy: Option<SecretString>,
    /// Time for the TCP and TLS handshakes of a try.
    pub connect_timeout: Duration,
    /// Tries after the first.
    pub retries: RetrySettings,
    /// When to stop calling an endpoint that fails.
    pub breaker: BreakerSettings,
    /// How often it is called, by this process.
    pub rate: RateSettings,
    /// Bytes of a request at the most.
    pub max_request_bytes: usize,
    /// Bytes of a response at the most, all events of a stream together.
    pub max_response_bytes: usize,
}

impl EndpointSettings {
    /// Defaults for a model behind this URL.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            headers: Vec::new(),
            proxy: None,
            connect_timeout: Duration::from_secs(5),
            retries: RetrySettings::default(),
            breaker: BreakerSettings::default(),
            rate: RateSettings::default(),
            max_request_bytes: 8 << 20,
            max_response_bytes: 32 << 20,
        }
    }
}

/// Tries after the first. A `Retry-After` of the endpoint goes before the delays here. All calls together make at most
/// one retry in twenty calls and one in ten seconds, but for a reserve of five.
#[derive(Clone, Debug)]
pub struct RetrySettings {
    /// Retries of one call at the most.
    pub max_retries: u32,
    /// Delay before the first retry, doubled for each further one. Jitter shortens it by up to half.
    pub first_delay: Duration,
    /// The longest delay.
    pub max_delay: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { max_retries: 2, first_delay: Duration::from_millis(250), max_delay: Duration::from_secs(5) }
    }
}

/// Limits of the calls that this process makes; 0: none. Whatever they are, an endpoint that answers 429 is left alone, by
/// all calls, for as long as its `Retry-After` says.
#[derive(Clone, Debug, Default)]
pub struct RateSettings {
    /// Requests under way at the most.
    pub max_concurrency: usize,
    /// Requests that begin in a minute at the most; up to a sixth of them at once.
    pub requests_per_minute: u32,
    /// Tokens of the requests that begin in a minute at the most, estimated where they are not known; up to a sixth at
    /// once, but for a single request that has more.
    pub tokens_per_minute: u32,
}

/// Circuit breaker: after so many failures in a row calls fail at once, for a while; then one call is let through,
/// and its outcome decides.
#[derive(Clone, Debug)]
pub struct BreakerSettings {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open.
    pub pause: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(5) }
    }
}
