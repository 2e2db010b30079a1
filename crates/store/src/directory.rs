//! Tenants, collections and keys.

mod collections;
mod keys;
mod tenants;

use async_trait::async_trait;
use vectrion_core::{
    Result,
    ids::{CollectionId, KeyId, TenantId},
    page::{Page, PageRequest},
    ports::directory::{Directory, KeyRecord, NewApiKey},
    tenancy::{ApiKey, Collection, CollectionRef, Tenant},
    time::Timestamp,
};

use crate::Store;

#[async_trait]
impl Directory for Store {
    async fn is_empty(&self) -> Result<bool> {
        self.unit(|| tenants::none(self)).await
    }

    async fn create_tenant(&self, id: TenantId, name: &str) -> Result<Tenant> {
        self.unit(|| tenants::create(self, id, name)).await
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>> {
        self.unit(|| tenants::by_id(self.reader(), id)).await
    }

    async fn tenant_by_name(&self, name: &str) -> Result<Option<Tenant>> {
        self.unit(|| tenants::by_name(self.reader(), name)).await
    }

    async fn list_tenants(&self, page: &PageRequest) -> Result<Page<Tenant>> {
        self.unit(|| tenants::list(self, page)).await
    }

    async fn rename_tenant(&self, id: TenantId, name: &str) -> Result<Tenant> {
        self.unit(|| tenants::rename(self, id, name)).await
    }

    async fn delete_tenant(&self, id: TenantId) -> Result<()> {
        self.long_unit(|| tenants::delete(self, id)).await
    }

    async fn create_collection(
        &self,
        tenant: TenantId,
        id: CollectionId,
        name: &str,
        description: &str,
        embedding_model: &str,
    ) -> Result<Collection> {
        self.unit(|| collections::create(self, tenant, id, name, description, embedding_model)).await
    }

    async fn collection_id(&self, tenant: TenantId, named: &CollectionRef) -> Result<Option<CollectionId>> {
        self.unit(|| collections::id_of(self.reader(), tenant, named)).await
    }

    async fn collection(&self, tenant: TenantId, id: CollectionId) -> Result<Option<Collection>> {
        self.unit(|| collections::by_id(self.reader(), tenant, id)).await
    }

    async fn collection_by_name(&self, tenant: TenantId, name: &str) -> Result<Option<Collection>> {
        self.unit(|| collections::by_name(self.reader(), tenant, name)).await
    }

    async fn list_collections(&self, tenant: TenantId, page: &PageRequest) -> Result<Page<Collection>> {
        self.unit(|| collections::list(self.reader(), tenant, page)).await
    }

    async fn update_collection(
        &self,
        tenant: TenantId,
        id: CollectionId,
        name: Option<&str>,
        description: Option<&str>,
    ) -> Result<Collection> {
        self.unit(|| collections::update(self, tenant, id, name, description)).await
    }

    async fn delete_collection(&self, tenant: TenantId, id: CollectionId) -> Result<()> {
        self.unit(|| collections::delete(self, tenant, id)).await
    }

    async fn create_key(&self, key: NewApiKey) -> Result<ApiKey> {
        self.unit(|| keys::create(self, key.clone())).await
    }

    async fn key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<KeyRecord>> {
        self.unit(|| keys::by_hash(self.reader(), hash)).await
    }

    async fn key(&self, tenant: TenantId, id: KeyId) -> Result<Option<ApiKey>> {
        self.unit(|| keys::by_id(self.reader(), tenant, id)).await
    }

    async fn list_keys(&self, tenant: TenantId, page: &PageRequest) -> Result<Page<ApiKey>> {
        self.unit(|| keys::list(self.reader(), tenant, page)).await
    }

    async fn update_key(
        &self,
        tenant: TenantId,
        id: KeyId,
        name: Option<&str>,
        expire_time: Option<Option<Timestamp>>,
    ) -> Result<ApiKey> {
        self.unit(|| keys::update(self, tenant, id, name, expire_time)).await
    }

    async fn revoke_key(&self, tenant: TenantId, id: KeyId) -> Result<ApiKey> {
        self.unit(|| keys::revoke(self, tenant, id)).await
    }

    async fn touch_key(&self, tenant: TenantId, id: KeyId) -> Result<()> {
        self.unit(|| keys::touch(self, tenant, id)).await
    }
}
