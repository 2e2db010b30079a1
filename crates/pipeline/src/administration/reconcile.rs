//! Comparing database, vectors and objects.

use std::{sync::Arc, time::Duration};

use vectrion_core::{
    Error, Result,
    tenancy::{CallContext, Role},
};

use super::{Administration, TenantRef};
use crate::{
    CollectionRef,
    identity::role_too_weak,
    reconcile::{ReconcileOrder, ReconcileScope, ReconcileStream, Reconciliation},
};

/// What is to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileRequest {
    /// Whose data; none for that of all tenants, and what is left of those that are gone.
    pub tenant: Option<TenantRef>,
    /// Only what belongs to this collection.
    pub collection: Option<CollectionRef>,
    /// Repair what can be repaired.
    pub repair: bool,
    /// Read every object.
    pub verify_objects: bool,
    /// Age from which on things count as left over; none: as configured.
    pub min_age: Option<Duration>,
    /// Where an earlier call left off.
    pub resume: Option<String>,
}

impl Administration {
    /// Compares database, vectors and objects. All tenants at once are the operator's.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: `INVALID_CURSOR`, or naming `collection` if all tenants were asked for.
    pub async fn reconcile(&self, context: &CallContext, request: ReconcileRequest) -> Result<ReconcileStream> {
        let scope = match (&request.tenant, &request.collection) {
            (None, _) if context.principal.role != Role::Operator => {
                return Err(role_too_weak("all tenants are compared with an operator's key"));
            }
            (None, Some(_)) => return Err(Error::invalid_field("collection", "excludes all_tenants")),
            (None, None) => ReconcileScope::All,
            (Some(tenant), collection) => {
                let tenant = self.resolve_tenant(context, tenant).await?;
                match collection {
                    Some(collection) => {
                        ReconcileScope::Collection(tenant, self.ports.find_collection_id(tenant, collection).await?)
                    }
                    None => ReconcileScope::Tenant(tenant),
                }
            }
        };
        let order = ReconcileOrder {
            scope,
            repair: request.repair,
            verify_objects: request.verify_objects,
            min_age: request.min_age.unwrap_or_else(|| self.housekeeping.orphan_min_age()),
            resume: request.resume,
            trace_id: context.trace_id.clone(),
        };
        Reconciliation::new(Arc::clone(&self.ports), self.ingest.clone(), order).into_stream()
    }
}
