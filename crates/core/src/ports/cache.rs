//! What may be forgotten at any time.

use std::{fmt::Write as _, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Result, ids::TenantId};

/// Key of a cached value. It begins with the tenant that the value belongs to; the look-up of an API key, which is what
/// finds the tenant, is the one exception.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey {
    text: String,
    kind: CacheKind,
}

/// What is cached. A label of metrics, and part of every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CacheKind {
    /// The vector of a question.
    QueryEmbedding,
    /// Who has the secret of an API key.
    ApiKey,
}

impl CacheKind {
    /// The name in keys and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueryEmbedding => "query_embedding",
            Self::ApiKey => "api_key",
        }
    }
}

impl CacheKey {
    /// The vector of a question of this tenant, by all that shapes it: the model, and the SHA-256 of the question.
    #[must_use]
    pub fn query_embedding(tenant: TenantId, model: &str, question: &[u8; 32]) -> Self {
        // Names of models come from the configuration and may hold anything: they are told apart by their length.
        Self::of_tenant(tenant, CacheKind::QueryEmbedding, format_args!("{}:{model}:{}", model.len(), hex(question)))
    }

    /// Who has the secret that begins with these characters, those by which a key is recognised. Several may: the value
    /// has to tell.
    #[must_use]
    pub fn api_key(prefix: &str) -> Self {
        let kind = CacheKind::ApiKey;
        Self { text: format!("installation:{}:{prefix}", kind.as_str()), kind }
    }

    fn of_tenant(tenant: TenantId, kind: CacheKind, rest: std::fmt::Arguments<'_>) -> Self {
        Self { text: format!("{}{}:{rest}", Self::tenant_prefix(tenant), kind.as_str()), kind }
    }

    /// What every key of this tenant begins with, and no other's.
    #[must_use]
    pub fn tenant_prefix(tenant: TenantId) -> String {
        format!("tenant:{tenant}:")
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it is a key of.
    #[must_use]
    pub fn kind(&self) -> CacheKind {
        self.kind
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A value that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// The value.
    pub value: Bytes,
    /// Time that it has left.
    pub expires_in: Duration,
}

/// Keeps copies of what can be found out again.
///
/// - It may lose everything at any time. Whoever uses it works without it, only slower.
/// - No call fails: what goes wrong is logged and counted by the adapter, and the caller sees a miss.
/// - No call takes long: an adapter that is slower than its timeout is skipped.
/// - A value is never given out after its time, nor after a `delete` of its key, or a `delete_tenant` of its tenant, that
///   came through. One that did not come through leaves the value until its time is over: that time is the promise.
/// - `set` replaces. A value of no time is not kept, and what was there before goes.
#[async_trait]
pub trait Cache: Send + Sync {
    /// A value; none if it was never there, was forgotten, or cannot be had now.
    async fn get(&self, key: &CacheKey) -> Option<Cached>;

    /// Keeps a value for at most this long.
    async fn set(&self, key: &CacheKey, value: Bytes, ttl: Duration);

    /// Forgets a value.
    async fn delete(&self, key: &CacheKey);

    /// Forgets every value of a tenant.
    async fn delete_tenant(&self, tenant: TenantId);

    /// Whether other processes see the same values.
    fn is_shared(&self) -> bool;

    /// Whether the cache can be used now, for people to know: nothing depends on it.
    ///
    /// # Errors
    /// `UNAVAILABLE`, reason `CACHE_UNAVAILABLE`.
    async fn check(&self) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_each_part_and_begin_with_their_tenant() {
        let (tenant, other) = (TenantId::new(), TenantId::new());
        let key = CacheKey::query_embedding(tenant, "m", &[1; 32]);
        assert_eq!(key.as_str(), format!("tenant:{tenant}:query_embedding:1:m:{}", "01".repeat(32)));
        for another in [
            CacheKey::query_embedding(other, "m", &[1; 32]),
            CacheKey::query_embedding(tenant, "n", &[1; 32]),
            CacheKey::query_embedding(tenant, "m", &[2; 32]),
        ] {
            assert_ne!(key, another);
        }
        assert!(key.as_str().starts_with(&CacheKey::tenant_prefix(tenant)));
        assert!(!key.as_str().starts_with(&CacheKey::tenant_prefix(other)));
        let by_prefix = CacheKey::api_key("vk_123456");
        assert_eq!((by_prefix.as_str(), by_prefix.kind()), ("installation:api_key:vk_123456", CacheKind::ApiKey));
    }
}
