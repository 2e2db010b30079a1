//! The queues of the stages, as they are and as they change.

use std::{sync::Arc, time::Duration};

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
pub(super) const MAX_WATCHES: usize = 64;

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
        let place = Arc::clone(&self.queue_watches).try_acquire_owned().map_err(|error| {
            Error::new(ErrorKind::ResourceExhausted, "TOO_MANY_WATCHES", "the server has no place for another watch")
                .with_source(error)
                .with_retry_after(Duration::from_secs(10))
        })?;
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

/// What does not change by the mere passing of time.
fn counts(queues: &[QueueStatus]) -> Vec<[u64; 4]> {
    queues.iter().map(|queue| [queue.depth.ready, queue.depth.delayed, queue.depth.running, queue.dead]).collect()
}
