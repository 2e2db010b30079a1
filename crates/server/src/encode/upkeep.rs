//! Receipts of deletions, lifecycle policies.

use vectrion::v1::{self, apply_lifecycle_policy_response::Event};
use vectrion_core::{
    deletion::{DeletionCause, DeletionReceipt},
    lifecycle::{LifecyclePolicy, LifecycleRule},
};
use vectrion_pipeline::lifecycle::LifecycleAction;

use super::{
    reconcile::finding_of,
    values::{number, size, time},
};

/// The receipt of a deletion.
pub(crate) fn deletion_receipt(receipt: DeletionReceipt) -> v1::DeletionReceipt {
    let state = match (receipt.end_time, receipt.verify_time) {
        (None, _) => v1::DeletionState::Pending,
        (Some(_), None) => v1::DeletionState::Removed,
        (Some(_), Some(_)) => v1::DeletionState::Verified,
    };
    let cause = match receipt.cause {
        DeletionCause::Request => v1::DeletionCause::Request,
        DeletionCause::Retention => v1::DeletionCause::Retention,
        DeletionCause::Failed => v1::DeletionCause::Failed,
    };
    let (removed, left) = (receipt.removed, receipt.left);
    v1::DeletionReceipt {
        document_id: receipt.document.to_string(),
        collection_id: receipt.collection.to_string(),
        external_id_sha256: hex::encode(receipt.external_id_sha256),
        state: state.into(),
        cause: cause.into(),
        key_id: receipt.key.map(|key| key.to_string()).unwrap_or_default(),
        trace_id: receipt.trace_id,
        removed: Some(v1::DeletionCounts {
            rows: 0,
            versions: size(removed.versions),
            chunks: size(removed.chunks),
            points: size(removed.points),
            objects: size(removed.objects),
            bytes: size(removed.bytes),
        }),
        left: Some(v1::DeletionCounts {
            rows: size(left.rows),
            points: size(left.points),
            objects: size(left.objects),
            ..v1::DeletionCounts::default()
        }),
        request_time: Some(time(receipt.request_time)),
        end_time: receipt.end_time.map(time),
        verify_time: receipt.verify_time.map(time),
    }
}

/// The policy of a collection.
pub(crate) fn lifecycle_policy(policy: LifecyclePolicy) -> v1::LifecyclePolicy {
    let rules = policy.rules;
    v1::LifecyclePolicy {
        collection_id: policy.collection.to_string(),
        tenant_id: policy.tenant.to_string(),
        retention_days: rules.retention_days.map_or(0, number),
        keep_versions: rules.keep_versions.map_or(0, number),
        purge_failed_days: rules.purge_failed_days.map_or(0, number),
        purge_orphans: rules.purge_orphans,
        update_time: policy.update_time.map(time),
    }
}

/// What a policy removes.
pub(crate) fn lifecycle_action(action: LifecycleAction) -> v1::ApplyLifecyclePolicyResponse {
    let event = match action {
        LifecycleAction::Orphan(finding) => Event::Orphan(finding_of(*finding)),
        LifecycleAction::Document { rule, candidate, queued } => {
            let (rule, is_version) = match rule {
                LifecycleRule::Retention(_) => (v1::LifecycleRule::Retention, false),
                LifecycleRule::Failed(_) => (v1::LifecycleRule::Failed, false),
                LifecycleRule::Versions(_) => (v1::LifecycleRule::Versions, true),
            };
            Event::Action(v1::LifecycleAction {
                rule: rule.into(),
                document_id: candidate.document.to_string(),
                version: if is_version { number(candidate.version) } else { 0 },
                filename: candidate.filename,
                since_time: Some(time(candidate.since)),
                queued,
            })
        }
    };
    v1::ApplyLifecyclePolicyResponse { event: Some(event) }
}

/// The end of an application.
pub(crate) fn lifecycle_summary(actions: u64, orphans: u64, removed: u64) -> v1::ApplyLifecyclePolicyResponse {
    let summary = v1::LifecycleSummary { actions: size(actions), orphans: size(orphans), removed: size(removed) };
    v1::ApplyLifecyclePolicyResponse { event: Some(Event::Summary(summary)) }
}
