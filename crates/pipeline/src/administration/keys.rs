//! API keys.

use vectrion_core::{
    Error, Result,
    ids::{KeyId, TenantId},
    page::{Page, PageRequest},
    tenancy::{ApiKey, CallContext, Role},
    time::Timestamp,
};

use super::{Administration, TenantRef};
use crate::identity::{KeySecret, NewKey, check_name, role_too_weak};

impl Administration {
    /// Creates a key; `key.tenant` is replaced by the resolved `tenant`.
    pub async fn create_key(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        key: NewKey,
    ) -> Result<(ApiKey, KeySecret)> {
        // The key's own tenant is looked up too: a key made for a tenant that was deleted meanwhile would open nothing.
        let tenant = self.find_tenant(context, tenant).await?.id;
        self.identity.create_key(context, NewKey { tenant, ..key }).await
    }

    /// A key. A missing one is `NOT_FOUND`, reason `KEY_NOT_FOUND`.
    pub async fn get_key(&self, context: &CallContext, tenant: &TenantRef, key: KeyId) -> Result<ApiKey> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        self.find_key(tenant, key).await
    }

    /// The keys of a tenant.
    pub async fn list_keys(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        page: &PageRequest,
    ) -> Result<Page<ApiKey>> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        self.ports.directory.list_keys(tenant, page).await
    }

    /// Changes a key. That of a stronger role than the caller's is left alone (`PERMISSION_DENIED`, `ROLE_TOO_WEAK`).
    pub async fn update_key(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        key: KeyId,
        name: Option<&str>,
        expire_time: Option<Option<Timestamp>>,
    ) -> Result<ApiKey> {
        name.map_or(Ok(()), check_name)?;
        if expire_time.flatten().is_some_and(|end| end <= self.ports.clock.now()) {
            return Err(Error::invalid_field("expire_time", "lies in the future; revoke the key to end it now"));
        }
        let tenant = self.resolve_tenant(context, tenant).await?;
        let found = self.find_key(tenant, key).await?;
        not_stronger(context, &found)?;
        if name.is_none() && expire_time.is_none() {
            return Ok(found);
        }
        let changed = self.ports.directory.update_key(tenant, key, name, expire_time).await?;
        self.identity.forget(&changed).await;
        Ok(changed)
    }

    /// Revokes a key. That of a stronger role than the caller's is left alone (`PERMISSION_DENIED`, `ROLE_TOO_WEAK`). The
    /// last unexpired operator's key of the installation cannot be revoked by itself (`FAILED_PRECONDITION`, reason
    /// `OWN_KEY`).
    pub async fn revoke_key(&self, context: &CallContext, tenant: &TenantRef, key: KeyId) -> Result<ApiKey> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        let found = self.find_key(tenant, key).await?;
        not_stronger(context, &found)?;
        if key == context.principal.key && found.role == Role::Operator && !self.other_operator(key).await? {
            return Err(Error::precondition(
                "OWN_KEY",
                "this is the last operator's key of the installation; make another one before you revoke it",
            ));
        }
        let revoked = self.ports.directory.revoke_key(tenant, key).await?;
        self.identity.forget(&revoked).await;
        Ok(revoked)
    }

    async fn find_key(&self, tenant: TenantId, key: KeyId) -> Result<ApiKey> {
        self.ports.directory.key(tenant, key).await?.ok_or_else(|| {
            Error::not_found("KEY_NOT_FOUND", format!("there is no API key {key}"))
                .with_metadata("key_id", key.to_string())
        })
    }

    /// Whether an operator's key other than this one is in force, in any tenant.
    async fn other_operator(&self, key: KeyId) -> Result<bool> {
        let now = self.ports.clock.now();
        let in_force = |other: &ApiKey| {
            other.id != key
                && other.role == Role::Operator
                && other.revoke_time.is_none()
                && other.expire_time.is_none_or(|end| end > now)
        };
        let mut tenants = PageRequest { size: PageRequest::MAX_SIZE, token: None };
        loop {
            let page = self.ports.directory.list_tenants(&tenants).await?;
            for tenant in page.items {
                let mut keys = PageRequest { size: PageRequest::MAX_SIZE, token: None };
                loop {
                    let page = self.ports.directory.list_keys(tenant.id, &keys).await?;
                    if page.items.iter().any(in_force) {
                        return Ok(true);
                    }
                    match page.next {
                        Some(next) => keys.token = Some(next),
                        None => break,
                    }
                }
            }
            match page.next {
                Some(next) => tenants.token = Some(next),
                None => return Ok(false),
            }
        }
    }
}

fn not_stronger(context: &CallContext, key: &ApiKey) -> Result<()> {
    if key.role > context.principal.role {
        return Err(role_too_weak(format!(
            "a key of the role {} does not change a key of the role {}",
            context.principal.role.as_str(),
            key.role.as_str()
        )));
    }
    Ok(())
}
