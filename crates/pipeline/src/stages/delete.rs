//! `delete_document`: removal of a document, or of a version that another one replaced.

use vectrion_core::{
    Result,
    job::{JobPayload, Lease},
    ports::objects::ObjectKey,
};

use super::{Done, Stages, heartbeat::Hold};
use crate::{faults::step, receipts};

impl Stages {
    /// Vectors first, then objects, then (by the commit) rows: whatever is left of a deletion that was cut off is found
    /// through its rows.
    pub(super) async fn delete(&self, lease: &Lease, hold: &Hold) -> Result<Done> {
        let job = &lease.job;
        step!("delete::begun");
        let versions = self.ports.jobs.versions_to_delete(lease).await?;
        let scope = self.ports.vector_scope(job.tenant);
        let whole = matches!(job.payload, JobPayload::DeleteDocumentV1 {});
        // A version whose work was called off may be worked on again once the lease has run out.
        hold.check()?;
        if whole {
            // Before any of it goes, for the receipt.
            let stored = receipts::stored(&self.ports, job.tenant, job.document, &versions).await?;
            self.ports.upkeep.note_removal(job.tenant, job.document, stored).await?;
            self.ports.vectors.delete_document(&scope, job.document).await?;
        } else {
            for version in &versions {
                self.ports.vectors.delete_version(&scope, *version).await?;
            }
        }
        step!("delete::vectors_removed");
        self.ports.vectors.flush(&scope).await?;
        step!("delete::flushed");
        // A version that was replaced keeps its bytes and its text, until it is one too many: they can still be fetched.
        if whole || matches!(job.payload, JobPayload::PurgeVersionV1 { .. }) {
            for version in versions {
                self.ports.objects.delete_prefix(&ObjectKey::version_prefix(job.tenant, version)).await?;
            }
        }
        step!("delete::objects_removed");
        Ok(Done::Deleted)
    }
}
