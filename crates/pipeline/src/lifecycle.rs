//! Lifecycle policies at work: what of a collection is removed by itself.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::BoxStream};
use vectrion_core::{
    Result,
    deletion::{DeletionCause, DeletionOrder},
    ids::JobId,
    job::{JobPayload, Stage},
    lifecycle::{LifecycleCandidate, LifecyclePolicy, LifecycleRule},
};

use crate::{
    Ports,
    reconcile::{Finding, ReconcileEvent, ReconcileOrder, ReconcileScope, Reconciliation, Remedy},
    settings::{HousekeepingSettings, IngestSettings},
};

/// Documents or versions that are read at once.
const PAGE: u32 = 200;
/// Policies that are read at once.
const POLICIES: u32 = 100;
/// Time between looks for what nobody refers to: each walks over everything.
const ORPHANS_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a policy removes, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifecycleAction {
    /// A document, or a version of one.
    Document {
        /// By this rule.
        rule: LifecycleRule,
        /// What.
        candidate: LifecycleCandidate,
        /// Whether its removal was queued; not in a dry run, nor when somebody is at work on it.
        queued: bool,
    },
    /// Points or objects that no document refers to.
    Orphan(Box<Finding>),
}

impl LifecycleAction {
    /// Whether something is, or will be, removed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Document { queued, .. } => *queued,
            Self::Orphan(finding) => matches!(finding.remedy, Remedy::Queued | Remedy::Removed),
        }
    }
}

/// What policies are applied with.
#[derive(Clone)]
pub(crate) struct Lifecycle {
    pub(crate) ports: Arc<Ports>,
    pub(crate) ingest: IngestSettings,
    pub(crate) housekeeping: HousekeepingSettings,
}

impl Lifecycle {
    /// Applies a policy, or in a dry run only tells what it would remove. The actions come as they are done; dropping the
    /// stream ends the rest.
    pub(crate) fn apply(
        self,
        policy: LifecyclePolicy,
        dry_run: bool,
        trace_id: String,
    ) -> BoxStream<'static, Result<LifecycleAction>> {
        let stream = async_stream::try_stream! {
            for rule in policy.rules.by_document() {
                let mut after = None;
                loop {
                    let (tenant, upkeep) = (policy.tenant, &self.ports.upkeep);
                    let page = upkeep.lifecycle_candidates(tenant, policy.collection, rule, after, PAGE).await?;
                    after = page.last().map(|candidate| candidate.version_id);
                    let is_last = page.len() < PAGE as usize;
                    for candidate in page {
                        let queued = !dry_run && self.remove(&policy, rule, &candidate, &trace_id).await?;
                        yield LifecycleAction::Document { rule, candidate, queued };
                    }
                    if is_last {
                        break;
                    }
                }
            }
            if policy.rules.purge_orphans {
                let mut findings = self.orphans(&policy, dry_run, trace_id)?;
                while let Some(event) = findings.next().await {
                    if let ReconcileEvent::Finding(finding) = event? {
                        yield LifecycleAction::Orphan(finding);
                    }
                }
            }
        };
        stream.boxed()
    }

    /// Queues a removal. What has changed meanwhile, or is worked on, stays for the next time.
    async fn remove(
        &self,
        policy: &LifecyclePolicy,
        rule: LifecycleRule,
        candidate: &LifecycleCandidate,
        trace_id: &str,
    ) -> Result<bool> {
        let (tenant, document) = (policy.tenant, candidate.document);
        let max_attempts = self.ingest.attempts(Stage::DeleteDocument);
        let cause = match rule {
            LifecycleRule::Retention(_) => DeletionCause::Retention,
            LifecycleRule::Failed(_) => DeletionCause::Failed,
            LifecycleRule::Versions(_) => {
                let payload = JobPayload::PurgeVersionV1 { version_id: candidate.version_id };
                let upkeep = &self.ports.upkeep;
                let queued = upkeep.requeue(tenant, document, payload, JobId::new(), max_attempts, trace_id).await?;
                self.ports.wake(Stage::DeleteDocument).await;
                return Ok(queued);
            }
        };
        let order = DeletionOrder {
            job: JobId::new(),
            max_attempts,
            trace_id: trace_id.to_owned(),
            cause,
            key: None,
            at_revision: Some(candidate.revision),
        };
        match self.ports.catalog.begin_delete(tenant, document, &order).await {
            Ok(_) => {
                self.ports.wake(Stage::DeleteDocument).await;
                Ok(true)
            }
            Err(error) if matches!(error.reason(), "DOCUMENT_CHANGED" | "DOCUMENT_NOT_FOUND") => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn orphans(
        &self,
        policy: &LifecyclePolicy,
        dry_run: bool,
        trace_id: String,
    ) -> Result<crate::reconcile::ReconcileStream> {
        let order = ReconcileOrder {
            scope: ReconcileScope::Orphans(policy.tenant, policy.collection),
            repair: !dry_run,
            verify_objects: false,
            min_age: self.housekeeping.orphan_min_age(),
            resume: None,
            trace_id,
        };
        Reconciliation::new(Arc::clone(&self.ports), self.ingest.clone(), order).into_stream()
    }

    /// Applies all policies. Does all that it can, then reports the first failure. Returns how much was removed.
    pub(crate) async fn apply_all(&self) -> Result<u64> {
        let (mut removed, mut failed, mut after) = (0, None, None);
        loop {
            let policies = self.ports.upkeep.walk_lifecycle_policies(after, POLICIES).await?;
            let is_last = policies.len() < POLICIES as usize;
            after = policies.last().map(|policy| policy.collection);
            for policy in policies {
                match self.apply_due(policy).await {
                    Ok(count) => removed += count,
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            if is_last {
                return failed.map_or(Ok(removed), Err);
            }
        }
    }

    async fn apply_due(&self, mut policy: LifecyclePolicy) -> Result<u64> {
        if policy.rules.purge_orphans {
            let upkeep = &self.ports.upkeep;
            policy.rules.purge_orphans = upkeep.begin_orphans(policy.tenant, policy.collection, ORPHANS_EVERY).await?;
        }
        let collection = policy.collection;
        let mut removed = 0;
        let mut actions = self.clone().apply(policy, false, String::new());
        while let Some(action) = actions.next().await {
            removed += u64::from(action?.is_done());
        }
        if removed > 0 {
            tracing::info!(collection_id = %collection, removed, "applied a lifecycle policy");
        }
        Ok(removed)
    }
}
