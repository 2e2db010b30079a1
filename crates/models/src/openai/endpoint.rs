//! The HTTP client of one endpoint.

use std::{pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use reqwest::{
    Client, Proxy, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use secrecy::{ExposeSecret as _, SecretString};
use vectrion_core::{Error, Result};

use super::{Break, Calls, EndpointSettings, Failure, Gate, UpstreamError};

/// Bytes of a body as they come.
pub(crate) type BodyStream = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// What an error's body may cost: it is read for its code alone.
const MAX_ERROR_BYTES: usize = 16 << 10;
const ERROR_BODY_TIMEOUT: Duration = Duration::from_millis(500);

/// A longer wait is as good as none.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// What the request asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Accept {
    Events,
    Json,
}

/// One path of an endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    client: Client,
    url: Url,
    max_request_bytes: usize,
    pub(crate) max_response_bytes: usize,
    pub(crate) calls: Calls,
    pub(crate) gate: Gate,
}

impl Endpoint {
    /// A client for `path` below the base URL. `seed` is for the jitter.
    pub(crate) fn new(settings: &EndpointSettings, path: &[&str], seed: u64) -> Result<Self> {
        if settings.model.is_empty() {
            return Err(Error::invalid_field("model", "must not be empty"));
        }
        if settings.breaker.failures == 0 {
            return Err(Error::invalid_field("breaker.failures", "must be at least 1"));
        }
        let url = endpoint_url(&settings.base_url, path)?;
        if settings.api_key.is_some() && url.scheme() == "http" && !is_loopback(&url) {
            tracing::warn!(host = url.host_str(), model = settings.model, "the model's api key is sent without tls");
        }
        Ok(Self {
            client: client(settings, &url)?,
            url,
            max_request_bytes: settings.max_request_bytes,
            max_response_bytes: settings.max_response_bytes,
            calls: Calls::new(settings, seed),
            gate: Gate::new(&settings.rate),
        })
    }

    /// Sends a JSON body once. Dropping the future, or later the response, closes the connection or resets the stream.
    pub(crate) async fn post(&self, accept: Accept, body: Bytes) -> Result<Response, Failure> {
        if body.len() > self.max_request_bytes {
            return Err(Failure::TooLarge { bytes: body.len(), limit: self.max_request_bytes });
        }
        let accept = match accept {
            Accept::Events => "text/event-stream, application/json",
            Accept::Json => "application/json",
        };
        let request =
            self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").header(ACCEPT, accept);
        let response = request.body(body).send().await.map_err(|error| {
            // The URL may hold what an operator does not want in a log.
            let error = error.without_url();
            if error.is_connect() { Failure::Connect(error) } else { Failure::Transport(error) }
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let failure = refused(response).await;
        if failure.is_rate() {
            self.gate.pause(failure.retry_after());
        }
        Err(failure)
    }
}

async fn refused(response: Response) -> Failure {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let body = read_to_end(response, MAX_ERROR_BYTES);
    let upstream = match tokio::time::timeout(ERROR_BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => UpstreamError::from_body(&body),
        Ok(Err(_)) | Err(_) => UpstreamError::default(),
    };
    Failure::from_status(status, upstream, retry_after)
}

/// The whole body, within a bound.
pub(crate) async fn read_to_end(response: Response, max_bytes: usize) -> Result<Bytes, Break> {
    let mut body = response.bytes_stream();
    let mut read = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| Break::Transport(error.without_url()))?;
        if read.len() + chunk.len() > max_bytes {
            return Err(Break::ResponseTooLong);
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

/// Whether the response is one JSON value rather than a stream of events.
pub(crate) fn is_json(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    content_type.to_ascii_lowercase().starts_with(b"application/json")
}

fn endpoint_url(base: &str, path: &[&str]) -> Result<Url> {
    let wrong = |rule: &str| Error::invalid_field("base_url", rule);
    let mut url = Url::parse(base).map_err(|error| wrong("must be a URL").with_source(error))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not hold a user or password; use the API key or a header"));
    }
    url.set_fragment(None);
    match url.path_segments_mut() {
        Ok(mut segments) => segments.pop_if_empty().extend(path),
        Err(()) => return Err(wrong("must have a host")),
    };
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str().map(|host| host.trim_matches(['[', ']'])) {
        Some("localhost") => true,
        Some(host) => host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

fn client(settings: &EndpointSettings, url: &Url) -> Result<Client> {
    let mut builder = Client::builder()
        .user_agent(concat!("vectrion/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers(settings)?)
        // A redirect would carry documents and keys to wherever the server says.
        .redirect(Policy::none())
        .referer(false)
        // Retries are decided in one place, by the breaker and the budget.
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(settings.connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        // Shorter than the idle time of common proxies, so that a connection is seldom closed as it is taken.
        .pool_idle_timeout(Duration::from_secs(50))
        .pool_max_idle_per_host(32);
    if let Some(proxy) = &settings.proxy {
        let proxy = Proxy::all(proxy.expose_secret())
            .map_err(|_may_quote_the_password| Error::invalid_field("proxy", "must be the URL of a proxy"))?;
        builder = builder.proxy(proxy);
    } else if url.scheme() == "http" {
        // No certificate is ever checked; without this a machine that has none could not call its own loopback.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| {
        let message = "the HTTP client of the model cannot be made: check the system's certificates";
        Error::precondition("MODEL_CLIENT_FAILED", message).with_source(error.without_url())
    })
}

fn headers(settings: &EndpointSettings) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &settings.api_key {
        let bearer = SecretString::from(format!("Bearer {}", key.expose_secret()));
        headers.insert(AUTHORIZATION, secret_value("api_key", &bearer)?);
        if key.expose_secret().is_empty() {
            return Err(Error::invalid_field("api_key", "must not be empty; leave it out if there is none"));
        }
    }
    for (name, value) in &settings.headers {
        let field = format!("headers.{name}");
        let value = secret_value(&field, value)?;
        let name = HeaderName::try_from(name.as_str())
            .map_err(|error| Error::invalid_field(field, "must be the name of an HTTP header").with_source(error))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// A header's value that no debug output shows.
fn secret_value(field: &str, value: &SecretString) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value.expose_secret())
        .map_err(|_tells_nothing| Error::invalid_field(field, "must be one line of visible ASCII characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `retry-after-ms`, or `Retry-After` in seconds or as a date. The date counts from the server's own `Date`: its clock
/// and ours may differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str, unit: f64| {
        let number: f64 = text.parse().ok()?;
        Duration::try_from_secs_f64(number.max(0.0) * unit).ok()
    };
    let after = text("retry-after-ms").and_then(|text| number(text, 0.001)).or_else(|| {
        let asked = text(RETRY_AFTER.as_str())?;
        number(asked, 1.0).or_else(|| {
            let until = httpdate::parse_http_date(asked).ok()?;
            let now = httpdate::parse_http_date(text(DATE.as_str())?).ok()?;
            Some(until.duration_since(now).unwrap_or_default())
        })
    })?;
    Some(after.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(base: &str) -> String {
        endpoint_url(base, &["chat", "completions"]).expect("valid").to_string()
    }

    fn settings(base_url: &str) -> EndpointSettings {
        EndpointSettings::new(base_url, "m")
    }

    fn field_of(settings: &EndpointSettings) -> String {
        let error = Endpoint::new(settings, &["embeddings"], 0).expect_err("invalid");
        assert_eq!(error.reason(), "INVALID_FIELD");
        error.violations()[0].field.clone()
    }

    #[test]
    fn paths_are_put_behind_the_base_and_before_a_query() {
        assert_eq!(url("https://api.example.com/v1"), "https://api.example.com/v1/chat/completions");
        assert_eq!(url("http://127.0.0.1:8000/v1/"), "http://127.0.0.1:8000/v1/chat/completions");
        assert_eq!(url("https://x.example.com/d?v=1"), "https://x.example.com/d/chat/completions?v=1");
    }

    #[test]
    fn wrong_settings_name_their_field_and_keep_their_secrets() {
        assert_eq!(field_of(&settings("ftp://host/v1")), "base_url");
        assert_eq!(field_of(&settings("localhost")), "base_url");
        assert_eq!(field_of(&settings("http://user:pw@host/v1")), "base_url");
        let mut wrong = settings("http://localhost/v1");
        wrong.api_key = Some("sk-secret\nline".into());
        assert_eq!(field_of(&wrong), "api_key");
        wrong.api_key = None;
        wrong.headers = vec![("api key".to_owned(), "x".into())];
        assert_eq!(field_of(&wrong), "headers.api key");
        let mut secret = settings("http://localhost/v1");
        secret.api_key = Some("sk-secret".into());
        secret.headers = vec![("api-key".to_owned(), "sk-secret".into())];
        let endpoint = Endpoint::new(&secret, &["embeddings"], 0).expect("valid");
        assert!(!format!("{secret:?} {endpoint:?}").contains("sk-secret"));
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let read = |pairs: &[(&'static str, &str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("valid")));
            retry_after(&headers.collect())
        };
        assert_eq!(read(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(read(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        assert_eq!(read(&[("retry-after", "7"), ("retry-after-ms", "20")]), Some(Duration::from_millis(20)));
        assert_eq!(read(&[("retry-after", "-3")]), Some(Duration::ZERO));
        assert_eq!(read(&[("retry-after", "1e300")]), None);
        assert_eq!(read(&[("retry-after", "99999999")]), Some(MAX_RETRY_AFTER));
        let date = ("date", "Sat, 21 Nov 2026 12:00:00 GMT");
        assert_eq!(read(&[("retry-after", "Sat, 21 Nov 2026 12:00:30 GMT"), date]), Some(Duration::from_secs(30)));
        assert_eq!(read(&[("retry-after", "Sat, 21 Nov 2026 12:00:30 GMT")]), None);
        assert_eq!(read(&[("retry-after", "soon")]), None);
    }
}
