//! The vector index.

#[cfg(any(feature = "edge", feature = "qdrant"))]
mod bm25;
#[cfg(feature = "edge")]
pub mod edge;
#[cfg(any(feature = "edge", feature = "qdrant"))]
mod embedding;
#[cfg(any(feature = "edge", feature = "qdrant"))]
mod generation;
#[cfg(feature = "qdrant")]
pub mod qdrant;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::Deserialize;
use vectrion_core::{
    Result,
    ids::{ChunkId, DocumentId, TenantId, VersionId},
    ports::vectors::{Generation, Hit, Point, PointPage, VectorFilter, VectorIndex, VectorQuery, VectorScope},
};

#[cfg(any(feature = "edge", feature = "qdrant"))]
pub use self::bm25::Bm25Settings;
use crate::backend_url::{self, Scheme};

/// The configuration key of the URL.
const KEY: &str = "vectors.url";

const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "edge",
        example: "edge:///dir",
        missing_feature: if cfg!(feature = "edge") { None } else { Some("edge") },
    },
    Scheme {
        name: "http",
        example: "http://host:6334",
        missing_feature: if cfg!(feature = "qdrant") { None } else { Some("qdrant") },
    },
    Scheme {
        name: "https",
        example: "https://host:6334",
        missing_feature: if cfg!(feature = "qdrant") { None } else { Some("qdrant") },
    },
];

/// Settings of the vector indexes, each used by the backend of its name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VectorSettings {
    /// The key that a server asks for; empty if it asks for none.
    pub api_key: SecretString,
    /// The Qdrant engine in this process.
    #[cfg(feature = "edge")]
    pub edge: edge::EdgeSettings,
    /// A Qdrant server.
    #[cfg(feature = "qdrant")]
    pub qdrant: qdrant::QdrantSettings,
}

/// A vector index.
#[derive(Debug)]
pub enum VectorBackend {
    /// The Qdrant engine in this process, on a local disk.
    #[cfg(feature = "edge")]
    Edge(edge::EdgeIndex),
    /// A Qdrant server.
    #[cfg(feature = "qdrant")]
    Qdrant(Box<qdrant::QdrantIndex>),
}

impl VectorBackend {
    /// Opens the index that `url` names: `edge:///dir`, `http://host:6334` or `https://host:6334`. Blocks. Says nothing to
    /// a server yet: [`Self::verify`] does.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with reason `UNSUPPORTED_BACKEND` or `INVALID_BACKEND_URL`; what the backend's own `open` gives.
    pub fn open(url: &str, settings: &VectorSettings) -> Result<Self> {
        match backend_url::split(KEY, url)? {
            #[cfg(feature = "edge")]
            ("edge", rest) => {
                let directory = backend_url::local_directory(KEY, rest)?;
                Ok(Self::Edge(edge::EdgeIndex::open(directory, &settings.edge)?))
            }
            #[cfg(feature = "qdrant")]
            ("http" | "https", _) => {
                let index = qdrant::QdrantIndex::open(url, &settings.api_key, &settings.qdrant)?;
                Ok(Self::Qdrant(Box::new(index)))
            }
            (other, _) => Err(backend_url::unsupported(KEY, other, SCHEMES)),
        }
    }

    /// Whether the URL and the settings can be right. Reads certificates, and asks no server.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, naming the setting.
    pub fn validate(url: &str, settings: &VectorSettings) -> Result<()> {
        match backend_url::split(KEY, url)? {
            #[cfg(feature = "edge")]
            ("edge", rest) => backend_url::local_directory(KEY, rest).map(drop),
            // An index on a server is only prepared by being opened.
            _ => Self::open(url, settings).map(drop),
        }
    }

    /// Asks a server whether it can be used as it is configured, so that a wrong URL or key shows at the start. What is in
    /// this process was seen when it was opened.
    ///
    /// # Errors
    /// Those of a check.
    pub async fn verify(&self) -> Result<()> {
        match self {
            #[cfg(feature = "edge")]
            Self::Edge(_) => Ok(()),
            #[cfg(feature = "qdrant")]
            Self::Qdrant(index) => index.check().await,
        }
    }

    /// Makes every write durable and lets go of all files. Calls that come later are `UNAVAILABLE`. Work in the
    /// background is waited for; who cannot wait drops the future: nothing that was flushed is lost.
    ///
    /// # Errors
    /// Those of a flush.
    pub async fn close(&self) -> Result<()> {
        match self {
            #[cfg(feature = "edge")]
            Self::Edge(index) => index.close().await,
            #[cfg(feature = "qdrant")]
            Self::Qdrant(_) => Ok(()),
        }
    }

    fn index(&self) -> &dyn VectorIndex {
        match self {
            #[cfg(feature = "edge")]
            Self::Edge(index) => index,
            #[cfg(feature = "qdrant")]
            Self::Qdrant(index) => index.as_ref(),
        }
    }
}

#[async_trait]
impl VectorIndex for VectorBackend {
    async fn upsert(&self, scope: &VectorScope, points: Vec<Point>) -> Result<()> {
        self.index().upsert(scope, points).await
    }

    async fn delete_version(&self, scope: &VectorScope, version: VersionId) -> Result<()> {
        self.index().delete_version(scope, version).await
    }

    async fn delete_document(&self, scope: &VectorScope, document: DocumentId) -> Result<()> {
        self.index().delete_document(scope, document).await
    }

    async fn flush(&self, scope: &VectorScope) -> Result<()> {
        self.index().flush(scope).await
    }

    async fn count(&self, scope: &VectorScope, versions: &[VersionId]) -> Result<Vec<u64>> {
        self.index().count(scope, versions).await
    }

    async fn search(
        &self,
        scope: &VectorScope,
        query: &VectorQuery,
        filter: &VectorFilter,
        limit: usize,
    ) -> Result<Vec<Hit>> {
        self.index().search(scope, query, filter, limit).await
    }

    async fn point_ids(&self, scope: &VectorScope, document: DocumentId) -> Result<Vec<ChunkId>> {
        self.index().point_ids(scope, document).await
    }

    async fn walk(&self, scope: &VectorScope, from: Option<&str>, limit: usize) -> Result<PointPage> {
        self.index().walk(scope, from, limit).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>> {
        self.index().tenants().await
    }

    async fn generations(&self, tenant: TenantId) -> Result<Vec<Generation>> {
        self.index().generations(tenant).await
    }

    async fn drop_scope(&self, scope: &VectorScope) -> Result<()> {
        self.index().drop_scope(scope).await
    }

    async fn drop_tenant(&self, tenant: TenantId) -> Result<()> {
        self.index().drop_tenant(tenant).await
    }

    async fn check(&self) -> Result<()> {
        self.index().check().await
    }
}

/// The id at which a page of a walk begins.
#[cfg(any(feature = "edge", feature = "qdrant"))]
fn cursor(text: &str) -> Result<uuid::Uuid> {
    uuid::Uuid::try_parse(text).map_err(|error| {
        let message = "the cursor is not one that a page of this walk gave";
        vectrion_core::Error::invalid("INVALID_CURSOR", message).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scheme_is_told_what_is_there() {
        let error = VectorBackend::open("chroma://host", &VectorSettings::default()).expect_err("no such backend");
        assert_eq!(error.reason(), "UNSUPPORTED_BACKEND");
        assert!(error.message().contains("vectors.url") && error.message().contains("edge:///dir"), "{error}");
    }
}
