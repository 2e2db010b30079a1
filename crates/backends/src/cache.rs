//! What may be forgotten at any time.

mod memory;
#[cfg(feature = "redis")]
mod redis;
mod seen;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use vectrion_core::{
    Result,
    ids::TenantId,
    ports::cache::{Cache, CacheKey, Cached},
};

pub use self::memory::MemoryCache;
#[cfg(feature = "redis")]
pub use self::redis::RedisCache;
use crate::backend_url::{self, Scheme};

/// The configuration key of the URL.
const KEY: &str = "cache.url";

const SCHEMES: &[Scheme] = &[
    Scheme { name: "memory", example: "memory:", missing_feature: None },
    Scheme { name: "redis", example: "redis://host:6379/0", missing_feature: REDIS },
    Scheme { name: "rediss", example: "rediss://host:6379/0", missing_feature: REDIS },
];
const REDIS: Option<&str> = if cfg!(feature = "redis") { None } else { Some("redis") };

/// Settings of the caches, each used by the backend that it concerns.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// Bytes that a cache in this process holds at the most, keys included.
    pub max_bytes: u64,
    /// Milliseconds after which a server that has not answered is skipped.
    pub timeout_ms: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, timeout_ms: 50 }
    }
}

/// A cache.
#[derive(Debug)]
pub enum CacheBackend {
    /// Of this process alone.
    Memory(MemoryCache),
    /// A Redis server.
    #[cfg(feature = "redis")]
    Redis(RedisCache),
}

impl CacheBackend {
    /// Opens the cache that `url` names: `memory:`, `redis://…` or `rediss://…`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with reason `UNSUPPORTED_BACKEND` or `INVALID_BACKEND_URL`; what the backend's own `connect`
    /// gives.
    pub async fn open(url: &str, settings: &CacheSettings) -> Result<Self> {
        match backend_url::split(KEY, url)? {
            ("memory", "") => Ok(Self::Memory(MemoryCache::new(settings.max_bytes))),
            #[cfg(feature = "redis")]
            ("redis" | "rediss", _) => Ok(Self::Redis(RedisCache::connect(url, settings).await?)),
            (scheme, _) => Err(backend_url::unsupported(KEY, scheme, SCHEMES)),
        }
    }

    /// Whether the URL and the settings can be right. Asks no service.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, naming the setting.
    pub fn validate(url: &str) -> Result<()> {
        match backend_url::split(KEY, url)? {
            ("memory", "") => Ok(()),
            #[cfg(feature = "redis")]
            ("redis" | "rediss", _) => redis::validate(url),
            (scheme, _) => Err(backend_url::unsupported(KEY, scheme, SCHEMES)),
        }
    }

    fn cache(&self) -> &dyn Cache {
        match self {
            Self::Memory(cache) => cache,
            #[cfg(feature = "redis")]
            Self::Redis(cache) => cache,
        }
    }
}

#[async_trait]
impl Cache for CacheBackend {
    async fn get(&self, key: &CacheKey) -> Option<Cached> {
        self.cache().get(key).await
    }

    async fn set(&self, key: &CacheKey, value: Bytes, ttl: Duration) {
        self.cache().set(key, value, ttl).await;
    }

    async fn delete(&self, key: &CacheKey) {
        self.cache().delete(key).await;
    }

    async fn delete_tenant(&self, tenant: TenantId) {
        self.cache().delete_tenant(tenant).await;
    }

    fn is_shared(&self) -> bool {
        self.cache().is_shared()
    }

    async fn check(&self) -> Result<()> {
        self.cache().check().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_scheme_picks_the_backend() {
        let cache = CacheBackend::open("memory:", &CacheSettings::default()).await.unwrap();
        assert!(!cache.is_shared());
        for wrong in ["memory://x", "memcached://user:secret@host", "redis"] {
            let error = CacheBackend::open(wrong, &CacheSettings::default()).await.expect_err(wrong);
            assert!(["UNSUPPORTED_BACKEND", "INVALID_BACKEND_URL"].contains(&error.reason()), "{error:?}");
            assert!(error.message().contains("cache.url") && !error.message().contains("secret"), "{error}");
        }
    }

    #[tokio::test]
    async fn conforms() {
        let settings = CacheSettings::default();
        vectrion_testkit::conformance::cache::suite(async || CacheBackend::open("memory:", &settings).await.unwrap())
            .await;
    }
}
