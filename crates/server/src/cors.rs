//! Which pages may call from a browser.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{error::ServeError, settings::ServerSettings};

const REQUEST_HEADERS: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
const RESPONSE_HEADERS: [HeaderName; 5] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("trace-id"),
    HeaderName::from_static("traceparent"),
];
const PREFLIGHT_FOR: Duration = Duration::from_secs(2 * 60 * 60);

/// Refuses origins that no browser would ever send.
pub(crate) fn check(settings: &ServerSettings) -> Result<(), ServeError> {
    for origin in &settings.cors_origins {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let plain = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', ' ', '@']));
        if origin != "*" && !(plain && HeaderValue::from_str(origin).is_ok()) {
            return Err(ServeError::Setting {
                key: "cors_origins",
                problem: format!(
                    "`{origin}` is no origin; write it as https://HOST or https://HOST:PORT, or `*` for any"
                ),
            });
        }
    }
    Ok(())
}

/// Answers preflights and marks responses for the allowed origins.
pub(crate) fn layer(settings: &ServerSettings) -> CorsLayer {
    let origins = if settings.cors_origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(settings.cors_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::POST])
        .allow_headers(REQUEST_HEADERS)
        .expose_headers(RESPONSE_HEADERS)
        .max_age(PREFLIGHT_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::defaults;

    #[test]
    fn origins_are_checked() {
        for (origin, fine) in [
            ("https://app.example.org", true),
            ("http://localhost:5173", true),
            ("*", true),
            ("app.example.org", false),
            ("https://app.example.org/", false),
            ("https://", false),
            ("https://user@example.org", false),
        ] {
            let mut settings = defaults();
            settings.cors_origins = vec![origin.into()];
            assert_eq!(check(&settings).is_ok(), fine, "{origin}");
        }
    }
}
