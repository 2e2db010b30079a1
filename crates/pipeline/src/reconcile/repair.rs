//! What makes it right.

use vectrion_core::{
    Result,
    ids::{JobId, TenantId, VersionId},
    job::JobPayload,
    ports::{upkeep::VersionRecord, vectors::VectorScope},
};

use super::{Reconciliation, Remedy};

impl Reconciliation {
    /// Queues work on a version again, if repairs were asked for.
    pub(super) async fn requeue(
        &self,
        tenant: TenantId,
        record: &VersionRecord,
        payload: JobPayload,
    ) -> Result<Remedy> {
        if !self.order.repair {
            return Ok(Remedy::None);
        }
        let stage = payload.stage();
        let (tries, trace) = (self.ingest.attempts(stage), &self.order.trace_id);
        let upkeep = &self.ports.upkeep;
        if !upkeep.requeue(tenant, record.document, payload, JobId::new(), tries, trace).await? {
            return Ok(Remedy::Busy);
        }
        self.ports.wake(stage).await;
        Ok(Remedy::Queued)
    }

    /// Removes the points of a version that is not known, after another look whether that is so.
    pub(super) async fn remove_points(&self, scope: &VectorScope, version: VersionId) -> Result<Remedy> {
        if !self.ports.upkeep.known_versions(scope.tenant, &[version]).await?.is_empty() {
            return Ok(Remedy::Busy);
        }
        self.ports.vectors.delete_version(scope, version).await?;
        Ok(Remedy::Removed)
    }
}
