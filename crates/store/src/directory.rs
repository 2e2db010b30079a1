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
    tenancy::{ApiKey, Collection, Tenant},
    time::Timestamp,
};

use crate::Store;

#[async_trait]
impl Directory for Store {
    async fn is_empty(&self) -> Result<bool> {
        Ok(tenants::none(self).await?)
    }

    async fn create_tenant(&self, id: TenantId, name: &str) -> Result<Tenant> {
        Ok(tenants::create(self, id, name).await?)
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>> {
        Ok(tenants::by_id(self.reader(), id).await?)
    }

    async fn tenant_by_name(&self, name: &str) -> Result<Option<Tenant>> {
        Ok(tenants::by_name(self.reader(), name).await?)
    }

    async fn list_tenants(&self, page: &PageRequest) -> Result<Page<Tenant>> {
        Ok(tenants::list(self, page).await?)
    }

    async fn rename_tenant(&self, id: TenantId, name: &str) -> Result<Tenant> {
        Ok(tenants::rename(self, id, name).await?)
    }

    async fn delete_tenant(&self, id: TenantId) -> Result<()> {
        Ok(tenants::delete(self, id).await?)
    }

    async fn create_collection(
        &self,
        tenant: TenantId,
        id: CollectionId,
        name: &str,
        description: &str,
        embedding_model: &str,
    ) -> Result<Collection> {
        Ok(collections::create(self, tenant, id, name, description, embedding_model).await?)
    }

    async fn collection(&self, tenant: TenantId, id: CollectionId) -> Result<Option<Collection>> {
        Ok(collections::by_id(self.reader(), tenant, id).await?)
    }

    async fn collection_by_name(&self, tenant: TenantId, name: &str) -> Result<Option<Collection>> {
        Ok(collections::by_name(self.reader(), tenant, name).await?)
    }

    async fn list_collections(&self, tenant: TenantId, page: &PageRequest) -> Result<Page<Collection>> {
        Ok(collections::list(self.reader(), tenant, page).await?)
    }

    async fn update_collection(
        &self,
        tenant: TenantId,
        id: CollectionId,
        name: Option<&str>,
        description: Option<&str>,
    ) -> Result<Collection> {
        Ok(collections::update(self, tenant, id, name, description).await?)
    }

    async fn delete_collection(&self, tenant: TenantId, id: CollectionId) -> Result<()> {
        Ok(collections::delete(self, tenant, id).await?)
    }

    async fn create_key(&self, key: NewApiKey) -> Result<ApiKey> {
        Ok(keys::create(self, key).await?)
    }

    async fn key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<KeyRecord>> {
        Ok(keys::by_hash(self.reader(), hash).await?)
    }

    async fn key(&self, tenant: TenantId, id: KeyId) -> Result<Option<ApiKey>> {
        Ok(keys::by_id(self.reader(), tenant, id).await?)
    }

    async fn list_keys(&self, tenant: TenantId, page: &PageRequest) -> Result<Page<ApiKey>> {
        Ok(keys::list(self.reader(), tenant, page).await?)
    }

    async fn update_key(
        &self,
        tenant: TenantId,
        id: KeyId,
        name: Option<&str>,
        expire_time: Option<Option<Timestamp>>,
    ) -> Result<ApiKey> {
        Ok(keys::update(self, tenant, id, name, expire_time).await?)
    }

    async fn revoke_key(&self, tenant: TenantId, id: KeyId) -> Result<ApiKey> {
        Ok(keys::revoke(self, tenant, id).await?)
    }

    async fn touch_key(&self, tenant: TenantId, id: KeyId) -> Result<()> {
        Ok(keys::touch(self, tenant, id).await?)
    }
}
