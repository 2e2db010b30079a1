//! Jobs that were given up: looked at, run again, forgotten.

use vectrion_core::{
    Error, Result,
    ids::{DeadLetterId, TenantId},
    job::{DeadLetter, DeadLetterCause, Job},
    page::{Page, PageRequest},
    ports::jobs::{DeadLetterFilter, DeadLetterSelection},
    tenancy::CallContext,
};

use super::{Administration, TenantRef};
use crate::CollectionRef;

/// Dead letters that one call replays or removes at the most.
const BATCH: u32 = 500;
/// Causes that are told at the most.
const CAUSES: u32 = 1000;

/// What became of the dead letters that a call selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// Replayed, or removed.
    pub done: u64,
    /// Named, but not there (any more).
    pub missing: u64,
    /// Selected as well, and left for the next call.
    pub remaining: u64,
}

impl Administration {
    /// Dead letters, newest first. `collection`, if given, goes into the filter; a missing one is `COLLECTION_NOT_FOUND`.
    pub async fn list_dead_letters(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: Option<&CollectionRef>,
        filter: DeadLetterFilter,
        page: &PageRequest,
    ) -> Result<Page<DeadLetter>> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        let filter = self.within_collection(tenant, collection, filter).await?;
        self.ports.jobs.list_dead_letters(tenant, &filter, page).await
    }

    /// Why jobs were given up, the most frequent cause first.
    pub async fn dead_letter_causes(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: Option<&CollectionRef>,
        filter: DeadLetterFilter,
    ) -> Result<Vec<DeadLetterCause>> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        let filter = self.within_collection(tenant, collection, filter).await?;
        self.ports.jobs.dead_letter_causes(tenant, &filter, CAUSES).await
    }

    /// A dead letter. A missing one is `NOT_FOUND`, reason `DEAD_LETTER_NOT_FOUND`.
    pub async fn get_dead_letter(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        id: DeadLetterId,
    ) -> Result<DeadLetter> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        self.ports.jobs.dead_letter(tenant, id).await?.ok_or_else(|| {
            Error::not_found("DEAD_LETTER_NOT_FOUND", format!("there is no dead letter {id}"))
                .with_metadata("dead_letter_id", id.to_string())
        })
    }

    /// Runs the job of a dead letter again.
    pub async fn replay_dead_letter(&self, context: &CallContext, tenant: &TenantRef, id: DeadLetterId) -> Result<Job> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        let job = self.ports.jobs.replay_dead_letter(tenant, id, &context.trace_id).await?;
        self.ports.wake(job.payload.stage()).await;
        Ok(job)
    }

    /// Runs the jobs of some dead letters again, up to 500 in a call. One that somebody else has replayed meanwhile is
    /// none of them, so that a call that is repeated runs no job twice.
    pub async fn replay_dead_letters(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: Option<&CollectionRef>,
        selection: DeadLetterSelection,
    ) -> Result<Handled> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        let (ids, mut handled) = self.select(tenant, collection, selection).await?;
        let mut stages = Vec::new();
        for id in ids {
            match self.ports.jobs.replay_dead_letter(tenant, id, &context.trace_id).await {
                Ok(job) => {
                    handled.done += 1;
                    if !stages.contains(&job.payload.stage()) {
                        stages.push(job.payload.stage());
                    }
                }
                Err(error) if error.reason() == "DEAD_LETTER_NOT_FOUND" => handled.missing += 1,
                // What was replayed before stays so; the next call goes on.
                Err(error) => return Err(error),
            }
        }
        for stage in stages {
            self.ports.wake(stage).await;
        }
        Ok(handled)
    }

    /// Forgets some dead letters, up to 500 in a call. Their documents stay failed, and can be retried.
    pub async fn purge_dead_letters(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: Option<&CollectionRef>,
        selection: DeadLetterSelection,
    ) -> Result<Handled> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        let (ids, handled) = self.select(tenant, collection, selection).await?;
        let done = self.ports.jobs.purge_dead_letters(tenant, &ids).await?;
        Ok(Handled { done, missing: handled.missing + (ids.len() as u64).saturating_sub(done), ..handled })
    }

    async fn select(
        &self,
        tenant: TenantId,
        collection: Option<&CollectionRef>,
        selection: DeadLetterSelection,
    ) -> Result<(Vec<DeadLetterId>, Handled)> {
        let selection = match selection {
            DeadLetterSelection::Matching(filter) => {
                DeadLetterSelection::Matching(self.within_collection(tenant, collection, filter).await?)
            }
            named @ DeadLetterSelection::Ids(_) => named,
        };
        let (ids, selected) = self.ports.jobs.select_dead_letters(tenant, &selection, BATCH).await?;
        let missing = match &selection {
            DeadLetterSelection::Ids(named) => (named.len() as u64).saturating_sub(selected),
            DeadLetterSelection::Matching(_) => 0,
        };
        let remaining = selected.saturating_sub(ids.len() as u64);
        Ok((ids, Handled { done: 0, missing, remaining }))
    }

    async fn within_collection(
        &self,
        tenant: TenantId,
        collection: Option<&CollectionRef>,
        filter: DeadLetterFilter,
    ) -> Result<DeadLetterFilter> {
        let Some(collection) = collection else { return Ok(filter) };
        let found = self.ports.find_collection_id(tenant, collection).await?;
        Ok(DeadLetterFilter { collection: Some(found), ..filter })
    }
}
