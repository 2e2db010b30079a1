//! Where bytes are kept.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::{
    Result,
    ids::{TenantId, UploadId, VersionId},
};

/// Key of an object. Every key begins with its tenant, but for the marks of tenants that are being removed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The bytes of a version as uploaded.
    #[must_use]
    pub fn original(tenant: TenantId, version: VersionId) -> Self {
        Self(format!("tenants/{tenant}/versions/{version}/original"))
    }

    /// The extracted text of a version, with positions, as JSON.
    #[must_use]
    pub fn extracted(tenant: TenantId, version: VersionId) -> Self {
        Self(format!("tenants/{tenant}/versions/{version}/extracted.json"))
    }

    /// A part of an upload: `len` bytes from `offset` on. The length is part of the key so that, of two calls at once for
    /// the same offset, the one that comes too late does not replace the bytes of the other.
    #[must_use]
    pub fn upload_part(tenant: TenantId, upload: UploadId, offset: u64, len: u64) -> Self {
        Self(format!("tenants/{tenant}/uploads/{upload}/{offset:020}-{len}"))
    }

    /// Prefix of all that belongs to a version.
    #[must_use]
    pub fn version_prefix(tenant: TenantId, version: VersionId) -> Self {
        Self(format!("tenants/{tenant}/versions/{version}/"))
    }

    /// Prefix of all parts of an upload.
    #[must_use]
    pub fn upload_prefix(tenant: TenantId, upload: UploadId) -> Self {
        Self(format!("tenants/{tenant}/uploads/{upload}/"))
    }

    /// Prefix of all that belongs to a tenant.
    #[must_use]
    pub fn tenant_prefix(tenant: TenantId) -> Self {
        Self(format!("tenants/{tenant}/"))
    }

    /// Prefix of all versions of a tenant.
    #[must_use]
    pub fn versions_prefix(tenant: TenantId) -> Self {
        Self(format!("tenants/{tenant}/versions/"))
    }

    /// Prefix of all uploads of a tenant.
    #[must_use]
    pub fn uploads_prefix(tenant: TenantId) -> Self {
        Self(format!("tenants/{tenant}/uploads/"))
    }

    /// Prefix of all tenants.
    #[must_use]
    pub fn tenants_prefix() -> Self {
        Self("tenants/".to_owned())
    }

    /// A mark in the order of keys: after all those of ours that begin with this one, and before every other that comes
    /// after them.
    #[must_use]
    pub fn after_all(&self) -> Self {
        // No name that we give begins with more than one `z`; stores change what is no letter on its way.
        Self(format!("{}zzzz", self.0))
    }

    /// The mark that a tenant is being removed: written before its rows go, removed after its vectors and objects went,
    /// so that a removal that was cut off is found.
    #[must_use]
    pub fn tenant_removal(tenant: TenantId) -> Self {
        Self(format!("removals/tenants/{tenant}"))
    }

    /// Prefix of the marks of all tenants that are being removed.
    #[must_use]
    pub fn tenant_removals() -> Self {
        Self("removals/tenants/".to_owned())
    }

    /// A key that a listing returned.
    #[must_use]
    pub fn from_listing(key: String) -> Self {
        Self(key)
    }

    /// The key as text, with `/` between its parts.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A stored object's facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Key.
    pub key: ObjectKey,
    /// Bytes.
    pub size: u64,
}

/// A stream of an object's bytes, in order.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// Keeps bytes under keys.
///
/// - `put` is atomic and durable: when it returns, the whole object survives a crash; when it fails or is dropped, no
///   object appears and what was there before stays. It replaces an object of the same key.
/// - A missing object is `NOT_FOUND` with reason `OBJECT_NOT_FOUND` when read, and no error when deleted.
/// - No room left is `RESOURCE_EXHAUSTED` with reason `STORAGE_FULL`; a store out of reach is `UNAVAILABLE`.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Stores the bytes of `content` and returns how many there were. An error in `content` ends the call with it.
    async fn put(&self, key: &ObjectKey, content: ByteStream) -> Result<u64>;

    /// Reads an object from byte `offset` to its end. An offset beyond the end gives no bytes.
    async fn get(&self, key: &ObjectKey, offset: u64) -> Result<ByteStream>;

    /// An object's facts.
    async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo>;

    /// Removes an object.
    async fn delete(&self, key: &ObjectKey) -> Result<()>;

    /// Removes every object whose key begins with `prefix`, and returns how many there were.
    async fn delete_prefix(&self, prefix: &ObjectKey) -> Result<u64>;

    /// Lists every object whose key begins with `prefix`, in key order.
    async fn list(&self, prefix: &ObjectKey) -> Result<Vec<ObjectInfo>>;

    /// Up to `limit` of the objects whose key begins with `prefix` and comes after `after`, in key order. A walk in such
    /// steps sees every object that is there from its beginning to its end.
    async fn walk(&self, prefix: &ObjectKey, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>>;

    /// Whether the store can be used now. A store on a disk refuses below its floor of free space
    /// (`RESOURCE_EXHAUSTED`, reason `STORAGE_FULL`).
    async fn check(&self) -> Result<()>;
}
