//! The vector index.

#[cfg(feature = "edge")]
pub mod edge;

use async_trait::async_trait;
use serde::Deserialize;
use vectrion_core::{
    Result,
    ids::{ChunkId, DocumentId, TenantId, VersionId},
    ports::vectors::{Generation, Hit, Point, VectorFilter, VectorIndex, VectorQuery, VectorScope},
};

use crate::backend_url::{self, Scheme};

/// The configuration key of the URL.
const KEY: &str = "vectors.url";

const SCHEMES: &[Scheme] = &[Scheme {
    name: "edge",
    example: "edge:///dir",
    missing_feature: if cfg!(feature = "edge") { None } else { Some("edge") },
}];

/// Settings of the vector indexes, each used by the backend of its name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VectorSettings {
    /// The Qdrant engine in this process.
    #[cfg(feature = "edge")]
    pub edge: edge::EdgeSettings,
}

/// A vector index.
#[derive(Debug)]
pub enum VectorBackend {
    /// The Qdrant engine in this process, on a local disk.
    #[cfg(feature = "edge")]
    Edge(edge::EdgeIndex),
}

impl VectorBackend {
    /// Opens the index that `url` names: `edge:///dir`. Blocks.
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
            (other, _) => Err(backend_url::unsupported(KEY, other, SCHEMES)),
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
        }
    }

    fn index(&self) -> &dyn VectorIndex {
        match self {
            #[cfg(feature = "edge")]
            Self::Edge(index) => index,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scheme_is_told_what_is_there() {
        let error = VectorBackend::open("http://qdrant:6334", &VectorSettings::default()).expect_err("not compiled in");
        assert_eq!(error.reason(), "UNSUPPORTED_BACKEND");
        assert!(error.message().contains("vectors.url") && error.message().contains("edge:///dir"), "{error}");
    }
}
