//! Where bytes are kept.

mod failure;
mod keys;
mod local;
mod part;
#[cfg(feature = "s3")]
mod s3;
mod whole;

use async_trait::async_trait;
use serde::Deserialize;
use vectrion_core::{
    Error, Result,
    ports::objects::{ByteStream, ObjectInfo, ObjectKey, ObjectStore},
};

pub use self::local::{LocalObjects, LocalSettings};
#[cfg(feature = "s3")]
pub use self::s3::{S3Objects, S3Settings};
use crate::backend_url::{self, Scheme};

/// The configuration key of the URL.
const KEY: &str = "objects.url";

const SCHEMES: &[Scheme] = &[
    Scheme { name: "file", example: "file:///dir", missing_feature: None },
    Scheme {
        name: "s3",
        example: "s3://bucket/prefix",
        missing_feature: if cfg!(feature = "s3") { None } else { Some("s3") },
    },
];

/// Settings of the object stores, each used by the backend of its name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectSettings {
    /// The local disk.
    pub local: LocalSettings,
    /// An S3 service.
    #[cfg(feature = "s3")]
    pub s3: S3Settings,
}

/// An object store.
#[derive(Debug)]
pub enum ObjectBackend {
    /// A directory of a local disk.
    Local(LocalObjects),
    /// A bucket of an S3 service.
    #[cfg(feature = "s3")]
    S3(S3Objects),
}

impl ObjectBackend {
    /// Opens the store that `url` names: `file:///dir` or `s3://bucket/prefix`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with reason `UNSUPPORTED_BACKEND` or `INVALID_BACKEND_URL`; what the backend's own `open` gives.
    pub async fn open(url: &str, settings: &ObjectSettings) -> Result<Self> {
        match backend_url::split(KEY, url)? {
            ("file", rest) => {
                let (directory, settings) = (backend_url::local_directory(KEY, rest)?, settings.local.clone());
                let opened = tokio::task::spawn_blocking(move || LocalObjects::open(directory, &settings));
                let opened = opened.await.map_err(|panicked| {
                    Error::internal("BACKEND_PANICKED", "the object store broke down while it was opened")
                        .with_source(panicked)
                })?;
                Ok(Self::Local(opened?))
            }
            #[cfg(feature = "s3")]
            ("s3", rest) => Ok(Self::S3(S3Objects::open(rest, &settings.s3).await?)),
            (other, _) => Err(backend_url::unsupported(KEY, other, SCHEMES)),
        }
    }

    /// Whether the URL and the settings can be right. Asks no service.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, naming the setting.
    pub fn validate(url: &str, settings: &ObjectSettings) -> Result<()> {
        match backend_url::split(KEY, url)? {
            ("file", rest) => backend_url::local_directory(KEY, rest).map(drop),
            #[cfg(feature = "s3")]
            ("s3", rest) => settings.s3.validate(rest),
            (other, _) => {
                let _ = settings;
                Err(backend_url::unsupported(KEY, other, SCHEMES))
            }
        }
    }

    fn store(&self) -> &dyn ObjectStore {
        match self {
            Self::Local(store) => store,
            #[cfg(feature = "s3")]
            Self::S3(store) => store,
        }
    }
}

#[async_trait]
impl ObjectStore for ObjectBackend {
    async fn put(&self, key: &ObjectKey, content: ByteStream) -> Result<u64> {
        self.store().put(key, content).await
    }

    async fn get(&self, key: &ObjectKey, offset: u64) -> Result<ByteStream> {
        self.store().get(key, offset).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo> {
        self.store().head(key).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        self.store().delete(key).await
    }

    async fn delete_prefix(&self, prefix: &ObjectKey) -> Result<u64> {
        self.store().delete_prefix(prefix).await
    }

    async fn list(&self, prefix: &ObjectKey) -> Result<Vec<ObjectInfo>> {
        self.store().list(prefix).await
    }

    async fn walk(&self, prefix: &ObjectKey, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>> {
        self.store().walk(prefix, after, limit).await
    }

    async fn check(&self) -> Result<()> {
        self.store().check().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_scheme_picks_the_backend() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}", dir.path().join("objects").display());
        let store = ObjectBackend::open(&url, &ObjectSettings::default()).await.unwrap();
        assert!(matches!(store, ObjectBackend::Local(store) if store.directory().is_dir()), "the directory is made");

        let error = ObjectBackend::open("gs://bucket", &ObjectSettings::default()).await.expect_err("not a backend");
        assert_eq!(error.reason(), "UNSUPPORTED_BACKEND");
        assert!(error.message().contains("objects.url") && error.message().contains("file:///dir"), "{error}");
    }

    #[test]
    fn settings_have_defaults_and_no_unknown_keys() {
        let settings: ObjectSettings = serde_json::from_str(r#"{"local": {"min_free_bytes": 7}}"#).unwrap();
        assert_eq!(settings.local.min_free_bytes, 7);
        serde_json::from_str::<ObjectSettings>(r#"{"local": {"min_free": 7}}"#).expect_err("a typing error");
    }
}
