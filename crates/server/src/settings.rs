//! The server's section of the configuration.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

/// `[server]`. `config/defaults.toml` holds the defaults and says what each is for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// `HOST:PORT` to listen on; port 0 takes any free one.
    pub listen: String,
    /// Allows to listen beyond loopback without TLS.
    pub allow_insecure: bool,
    /// PEM file with the certificate chain; empty: no TLS.
    pub tls_certificate_path: PathBuf,
    /// PEM file with the private key.
    pub tls_key_path: PathBuf,
    /// Serve reflection, v1 and v1alpha.
    pub reflection: bool,
    /// Speak gRPC-Web too, over HTTP/1.1 and HTTP/2.
    pub grpc_web: bool,
    /// Origins whose pages may call by gRPC-Web; `*` for any.
    pub cors_origins: Vec<String>,
    /// Connections at the most; further ones are closed at once.
    pub max_connections: usize,
    /// Calls of one connection at the most; further ones wait at the client.
    pub max_streams_per_connection: u32,
    /// Calls in flight at the most, of all connections; further ones are refused.
    pub max_calls: usize,
    /// Bytes of a call's metadata at the most.
    pub max_header_bytes: u32,
    /// Bytes of a message to IngestionService at the most.
    pub max_ingestion_request_bytes: usize,
    /// Bytes of a message to QueryService at the most.
    pub max_query_request_bytes: usize,
    /// Bytes of a message to AdminService at the most.
    pub max_admin_request_bytes: usize,
    /// Bytes of a response message at the most.
    pub max_response_bytes: usize,
    /// Calls that a client reset and that nobody has looked at yet, at the most; beyond, the connection is closed.
    pub max_pending_resets: usize,
    /// Calls that this server reset because the client broke the protocol, at the most; beyond, the connection is closed.
    pub max_error_resets: usize,
    /// Seconds between HTTP/2 pings.
    pub keepalive_interval_s: u64,
    /// Seconds that a ping may stay unanswered before the connection counts as lost.
    pub keepalive_timeout_s: u64,
    /// Seconds that a TLS handshake may take.
    pub handshake_timeout_s: u64,
    /// Seconds after which a connection on which no byte moves is closed.
    pub connection_idle_s: u64,
    /// Seconds after which a client is asked to reconnect; running calls end in peace. 0: never.
    pub connection_age_s: u64,
    /// Seconds that a unary call takes at the most.
    pub unary_timeout_s: u64,
    /// Seconds that an upload in one call takes at the most.
    pub upload_timeout_s: u64,
    /// Seconds that the stream of an answer or of a document's content takes at the most.
    pub stream_timeout_s: u64,
    /// Seconds after which a watch ends, to be begun again.
    pub watch_timeout_s: u64,
    /// Seconds after which a stream whose caller neither sends nor reads is ended.
    pub stream_idle_s: u64,
    /// Failed authentications per minute and peer address; beyond, unknown keys are refused without a look. 0: no limit.
    pub failed_logins_per_minute: u32,
    /// Seconds between looks at what the server depends on.
    pub readiness_interval_s: u64,
    /// Milliseconds between "not serving" and the end of listening.
    pub shutdown_pause_ms: u64,
    /// Seconds that running calls may take to end at the shutdown.
    pub shutdown_drain_s: u64,
}

impl ServerSettings {
    /// What cannot work, as (key, problem).
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        let positive = [
            ("max_connections", self.max_connections as u64),
            ("max_streams_per_connection", u64::from(self.max_streams_per_connection)),
            ("max_calls", self.max_calls as u64),
            ("max_header_bytes", u64::from(self.max_header_bytes)),
            ("max_response_bytes", self.max_response_bytes as u64),
            ("keepalive_interval_s", self.keepalive_interval_s),
            ("keepalive_timeout_s", self.keepalive_timeout_s),
            ("handshake_timeout_s", self.handshake_timeout_s),
            ("unary_timeout_s", self.unary_timeout_s),
            ("upload_timeout_s", self.upload_timeout_s),
            ("stream_timeout_s", self.stream_timeout_s),
            ("watch_timeout_s", self.watch_timeout_s),
            ("stream_idle_s", self.stream_idle_s),
            ("readiness_interval_s", self.readiness_interval_s),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Some((key, "must be at least 1".into()));
        }
        // A chunk of an upload is 2 MiB, and its message a little more.
        let smallest = [
            ("max_ingestion_request_bytes", self.max_ingestion_request_bytes, 2 * 1024 * 1024 + 1024),
            ("max_query_request_bytes", self.max_query_request_bytes, 64 * 1024),
            ("max_admin_request_bytes", self.max_admin_request_bytes, 16 * 1024),
        ];
        if let Some((key, _, least)) = smallest.into_iter().find(|(_, value, least)| value < least) {
            return Some((key, format!("must be at least {least}")));
        }
        // Pings keep an idle HTTP/2 connection busy; a shorter limit would cut every one of them.
        if self.connection_idle_s <= self.keepalive_interval_s {
            return Some(("connection_idle_s", "must be more than keepalive_interval_s".into()));
        }
        if self.tls_certificate_path.as_os_str().is_empty() != self.tls_key_path.as_os_str().is_empty() {
            return Some(("tls_key_path", "set both tls_certificate_path and tls_key_path, or neither".into()));
        }
        if !self.grpc_web && !self.cors_origins.is_empty() {
            return Some(("cors_origins", "has no effect without grpc_web = true".into()));
        }
        None
    }

    pub(crate) fn tls(&self) -> bool {
        !self.tls_certificate_path.as_os_str().is_empty()
    }

    pub(crate) fn stream_idle(&self) -> Duration {
        Duration::from_secs(self.stream_idle_s)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The defaults, on a free port.
    pub(crate) fn defaults() -> ServerSettings {
        let manual: toml::Table = include_str!("../../../config/defaults.toml").parse().expect("valid TOML");
        let mut settings: ServerSettings =
            manual.get("server").expect("a section [server]").clone().try_into().expect("the server's settings");
        settings.listen = "127.0.0.1:0".into();
        settings
    }

    #[test]
    fn the_defaults_are_complete_and_listen_on_loopback_with_and_without_grpc_web() {
        let manual: toml::Table = include_str!("../../../config/defaults.toml").parse().expect("valid TOML");
        assert_eq!(manual["server"]["listen"].as_str(), Some("127.0.0.1:50051"));
        let settings = defaults();
        assert_eq!(settings.problem(), None);
        assert!(!settings.allow_insecure);
    }

    #[test]
    fn what_cannot_work_is_named() {
        let broken = |change: fn(&mut ServerSettings)| {
            let mut settings = defaults();
            change(&mut settings);
            settings.problem().map(|(key, _)| key)
        };
        assert_eq!(broken(|s| s.unary_timeout_s = 0), Some("unary_timeout_s"));
        assert_eq!(broken(|s| s.max_ingestion_request_bytes = 1024), Some("max_ingestion_request_bytes"));
        assert_eq!(broken(|s| s.connection_idle_s = s.keepalive_interval_s), Some("connection_idle_s"));
        assert_eq!(broken(|s| s.tls_key_path = "key.pem".into()), Some("tls_key_path"));
        assert_eq!(
            broken(|s| {
                s.grpc_web = false;
                s.cors_origins = vec!["https://example.org".into()];
            }),
            Some("cors_origins")
        );
    }
}
