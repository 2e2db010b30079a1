//! Tenants, collections and keys.

use async_trait::async_trait;

use crate::{
    Result,
    ids::{CollectionId, KeyId, TenantId},
    page::{Page, PageRequest},
    tenancy::{ApiKey, Collection, CollectionRef, Role, Tenant},
    time::Timestamp,
};

/// A key to store.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Id.
    pub id: KeyId,
    /// Tenant.
    pub tenant: TenantId,
    /// For people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// First characters of the secret.
    pub prefix: String,
    /// HMAC-SHA-256 of the secret with the installation's pepper.
    pub hash: [u8; 32],
    /// From when on it is refused.
    pub expire_time: Option<Timestamp>,
}

/// A key with what it takes to check a secret.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// The key.
    pub key: ApiKey,
    /// HMAC-SHA-256 of its secret.
    pub hash: [u8; 32],
    /// The database's time when it was read, to judge expiry by.
    pub read_time: Timestamp,
}

/// Keeps tenants, collections and keys. Lists are in order of name (keys: of creation).
#[async_trait]
pub trait Directory: Send + Sync {
    /// Whether there is no tenant at all: a new installation.
    async fn is_empty(&self) -> Result<bool>;

    /// Creates a tenant with its collection `default`, whose embedding model is empty: that of the installation. A taken
    /// name is `ALREADY_EXISTS`, reason `TENANT_EXISTS`.
    async fn create_tenant(&self, id: TenantId, name: &str) -> Result<Tenant>;

    /// A tenant; none if missing.
    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>>;

    /// A tenant by name.
    async fn tenant_by_name(&self, name: &str) -> Result<Option<Tenant>>;

    /// All tenants.
    async fn list_tenants(&self, page: &PageRequest) -> Result<Page<Tenant>>;

    /// Renames a tenant. Missing is `NOT_FOUND`, reason `TENANT_NOT_FOUND`; a taken name is `TENANT_EXISTS`.
    async fn rename_tenant(&self, id: TenantId, name: &str) -> Result<Tenant>;

    /// Deletes a tenant with its keys and collections. With documents left it is `FAILED_PRECONDITION`, reason
    /// `TENANT_NOT_EMPTY`.
    async fn delete_tenant(&self, id: TenantId) -> Result<()>;

    /// Creates a collection. A taken name is `ALREADY_EXISTS`, reason `COLLECTION_EXISTS`; a missing tenant is `NOT_FOUND`,
    /// reason `TENANT_NOT_FOUND`.
    async fn create_collection(
        &self,
        tenant: TenantId,
        id: CollectionId,
        name: &str,
        description: &str,
        embedding_model: &str,
    ) -> Result<Collection>;

    /// The id of a collection, if this tenant has it. Counts nothing.
    async fn collection_id(&self, tenant: TenantId, named: &CollectionRef) -> Result<Option<CollectionId>>;

    /// A collection of this tenant, with its counts.
    async fn collection(&self, tenant: TenantId, id: CollectionId) -> Result<Option<Collection>>;

    /// A collection of this tenant by name.
    async fn collection_by_name(&self, tenant: TenantId, name: &str) -> Result<Option<Collection>>;

    /// The collections of this tenant.
    async fn list_collections(&self, tenant: TenantId, page: &PageRequest) -> Result<Page<Collection>>;

    /// Changes name and description, where given. Missing is `NOT_FOUND`, reason `COLLECTION_NOT_FOUND`.
    async fn update_collection(
        &self,
        tenant: TenantId,
        id: CollectionId,
        name: Option<&str>,
        description: Option<&str>,
    ) -> Result<Collection>;

    /// Deletes a collection. With documents left it is `FAILED_PRECONDITION`, reason `COLLECTION_NOT_EMPTY`.
    async fn delete_collection(&self, tenant: TenantId, id: CollectionId) -> Result<()>;

    /// Stores a key. A missing tenant is `NOT_FOUND`, reason `TENANT_NOT_FOUND`.
    async fn create_key(&self, key: NewApiKey) -> Result<ApiKey>;

    /// The key whose secret has this hash, whatever its tenant; the only look-up without a tenant, because it is what
    /// finds the tenant.
    async fn key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<KeyRecord>>;

    /// A key of this tenant.
    async fn key(&self, tenant: TenantId, id: KeyId) -> Result<Option<ApiKey>>;

    /// The keys of this tenant, revoked ones included.
    async fn list_keys(&self, tenant: TenantId, page: &PageRequest) -> Result<Page<ApiKey>>;

    /// Changes name and expiry, where given (`Some(None)`: never expires). Missing is `NOT_FOUND`, reason `KEY_NOT_FOUND`.
    async fn update_key(
        &self,
        tenant: TenantId,
        id: KeyId,
        name: Option<&str>,
        expire_time: Option<Option<Timestamp>>,
    ) -> Result<ApiKey>;

    /// Revokes a key for good; a revoked key stays as it is.
    async fn revoke_key(&self, tenant: TenantId, id: KeyId) -> Result<ApiKey>;

    /// Notes that a key was used.
    async fn touch_key(&self, tenant: TenantId, id: KeyId) -> Result<()>;
}
