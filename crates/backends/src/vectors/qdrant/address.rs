//! Where the server is, and the beginning of the names that belong to this installation.

use tonic::transport::Uri;
use vectrion_core::{Error, Result};

use crate::vectors::KEY;

/// The port of Qdrant's gRPC API.
const PORT: u16 = 6334;

/// What the URL of a server says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Address {
    /// Scheme, host and port.
    pub(super) origin: Uri,
    /// Whether TLS is spoken.
    pub(super) is_secure: bool,
    /// Beginning of the names of collections and aliases.
    pub(super) prefix: String,
}

impl Address {
    /// Parses `http://host:6334/prefix`; without a path the prefix is `default_prefix`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with reason `INVALID_BACKEND_URL`, or `INVALID_FIELD` for the default prefix.
    pub(super) fn parse(url: &str, default_prefix: &str) -> Result<Self> {
        let wrong = |rule: &str| {
            Error::invalid("INVALID_BACKEND_URL", format!("{KEY}: {rule}")).with_violation(KEY, rule.to_owned())
        };
        let uri: Uri =
            url.parse().map_err(|error| wrong("must be a URL such as http://host:6334").with_source(error))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong("must name a host, such as http://host:6334"));
        };
        if authority.as_str().contains('@') {
            return Err(wrong("must not hold a user or a key: vectors.api_key is where the key belongs"));
        }
        if authority.host().is_empty() {
            return Err(wrong("must name a host, such as http://host:6334"));
        }
        if uri.query().is_some() {
            return Err(wrong("must not have a part after a question mark"));
        }
        let prefix = match uri.path().trim_matches('/') {
            "" if is_name(default_prefix) => default_prefix,
            "" => return Err(Error::invalid_field("vectors.prefix", NAME_RULE)),
            path if is_name(path) => path,
            _ => return Err(wrong("must have a path of one to 64 letters, digits or _, or none")),
        };
        let authority = match authority.port_u16() {
            Some(_) => authority.to_string(),
            None => format!("{}:{PORT}", authority.host()),
        };
        let origin = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
        let origin = origin.map_err(|error| wrong("must name a host, such as http://host:6334").with_source(error))?;
        Ok(Self { origin, is_secure: scheme == "https", prefix: prefix.to_owned() })
    }
}

const NAME_RULE: &str = "must be one to 64 letters, digits or _";

/// Whether a text may begin names: without the `-` that ends it in them, so that one prefix never begins with another.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_names_server_and_prefix() {
        let address = Address::parse("http://qdrant:7000/acme_1/", "vectrion").unwrap();
        assert_eq!((address.origin.to_string().as_str(), address.is_secure), ("http://qdrant:7000/", false));
        assert_eq!(address.prefix, "acme_1");
        let address = Address::parse("https://[::1]", "vectrion").unwrap();
        assert_eq!((address.origin.to_string().as_str(), address.is_secure), ("https://[::1]:6334/", true));
        assert_eq!(address.prefix, "vectrion");
    }

    #[test]
    fn what_cannot_be_a_server_is_refused_without_repeating_it() {
        for wrong in [
            "http:",
            "http://",
            "http:///x",
            "http://key:sesame@host",
            "http://host/a/b",
            "http://host/a-b",
            "http://h?k=sesame",
        ] {
            let error = Address::parse(wrong, "vectrion").expect_err(wrong);
            assert_eq!(error.reason(), "INVALID_BACKEND_URL", "{wrong}");
            assert!(error.message().contains("vectors.url") && !error.message().contains("sesame"), "{error}");
        }
        let error = Address::parse("http://host", "a-b").expect_err("a dash");
        assert_eq!(error.violations()[0].field, "vectors.prefix");
    }
}
