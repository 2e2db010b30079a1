//! Tenants.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use vectrion_core::{
    Error, Result,
    document::{DocumentFilter, DocumentOrder},
    ids::TenantId,
    page::{Page, PageRequest},
    ports::objects::ObjectKey,
    tenancy::{CallContext, Role, Tenant},
};

use super::{Administration, TenantRef, names};
use crate::{Ports, identity::role_too_weak};

impl Administration {
    /// Creates a tenant with its collection `default`.
    ///
    /// # Errors
    /// `ALREADY_EXISTS`: `TENANT_EXISTS`; `INVALID_ARGUMENT` naming `name`; `PERMISSION_DENIED`: `ROLE_TOO_WEAK` for
    /// anybody but an operator.
    pub async fn create_tenant(&self, context: &CallContext, name: &str) -> Result<Tenant> {
        operator_only(context)?;
        names::check(name)?;
        self.ports.directory.create_tenant(TenantId::new(), name).await
    }

    /// A tenant.
    pub async fn get_tenant(&self, context: &CallContext, tenant: &TenantRef) -> Result<Tenant> {
        self.find_tenant(context, tenant).await
    }

    /// All tenants. The operator's.
    pub async fn list_tenants(&self, context: &CallContext, page: &PageRequest) -> Result<Page<Tenant>> {
        operator_only(context)?;
        self.ports.directory.list_tenants(page).await
    }

    /// Renames a tenant. The operator's.
    pub async fn update_tenant(&self, context: &CallContext, tenant: &TenantRef, name: &str) -> Result<Tenant> {
        operator_only(context)?;
        names::check(name)?;
        let id = self.resolve_tenant(context, tenant).await?;
        self.ports.directory.rename_tenant(id, name).await
    }

    /// Deletes a tenant without documents, with its vectors and objects. The operator's, but not for the tenant of the
    /// key itself (`FAILED_PRECONDITION`, reason `OWN_TENANT`).
    ///
    /// The rows go in one transaction; vectors and objects go after it. A mark in the object store, written before,
    /// lets the housekeeping finish what a dead process began.
    pub async fn delete_tenant(&self, context: &CallContext, tenant: &TenantRef) -> Result<()> {
        operator_only(context)?;
        let tenant = self.find_tenant(context, tenant).await?;
        if tenant.id == context.principal.tenant {
            return Err(Error::precondition(
                "OWN_TENANT",
                format!("the key belongs to the tenant `{}`; delete it with an operator's key of another", tenant.name),
            ));
        }
        let first = PageRequest { size: 1, token: None };
        let order = DocumentOrder::default();
        let documents = self.ports.catalog.list_documents(tenant.id, &DocumentFilter::default(), order, &first).await?;
        if !documents.items.is_empty() {
            return Err(Error::precondition(
                "TENANT_NOT_EMPTY",
                format!("the tenant `{}` has documents; delete them first and wait until they are gone", tenant.name),
            ));
        }
        let mark = ObjectKey::tenant_removal(tenant.id);
        let name = Bytes::from(tenant.name.clone().into_bytes());
        self.ports.objects.put(&mark, stream::once(async move { Ok(name) }).boxed()).await?;
        if let Err(error) = self.ports.directory.delete_tenant(tenant.id).await {
            // A transient error may hide a commit: then the mark stays, and is looked at again by the housekeeping.
            if !error.is_transient() {
                self.ports.objects.delete(&mark).await?;
            }
            return Err(error);
        }
        if let Err(error) = remove_bytes(&self.ports, tenant.id).await {
            tracing::warn!(tenant_id = %tenant.id, reason = error.reason(), ?error, "the data of a deleted tenant is removed later");
        }
        Ok(())
    }
}

/// Removes the vectors and objects of deleted tenants whose deletion was cut off. Returns how many tenants that were.
pub(crate) async fn finish_removals(ports: &Ports) -> Result<u64> {
    let mut finished = 0;
    for mark in ports.objects.list(&ObjectKey::tenant_removals()).await? {
        let Some(tenant) = mark.key.as_str().rsplit('/').next().and_then(|id| id.parse::<TenantId>().ok()) else {
            continue;
        };
        // A mark of a living tenant is of a deletion that is under way or was refused: nothing may be removed.
        if ports.directory.tenant(tenant).await?.is_none() {
            remove_bytes(ports, tenant).await?;
            finished += 1;
        }
    }
    Ok(finished)
}

/// The rows are gone: removes the vectors, the objects, and at last the mark.
pub(crate) async fn remove_bytes(ports: &Ports, tenant: TenantId) -> Result<()> {
    ports.cache.delete_tenant(tenant).await;
    ports.vectors.drop_tenant(tenant).await?;
    ports.objects.delete_prefix(&ObjectKey::tenant_prefix(tenant)).await?;
    ports.objects.delete(&ObjectKey::tenant_removal(tenant)).await
}

fn operator_only(context: &CallContext) -> Result<()> {
    if context.principal.role == Role::Operator {
        Ok(())
    } else {
        Err(role_too_weak("tenants are looked after with an operator's key"))
    }
}
