//! The queues of the stages, as they are and as they change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_stream::try_stream;
use futures::{StreamExt as _, stream::BoxStream};
use tokio::time::Instant;
use vectrion_core::{
    Error, ErrorKind, Result,
    ids::TenantId,
    ports::{Jobs, jobs::QueueStatus},
    tenancy::{CallContext, Role},
};

use super::{Administration, TenantRef};

/// How often a watch looks. What changes in between is told once.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Watches of queues in one process at the most: each costs a few statements a second.
const MAX_WATCHES: usize = 64;
/// Of these for operators alone.
const OPERATORS_WATCHES: usize = 16;
/// Watches of one tenant in one process at the most, unless an operator's.
const TENANT_WATCHES: usize = 4;

/// A stream of what a watch of the queues sees.
pub type QueueStream = BoxStream<'static, Result<Vec<QueueStatus>>>;

impl Administration {
    /// The queue of every stage. Without a tenant: over all tenants for an operator, the caller's own for everybody else.
    pub async fn list_queues(&self, context: &CallContext, tenant: &TenantRef) -> Result<Vec<QueueStatus>> {
        let whose = self.whose_queues(context, tenant).await?;
        self.ports.jobs.queue_statuses(whose).await
    }

    /// The same at once, whenever a count changes, and every `interval` in any case. The stream ends with an error when the
    /// database cannot be read.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`: `TOO_MANY_WATCHES`; those of [`Administration::list_queues`].
    pub async fn watch_queues(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        interval: Duration,
    ) -> Result<QueueStream> {
        let whose = self.whose_queues(context, tenant).await?;
        let place = self.queue_watches.take(context)?;
        let jobs: Arc<dyn Jobs> = Arc::clone(&self.ports.jobs);
        let stream = try_stream! {
            let _place = place;
            let mut told = Vec::new();
            let mut told_at = Instant::now();
            loop {
                let seen = jobs.queue_statuses(whose).await?;
                if counts(&seen) != told || told_at.elapsed() >= interval {
                    told = counts(&seen);
                    told_at = Instant::now();
                    yield seen;
                }
                tokio::time::sleep(LOOK_EVERY.min(interval)).await;
            }
        };
        Ok(stream.boxed())
    }

    async fn whose_queues(&self, context: &CallContext, tenant: &TenantRef) -> Result<Option<TenantId>> {
        if tenant.0.is_empty() && context.principal.role == Role::Operator {
            return Ok(None);
        }
        self.resolve_tenant(context, tenant).await.map(Some)
    }
}

/// The watches that are open, by tenant and whether they are operators'.
#[derive(Clone, Default)]
pub(super) struct Watches(Arc<Mutex<HashMap<(TenantId, bool), usize>>>);

/// The place of a watch, until it is dropped.
struct Place {
    watches: Watches,
    whose: (TenantId, bool),
}

impl Watches {
    fn take(&self, context: &CallContext) -> Result<Place> {
        let is_operators = context.principal.role == Role::Operator;
        let whose = (context.principal.tenant, is_operators);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (open.values().sum::<usize>(), open.get(&whose).copied().unwrap_or_default());
        let is_full = if is_operators {
            all >= MAX_WATCHES
        } else {
            own >= TENANT_WATCHES || all >= MAX_WATCHES - OPERATORS_WATCHES
        };
        if is_full {
            let message = "there is no place for another watch of the queues; end one, or try later";
            return Err(Error::new(ErrorKind::ResourceExhausted, "TOO_MANY_WATCHES", message)
                .with_retry_after(Duration::from_secs(10)));
        }
        open.insert(whose, own + 1);
        Ok(Place { watches: self.clone(), whose })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.watches.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.whose);
            }
        }
    }
}

/// What does not change by the mere passing of time.
fn counts(queues: &[QueueStatus]) -> Vec<[u64; 4]> {
    queues.iter().map(|queue| [queue.depth.ready, queue.depth.delayed, queue.depth.running, queue.dead]).collect()
}

#[cfg(test)]
mod tests {
    use vectrion_core::{ids::KeyId, tenancy::Principal};

    use super::*;

    fn caller(tenant: TenantId, role: Role) -> CallContext {
        CallContext {
            principal: Principal { key: KeyId::new(), tenant, role },
            deadline: None,
            trace_id: String::new(),
        }
    }

    #[test]
    fn a_tenant_takes_a_few_places_and_operators_find_one_always() {
        let (watches, tenant) = (Watches::default(), TenantId::new());
        let refused = |context: &CallContext| {
            assert_eq!(watches.take(context).map(drop).expect_err("full").reason(), "TOO_MANY_WATCHES");
        };
        let admin = caller(tenant, Role::Admin);
        let mut places: Vec<Place> = (0..TENANT_WATCHES).map(|_| watches.take(&admin).unwrap()).collect();
        refused(&admin);
        places.pop();
        places.push(watches.take(&admin).expect("one has ended"));

        while places.len() < MAX_WATCHES - OPERATORS_WATCHES {
            places.push(watches.take(&caller(TenantId::new(), Role::Admin)).expect("another tenant's"));
        }
        refused(&caller(TenantId::new(), Role::Admin));
        let operator = caller(tenant, Role::Operator);
        places.extend((0..OPERATORS_WATCHES).map(|_| watches.take(&operator).expect("an operator's")));
        refused(&operator);
        places.clear();
        assert!(watches.0.lock().unwrap().is_empty());
    }
}
