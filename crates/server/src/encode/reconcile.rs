//! Comparisons of database, vectors and objects.

use std::time::Duration;

use vectrion::v1::{self, reconcile_response::Event};
use vectrion_pipeline::reconcile::{Finding, FindingKind, ReconcileEvent, Remedy};

use super::values::size;

/// An event of a comparison; `took`: since the beginning of the call.
pub(crate) fn reconcile_event(event: ReconcileEvent, took: Duration) -> v1::ReconcileResponse {
    let event = match event {
        ReconcileEvent::Finding(finding) => Event::Finding(finding_of(*finding)),
        ReconcileEvent::Progress(progress) => Event::Progress(v1::ReconcileProgress {
            versions: size(progress.versions),
            points: size(progress.points),
            objects: size(progress.objects),
            findings: size(progress.findings),
            resume_token: progress.resume.unwrap_or_default(),
        }),
        ReconcileEvent::Finished(progress) => Event::Summary(v1::ReconcileSummary {
            versions: size(progress.versions),
            points: size(progress.points),
            objects: size(progress.objects),
            findings: size(progress.findings),
            remedied: size(progress.remedied),
            duration_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
        }),
    };
    v1::ReconcileResponse { event: Some(event) }
}

/// Something that does not fit.
pub(super) fn finding_of(finding: Finding) -> v1::ReconcileFinding {
    v1::ReconcileFinding {
        kind: kind(finding.kind).into(),
        tenant_id: finding.tenant.to_string(),
        document_id: finding.document.map(|id| id.to_string()).unwrap_or_default(),
        version_id: finding.version.map(|id| id.to_string()).unwrap_or_default(),
        object_key: finding.object_key.unwrap_or_default(),
        expected: size(finding.expected),
        found: size(finding.found),
        remedy: remedy(finding.remedy).into(),
        message: finding.message,
    }
}

fn kind(kind: FindingKind) -> v1::ReconcileFindingKind {
    match kind {
        FindingKind::PointsMissing => v1::ReconcileFindingKind::PointsMissing,
        FindingKind::PointsStale => v1::ReconcileFindingKind::PointsStale,
        FindingKind::PointsOrphaned => v1::ReconcileFindingKind::PointsOrphaned,
        FindingKind::ChunksMissing => v1::ReconcileFindingKind::ChunksMissing,
        FindingKind::ObjectMissing => v1::ReconcileFindingKind::ObjectMissing,
        FindingKind::ObjectSizeWrong => v1::ReconcileFindingKind::ObjectSizeWrong,
        FindingKind::ObjectCorrupt => v1::ReconcileFindingKind::ObjectCorrupt,
        FindingKind::ObjectOrphaned => v1::ReconcileFindingKind::ObjectOrphaned,
        FindingKind::ObjectUnknown => v1::ReconcileFindingKind::ObjectUnknown,
        FindingKind::JobMissing => v1::ReconcileFindingKind::JobMissing,
        FindingKind::TenantLeftover => v1::ReconcileFindingKind::TenantLeftover,
        FindingKind::GenerationStale => v1::ReconcileFindingKind::GenerationStale,
    }
}

fn remedy(remedy: Remedy) -> v1::ReconcileRemedy {
    match remedy {
        Remedy::None => v1::ReconcileRemedy::Unspecified,
        Remedy::Queued => v1::ReconcileRemedy::Queued,
        Remedy::Removed => v1::ReconcileRemedy::Removed,
        Remedy::Busy => v1::ReconcileRemedy::Busy,
    }
}
