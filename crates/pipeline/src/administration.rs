//! Tenants, collections, keys, jobs, dead letters, workers.

mod collections;
mod dead_letters;
mod keys;
mod lifecycle;
mod names;
mod queues;
mod reconcile;
mod tenants;
mod work;

pub(crate) use self::tenants::{finish_removals, remove_bytes};
pub use self::{dead_letters::Handled, queues::QueueStream, reconcile::ReconcileRequest};

use std::sync::Arc;

use vectrion_core::{
    Error, Result,
    ids::TenantId,
    tenancy::{CallContext, Role, Tenant},
};

use crate::{
    Ports,
    identity::Identity,
    settings::{HousekeepingSettings, IngestSettings},
};

/// A tenant as callers name it: empty for the key's own, a UUID for an id, else a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRef(pub String);

/// Looks after tenants, collections, keys and background work. An operator names any tenant; for everybody else another
/// tenant is `NOT_FOUND`, reason `TENANT_NOT_FOUND`, exactly as a missing one.
pub struct Administration {
    ports: Arc<Ports>,
    identity: Arc<Identity>,
    queue_watches: queues::Watches,
    ingest: IngestSettings,
    housekeeping: HousekeepingSettings,
}

impl Administration {
    /// Over these ports.
    #[must_use]
    pub fn new(
        ports: Arc<Ports>,
        identity: Arc<Identity>,
        ingest: IngestSettings,
        housekeeping: HousekeepingSettings,
    ) -> Self {
        Self { ports, identity, queue_watches: queues::Watches::default(), ingest, housekeeping }
    }

    /// The tenant that a call is about.
    pub async fn resolve_tenant(&self, context: &CallContext, tenant: &TenantRef) -> Result<TenantId> {
        let own = context.principal.tenant;
        if tenant.0.is_empty() {
            return Ok(own);
        }
        match tenant.0.parse::<TenantId>() {
            Ok(id) if id == own => Ok(own),
            _ => self.find_tenant(context, tenant).await.map(|tenant| tenant.id),
        }
    }

    /// The tenant itself, if the caller may know of it.
    async fn find_tenant(&self, context: &CallContext, tenant: &TenantRef) -> Result<Tenant> {
        let own = context.principal.tenant;
        let crosses = context.principal.role == Role::Operator;
        let directory = &self.ports.directory;
        // Without the right to cross tenants only the own one is read, so that not even the time tells of others.
        let found = match tenant.0.parse::<TenantId>() {
            _ if tenant.0.is_empty() => directory.tenant(own).await?,
            Ok(id) if crosses || id == own => directory.tenant(id).await?,
            Ok(_) => None,
            Err(_) if crosses => directory.tenant_by_name(&tenant.0).await?,
            Err(_) => directory.tenant(own).await?.filter(|own| own.name == tenant.0),
        };
        found.ok_or_else(|| {
            Error::not_found("TENANT_NOT_FOUND", format!("there is no tenant `{}`", tenant.0))
                .with_metadata("tenant", tenant.0.clone())
        })
    }
}
