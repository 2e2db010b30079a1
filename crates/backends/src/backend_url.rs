//! URLs that pick a backend by their scheme.

use std::path::PathBuf;

use vectrion_core::{Error, Result};

/// A backend that a kind has, compiled in or not.
pub(crate) struct Scheme {
    /// The part of the URL before the colon.
    pub(crate) name: &'static str,
    /// A URL as it should look.
    pub(crate) example: &'static str,
    /// The cargo feature that brings it, if it is not compiled in.
    pub(crate) missing_feature: Option<&'static str>,
}

/// The part of `url` before the first colon, and the part after it.
pub(crate) fn split<'a>(key: &'static str, url: &'a str) -> Result<(&'a str, &'a str)> {
    url.split_once(':').filter(|(scheme, _)| !scheme.is_empty()).ok_or_else(|| {
        let rule = "must begin with a scheme and a colon";
        Error::invalid("INVALID_BACKEND_URL", format!("{key} {rule}")).with_violation(key, rule)
    })
}

/// The error for a scheme that none of the compiled-in backends has.
pub(crate) fn unsupported(key: &'static str, scheme: &str, schemes: &[Scheme]) -> Error {
    let examples = |compiled: bool| {
        schemes
            .iter()
            .filter(|known| known.missing_feature.is_none() == compiled)
            .map(|known| known.example)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let supported = examples(true);
    let rule = match schemes.iter().find(|known| known.name == scheme).and_then(|known| known.missing_feature) {
        Some(feature) => format!(
            "{scheme}: was not compiled in (cargo feature {feature}); this build supports: {}",
            if supported.is_empty() { "nothing" } else { &supported }
        ),
        None => format!("{scheme}: is not a backend; supported: {supported}"),
    };
    Error::invalid("UNSUPPORTED_BACKEND", format!("{key}: {rule}")).with_violation(key, rule)
}

/// The absolute directory that the part of a URL after its scheme names: `///data/x`, or `/data/x`. It is taken as it
/// stands, without percent-decoding.
pub(crate) fn local_directory(key: &'static str, rest: &str) -> Result<PathBuf> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.starts_with('/') && !path.trim_matches('/').is_empty() {
        return Ok(PathBuf::from(path));
    }
    let rule = "must name an absolute directory, with three slashes after the scheme";
    Err(Error::invalid("INVALID_BACKEND_URL", format!("{key} {rule}")).with_violation(key, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_absolute_and_taken_as_it_stands() {
        assert_eq!(local_directory("objects.url", "///var/lib/50%").unwrap(), PathBuf::from("/var/lib/50%"));
        assert_eq!(local_directory("objects.url", "/data").unwrap(), PathBuf::from("/data"));
        for wrong in ["//host/data", "relative", "", "///", "//"] {
            let error = local_directory("objects.url", wrong).expect_err(wrong);
            assert_eq!(error.reason(), "INVALID_BACKEND_URL");
            assert_eq!(error.violations()[0].field, "objects.url");
        }
    }

    #[test]
    fn an_unknown_scheme_is_told_what_is_supported_and_never_the_url() {
        let schemes = [
            Scheme { name: "edge", example: "edge:///dir", missing_feature: None },
            Scheme { name: "http", example: "http://host:6334", missing_feature: Some("qdrant") },
        ];
        let error = unsupported("vectors.url", "amqp", &schemes);
        assert_eq!(error.reason(), "UNSUPPORTED_BACKEND");
        assert_eq!(error.message(), "vectors.url: amqp: is not a backend; supported: edge:///dir");
        let error = unsupported("vectors.url", "http", &schemes);
        assert!(error.message().contains("cargo feature qdrant"), "{error}");
        assert_eq!(split("vectors.url", "no scheme").expect_err("no colon").reason(), "INVALID_BACKEND_URL");
    }
}
