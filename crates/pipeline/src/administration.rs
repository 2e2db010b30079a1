//! Tenants, collections, keys, jobs, dead letters, workers.

use std::sync::Arc;

use vectrion_core::{
    Result,
    ids::{DeadLetterId, JobId, KeyId, TenantId},
    job::{DeadLetter, Job, Worker},
    page::{Page, PageRequest},
    ports::jobs::{JobFilter, QueueDepth},
    tenancy::{ApiKey, CallContext, Collection, Tenant},
    time::Timestamp,
};

use crate::{
    CollectionRef, Ports,
    identity::{Identity, KeySecret, NewKey},
};

/// A tenant as callers name it: empty for the key's own, a UUID for an id, else a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRef(pub String);

/// Looks after tenants, collections, keys and background work. An operator names any tenant; for everybody else another
/// tenant is `NOT_FOUND`, reason `TENANT_NOT_FOUND`, exactly as a missing one.
pub struct Administration {
    ports: Arc<Ports>,
    identity: Arc<Identity>,
}

macro_rules! unwritten { ($($x:expr),*) => {{ let _ = ($(&$x,)*); todo!() }}; }

impl Administration {
    /// Over these ports.
    #[must_use]
    pub fn new(ports: Arc<Ports>, identity: Arc<Identity>) -> Self {
        Self { ports, identity }
    }

    /// The tenant that a call is about.
    pub async fn resolve_tenant(&self, context: &CallContext, tenant: &TenantRef) -> Result<TenantId> {
        unwritten!(self.ports, self.identity, context, tenant)
    }

    /// Creates a tenant with its collection `default`.
    pub async fn create_tenant(&self, context: &CallContext, name: &str) -> Result<Tenant> {
        unwritten!(context, name)
    }

    /// A tenant.
    pub async fn get_tenant(&self, context: &CallContext, tenant: &TenantRef) -> Result<Tenant> {
        unwritten!(context, tenant)
    }

    /// All tenants.
    pub async fn list_tenants(&self, context: &CallContext, page: &PageRequest) -> Result<Page<Tenant>> {
        unwritten!(context, page)
    }

    /// Renames a tenant.
    pub async fn update_tenant(&self, context: &CallContext, tenant: &TenantRef, name: &str) -> Result<Tenant> {
        unwritten!(context, tenant, name)
    }

    /// Deletes a tenant without documents, with its vectors and objects.
    pub async fn delete_tenant(&self, context: &CallContext, tenant: &TenantRef) -> Result<()> {
        unwritten!(context, tenant)
    }

    /// Creates a collection.
    pub async fn create_collection(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        name: &str,
        description: &str,
    ) -> Result<Collection> {
        unwritten!(context, tenant, name, description)
    }

    /// A collection.
    pub async fn get_collection(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: &CollectionRef,
    ) -> Result<Collection> {
        unwritten!(context, tenant, collection)
    }

    /// The collections of a tenant.
    pub async fn list_collections(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        page: &PageRequest,
    ) -> Result<Page<Collection>> {
        unwritten!(context, tenant, page)
    }

    /// Changes a collection.
    pub async fn update_collection(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: &CollectionRef,
        name: Option<&str>,
        description: Option<&str>,
    ) -> Result<Collection> {
        unwritten!(context, tenant, collection, name, description)
    }

    /// Deletes a collection without documents.
    pub async fn delete_collection(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: &CollectionRef,
    ) -> Result<()> {
        unwritten!(context, tenant, collection)
    }

    /// Creates a key; `key.tenant` is replaced by the resolved `tenant`.
    pub async fn create_key(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        key: NewKey,
    ) -> Result<(ApiKey, KeySecret)> {
        let _ = key;
        unwritten!(context, tenant)
    }

    /// A key.
    pub async fn get_key(&self, context: &CallContext, tenant: &TenantRef, key: KeyId) -> Result<ApiKey> {
        unwritten!(context, tenant, key)
    }

    /// The keys of a tenant.
    pub async fn list_keys(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        page: &PageRequest,
    ) -> Result<Page<ApiKey>> {
        unwritten!(context, tenant, page)
    }

    /// Changes a key.
    pub async fn update_key(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        key: KeyId,
        name: Option<&str>,
        expire_time: Option<Option<Timestamp>>,
    ) -> Result<ApiKey> {
        unwritten!(context, tenant, key, name, expire_time)
    }

    /// Revokes a key. The last unexpired operator's key of the installation cannot be revoked by itself
    /// (`FAILED_PRECONDITION`, reason `OWN_KEY`).
    pub async fn revoke_key(&self, context: &CallContext, tenant: &TenantRef, key: KeyId) -> Result<ApiKey> {
        unwritten!(context, tenant, key)
    }

    /// Jobs, newest first.
    pub async fn list_jobs(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        filter: &JobFilter,
        page: &PageRequest,
    ) -> Result<Page<Job>> {
        unwritten!(context, tenant, filter, page)
    }

    /// A job.
    pub async fn get_job(&self, context: &CallContext, tenant: &TenantRef, job: JobId) -> Result<Job> {
        unwritten!(context, tenant, job)
    }

    /// Workers heard of lately.
    pub async fn list_workers(&self, context: &CallContext) -> Result<Vec<Worker>> {
        unwritten!(context)
    }

    /// Dead letters, newest first.
    pub async fn list_dead_letters(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        reason: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<DeadLetter>> {
        unwritten!(context, tenant, reason, page)
    }

    /// A dead letter.
    pub async fn get_dead_letter(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        id: DeadLetterId,
    ) -> Result<DeadLetter> {
        unwritten!(context, tenant, id)
    }

    /// Runs the job of a dead letter again.
    pub async fn replay_dead_letter(&self, context: &CallContext, tenant: &TenantRef, id: DeadLetterId) -> Result<Job> {
        unwritten!(context, tenant, id)
    }

    /// Depth of every stage's queue.
    pub async fn queue_depths(&self) -> Result<Vec<QueueDepth>> {
        unwritten!()
    }
}
