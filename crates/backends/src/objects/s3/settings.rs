//! What the configuration says of an S3 service.

use object_store::{
    BackoffConfig, ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, Checksum},
    path::Path as Location,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use std::time::Duration;
use vectrion_core::{Error, Result};

/// Settings of an S3 service.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Settings {
    /// URL of the service; empty: that of Amazon in the region.
    pub endpoint: String,
    /// Region.
    pub region: String,
    /// Key that requests are signed with; with the secret empty: what the variables `AWS_…` or the machine's role say.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: SecretString,
    /// Allow an endpoint without TLS.
    pub allow_http: bool,
    /// The bucket is a part of the path, not of the host's name.
    pub path_style: bool,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
            access_key_id: String::new(),
            secret_access_key: SecretString::default(),
            allow_http: false,
            path_style: true,
        }
    }
}

/// Time that a connection is kept for another request.
const IDLE: Duration = Duration::from_secs(5);

/// How long a request may take, and how often it is tried.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    /// For the data: a request may last as long as bytes move, and one that fails for now is tried again for a while.
    Working,
    /// For what is small whatever the object: its facts, lists, deletions.
    Asking,
    /// To see whether the store can be used.
    Probing,
}

/// The bucket and the prefix in the part of a URL after `s3:`.
pub(super) fn bucket(rest: &str) -> Result<(&str, Location)> {
    let rule = "must look like s3://BUCKET or s3://BUCKET/PREFIX; the key and its secret have settings of their own";
    let invalid =
        || Error::invalid("INVALID_BACKEND_URL", format!("objects.url {rule}")).with_violation("objects.url", rule);
    let path = rest.strip_prefix("//").ok_or_else(invalid)?;
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    let is_name = bucket.len() >= 3
        && bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte));
    if !is_name || prefix.contains(['?', '#', '%']) {
        return Err(invalid());
    }
    Ok((bucket, Location::parse(prefix.trim_end_matches('/')).map_err(|error| invalid().with_source(error))?))
}

impl S3Settings {
    /// Whether the part of a URL after `s3:` and the settings can be right.
    pub(in crate::objects) fn validate(&self, rest: &str) -> Result<()> {
        let (bucket, _) = bucket(rest)?;
        self.credentials()?;
        if !self.endpoint.is_empty() {
            self.endpoint_of(bucket)?;
        }
        Ok(())
    }

    /// Key and secret; none where the environment says them.
    fn credentials(&self) -> Result<Option<(&str, &str)>> {
        match (self.access_key_id.as_str(), self.secret_access_key.expose_secret()) {
            ("", "") => Ok(None),
            (_, "") => Err(misfit("objects.secret_access_key", "must be set, because objects.access_key_id is")),
            ("", _) => Err(misfit("objects.access_key_id", "must be set, because objects.secret_access_key is")),
            found => Ok(Some(found)),
        }
    }

    /// A client of the bucket. Sends nothing yet.
    pub(super) fn client(&self, bucket: &str, patience: Patience) -> Result<AmazonS3> {
        let mut builder = match self.credentials()? {
            None => AmazonS3Builder::from_env(),
            Some((key, secret)) => AmazonS3Builder::new().with_access_key_id(key).with_secret_access_key(secret),
        };
        if !self.endpoint.is_empty() {
            builder = builder.with_endpoint(self.endpoint_of(bucket)?);
        }
        let (options, retries) = patience.limits();
        builder
            .with_bucket_name(bucket)
            .with_region(&self.region)
            .with_virtual_hosted_style_request(!self.path_style)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_client_options(options.with_allow_http(self.allow_http))
            .with_retry(retries)
            .build()
            .map_err(|error| {
                let message = "objects: the S3 service cannot be used as the settings say";
                Error::precondition("OBJECT_STORE_MISCONFIGURED", message).with_source(error)
            })
    }

    fn endpoint_of(&self, bucket: &str) -> Result<String> {
        let key = "objects.endpoint";
        let (scheme, host) = self
            .endpoint
            .split_once("://")
            .filter(|(scheme, host)| matches!(*scheme, "http" | "https") && !host.is_empty() && !host.contains('@'))
            .ok_or_else(|| misfit(key, "must be a URL such as https://HOST:9000, without user information"))?;
        if scheme == "http" && !self.allow_http {
            return Err(misfit(key, "is without TLS: use https, or set objects.allow_http"));
        }
        let host = host.trim_end_matches('/');
        Ok(if self.path_style { format!("{scheme}://{host}") } else { format!("{scheme}://{bucket}.{host}") })
    }
}

fn misfit(key: &'static str, rule: &str) -> Error {
    Error::invalid("INVALID_BACKEND_URL", format!("{key} {rule}")).with_violation(key, rule)
}

impl Patience {
    fn limits(self) -> (ClientOptions, RetryConfig) {
        let (connect, silence, retries, retry_for) = match self {
            Self::Working => (3, 30, 6, 20),
            Self::Asking => (3, 8, 6, 20),
            Self::Probing => (2, 3, 1, 2),
        };
        let seconds = Duration::from_secs;
        let options = ClientOptions::new()
            .with_connect_timeout(seconds(connect))
            .with_read_timeout(seconds(silence))
            // A connection that died while nobody used it is found out by the silence of a request alone.
            .with_pool_idle_timeout(IDLE)
            // A large object takes as long as it takes, while its bytes move.
            .with_timeout_disabled();
        let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: seconds(3), base: 2.0 };
        (options, RetryConfig { backoff, max_retries: retries, retry_timeout: seconds(retry_for) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_bucket_and_prefix() {
        let parsed = |rest| bucket(rest).map(|(bucket, prefix)| (bucket, prefix.to_string())).unwrap();
        assert_eq!(parsed("//documents"), ("documents", String::new()));
        assert_eq!(parsed("//documents/"), ("documents", String::new()));
        assert_eq!(parsed("//my.bucket-1/a/b/"), ("my.bucket-1", "a/b".to_owned()));
        for wrong in [
            "",
            "//",
            "bucket",
            "//Bucket",
            "//key:secret@bucket",
            "//bucket/a//b",
            "//bucket/../x",
            "//bucket?x=y",
            "//bucket/a?b",
        ] {
            let error = bucket(wrong).map(drop).expect_err(wrong);
            assert_eq!((error.reason(), error.violations()[0].field.as_str()), ("INVALID_BACKEND_URL", "objects.url"));
            assert!(!error.message().contains("secret@"), "{error}");
        }
    }

    #[test]
    fn settings_that_do_not_fit_are_named() {
        let with = |change: fn(&mut S3Settings)| {
            let mut settings = S3Settings::default();
            change(&mut settings);
            let error = settings.client("bucket", Patience::Probing).map(drop).expect_err("does not fit");
            error.violations()[0].field.clone()
        };
        assert_eq!(with(|settings| settings.access_key_id = "key".into()), "objects.secret_access_key");
        assert_eq!(with(|settings| settings.secret_access_key = "hunter2".to_owned().into()), "objects.access_key_id");
        for endpoint in ["127.0.0.1:9000", "ftp://host", "https://", "https://key:hunter2@host"] {
            let settings = S3Settings { endpoint: endpoint.to_owned(), ..S3Settings::default() };
            let error = settings.client("bucket", Patience::Probing).map(drop).expect_err(endpoint);
            assert_eq!(error.violations()[0].field, "objects.endpoint");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        let error = S3Settings { endpoint: "http://host".to_owned(), ..S3Settings::default() };
        assert_eq!(error.validate("//bucket").expect_err("without TLS").violations()[0].field, "objects.endpoint");
        let error = error.client("bucket", Patience::Probing).map(drop).expect_err("without TLS");
        assert!(error.message().contains("objects.allow_http"), "{error}");
    }

    #[test]
    fn a_bucket_stands_in_the_path_or_in_the_name() {
        let mut settings = S3Settings { endpoint: "https://s3.example.org/".to_owned(), ..S3Settings::default() };
        assert_eq!(settings.endpoint_of("bucket").unwrap(), "https://s3.example.org");
        settings.path_style = false;
        assert_eq!(settings.endpoint_of("bucket").unwrap(), "https://bucket.s3.example.org");
    }

    #[test]
    fn the_secret_is_not_shown() {
        let settings = S3Settings { secret_access_key: "hunter2".to_owned().into(), ..S3Settings::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
