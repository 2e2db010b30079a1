//! Comparisons of database, vectors and objects; lifecycle policies.

use std::time::Duration;

use vectrion::v1;
use vectrion_core::{Error, Result, lifecycle::LifecycleRules};
use vectrion_pipeline::{
    CollectionRef,
    administration::{ReconcileRequest, TenantRef},
};

use super::fields::count;

/// Bytes of a resume token at the most; ours are far shorter.
const MAX_TOKEN_BYTES: usize = 4096;

/// What is to be compared.
pub(crate) fn reconcile(message: v1::ReconcileRequest) -> Result<ReconcileRequest> {
    if message.all_tenants && !message.tenant.is_empty() {
        return Err(Error::invalid_field("tenant", "excludes all_tenants"));
    }
    if message.resume_token.len() > MAX_TOKEN_BYTES {
        return Err(Error::invalid_field("resume_token", "must be the resume_token of an earlier call"));
    }
    let min_age = message.min_age_seconds.map(|seconds| count("min_age_seconds", seconds)).transpose()?;
    Ok(ReconcileRequest {
        tenant: (!message.all_tenants).then_some(TenantRef(message.tenant)),
        collection: (!message.collection.is_empty()).then(|| CollectionRef::parse(&message.collection)),
        repair: message.repair,
        verify_objects: message.verify_objects,
        min_age: min_age.map(Duration::from_secs),
        resume: Some(message.resume_token).filter(|token| !token.is_empty()),
    })
}

/// The rules of a lifecycle policy; 0 is no rule.
pub(crate) fn lifecycle_rules(message: &v1::SetLifecyclePolicyRequest) -> Result<LifecycleRules> {
    let rule = |field, value| {
        let value = u32::try_from(value).map_err(|_| Error::invalid_field(field, "must not be negative"))?;
        Ok((value > 0).then_some(value))
    };
    let rules = LifecycleRules {
        retention_days: rule("retention_days", message.retention_days)?,
        keep_versions: rule("keep_versions", message.keep_versions)?,
        purge_failed_days: rule("purge_failed_days", message.purge_failed_days)?,
        purge_orphans: message.purge_orphans,
    };
    rules.check()?;
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fields::tests::field;

    fn request(change: fn(&mut v1::ReconcileRequest)) -> Result<ReconcileRequest> {
        let mut message = v1::ReconcileRequest::default();
        change(&mut message);
        reconcile(message)
    }

    #[test]
    fn an_empty_request_is_the_keys_own_tenant_without_repairs() {
        let own = request(|_| ()).expect("fine");
        assert_eq!(own.tenant, Some(TenantRef(String::new())));
        assert!(!own.repair && own.collection.is_none() && own.min_age.is_none() && own.resume.is_none());
        assert_eq!(request(|m| m.all_tenants = true).expect("fine").tenant, None);
        assert_eq!(request(|m| m.min_age_seconds = Some(0)).expect("fine").min_age, Some(Duration::ZERO));
    }

    #[test]
    fn what_excludes_each_other_is_named() {
        let both = |m: &mut v1::ReconcileRequest| (m.all_tenants, m.tenant) = (true, "acme".into());
        assert_eq!(field(request(both)), "tenant");
        assert_eq!(field(request(|m| m.min_age_seconds = Some(-1))), "min_age_seconds");
        assert_eq!(field(request(|m| m.resume_token = "x".repeat(5000))), "resume_token");
    }

    #[test]
    fn a_rule_of_zero_is_none_and_a_negative_one_is_refused() {
        let rules = |change: fn(&mut v1::SetLifecyclePolicyRequest)| {
            let mut message = v1::SetLifecyclePolicyRequest::default();
            change(&mut message);
            lifecycle_rules(&message)
        };
        assert!(rules(|_| ()).expect("fine").is_empty());
        assert_eq!(rules(|m| m.keep_versions = 2).expect("fine").keep_versions, Some(2));
        assert_eq!(field(rules(|m| m.retention_days = -1)), "retention_days");
        assert_eq!(field(rules(|m| m.retention_days = 40_000)), "retention_days");
        assert_eq!(field(rules(|m| m.keep_versions = -1)), "keep_versions");
        assert_eq!(field(rules(|m| m.purge_failed_days = i32::MIN)), "purge_failed_days");
    }
}
