//! Lifecycle policies of collections.

use std::sync::Arc;

use futures::stream::BoxStream;
use vectrion_core::{
    Result,
    ids::{CollectionId, TenantId},
    lifecycle::{LifecyclePolicy, LifecycleRules},
    tenancy::CallContext,
};

use super::{Administration, TenantRef};
use crate::{
    CollectionRef,
    lifecycle::{Lifecycle, LifecycleAction},
};

impl Administration {
    /// The policy of a collection; one without rules if none was set.
    pub async fn lifecycle_policy(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: &CollectionRef,
    ) -> Result<LifecyclePolicy> {
        let (tenant, collection) = self.collection_of(context, tenant, collection).await?;
        self.ports.upkeep.lifecycle_policy(tenant, collection).await
    }

    /// Sets the policy of a collection, all of it. It is applied from the next sweep on.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the rule that is none.
    pub async fn set_lifecycle_policy(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: &CollectionRef,
        rules: LifecycleRules,
    ) -> Result<LifecyclePolicy> {
        rules.check()?;
        let (tenant, collection) = self.collection_of(context, tenant, collection).await?;
        self.ports.upkeep.set_lifecycle_policy(tenant, collection, rules).await
    }

    /// Applies the policy of a collection now, or only tells what it would remove.
    pub async fn apply_lifecycle_policy(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: &CollectionRef,
        dry_run: bool,
    ) -> Result<BoxStream<'static, Result<LifecycleAction>>> {
        let policy = self.lifecycle_policy(context, tenant, collection).await?;
        let lifecycle = Lifecycle {
            ports: Arc::clone(&self.ports),
            ingest: self.ingest.clone(),
            housekeeping: self.housekeeping.clone(),
        };
        Ok(lifecycle.apply(policy, dry_run, context.trace_id.clone()))
    }

    async fn collection_of(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: &CollectionRef,
    ) -> Result<(TenantId, CollectionId)> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        Ok((tenant, self.ports.find_collection_id(tenant, collection).await?))
    }
}
