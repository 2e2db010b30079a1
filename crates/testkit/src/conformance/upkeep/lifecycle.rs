//! Lifecycle policies, and what their rules name.

use std::{sync::Arc, time::Duration};

use vectrion_core::{
    ErrorKind::NotFound,
    ids::{CollectionId, TenantId},
    job::Stage,
    lifecycle::{LifecycleRule, LifecycleRules},
};

use super::records;
use crate::conformance::scenario::{Database, Scenario, failure, pass, refused};

pub async fn a_policy_is_set_read_and_taken_back<S: Database>(store: Arc<S>) {
    let (scenario, other) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    let (tenant, collection) = (scenario.tenant, scenario.collection);
    let none = store.lifecycle_policy(tenant, collection).await.expect("a policy");
    assert!(none.rules.is_empty() && none.update_time.is_none() && none.collection == collection);
    refused(store.lifecycle_policy(other.tenant, collection).await, NotFound, "COLLECTION_NOT_FOUND");
    let missing = store.set_lifecycle_policy(tenant, CollectionId::new(), LifecycleRules::default()).await;
    refused(missing, NotFound, "COLLECTION_NOT_FOUND");

    let all = LifecycleRules {
        retention_days: Some(365),
        keep_versions: Some(3),
        purge_failed_days: Some(7),
        purge_orphans: true,
    };
    for rules in [all, LifecycleRules { keep_versions: Some(1), ..LifecycleRules::default() }] {
        let set = store.set_lifecycle_policy(tenant, collection, rules).await.expect("set");
        assert!(set.rules == rules && set.update_time.is_some() && set.tenant == tenant);
        assert_eq!(store.lifecycle_policy(tenant, collection).await.expect("a policy"), set);
        let found = store.walk_lifecycle_policies(None, 1000).await.expect("a walk");
        assert!(found.contains(&set));
        let after = store.walk_lifecycle_policies(Some(collection), 1000).await.expect("a walk");
        assert!(!after.contains(&set));
    }
    store.set_lifecycle_policy(tenant, collection, LifecycleRules::default()).await.expect("taken back");
    assert!(store.lifecycle_policy(tenant, collection).await.expect("a policy").rules.is_empty());
    let left = store.walk_lifecycle_policies(None, 1000).await.expect("a walk");
    assert!(left.iter().all(|policy| policy.collection != collection));
}

pub async fn a_policy_goes_with_its_collection<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let rules = LifecycleRules { keep_versions: Some(1), ..LifecycleRules::default() };
    let made = store.create_collection(scenario.tenant, CollectionId::new(), "c", "", "").await.expect("a collection");
    store.set_lifecycle_policy(scenario.tenant, made.id, rules).await.expect("set");
    store.delete_collection(scenario.tenant, made.id).await.expect("deleted");
    store.set_lifecycle_policy(scenario.tenant, scenario.collection, rules).await.expect("set");
    store.delete_tenant(scenario.tenant).await.expect("deleted");
    let left = store.walk_lifecycle_policies(None, 1000).await.expect("a walk");
    assert!(left.iter().all(|policy| policy.tenant != scenario.tenant));
}

pub async fn rules_name_what_they_would_remove<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let (tenant, collection) = (scenario.tenant, scenario.collection);
    let mut versions = Vec::new();
    for number in 1..=4 {
        versions.push(scenario.indexed("a", &number.to_string(), &["x"]).await.version_id);
        if number > 1 {
            scenario.finish_delete().await;
        }
    }
    let failed = scenario.uploaded("failed", "f").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    store.fail(&lease, failure(&lease, "X")).await.expect("given up");
    let names = async |rule| {
        let mut named = Vec::new();
        let mut after = None;
        loop {
            let page = store.lifecycle_candidates(tenant, collection, rule, after, 1).await.expect("candidates");
            let Some(last) = page.last() else { return named };
            after = Some(last.version_id);
            named.push((last.document, last.version_id));
        }
    };
    let a = scenario.now(failed.id).await;
    let document = records(&scenario).await[0].document;
    assert_eq!(names(LifecycleRule::Versions(2)).await, [(document, versions[0]), (document, versions[1])]);
    assert_eq!(names(LifecycleRule::Versions(4)).await, []);
    assert_eq!(names(LifecycleRule::Versions(9)).await, []);
    assert_eq!(names(LifecycleRule::Retention(1)).await, [], "nothing is that old");
    assert_eq!(names(LifecycleRule::Failed(1)).await, []);
    pass().await;
    let mut old: Vec<_> = names(LifecycleRule::Retention(0)).await;
    old.sort_unstable();
    let mut all = vec![(document, versions[3]), (failed.id, failed.version_id)];
    all.sort_unstable();
    assert_eq!(old, all, "every document by its newest version");
    assert_eq!(names(LifecycleRule::Failed(0)).await, [(failed.id, failed.version_id)]);
    let named = store.lifecycle_candidates(tenant, collection, LifecycleRule::Failed(0), None, 9).await;
    let named = named.expect("candidates").remove(0);
    assert_eq!((named.revision, named.version, named.filename), (a.revision, 1, a.filename));

    // A failed newer version does not take the one that searches see.
    scenario.uploaded("a", "5").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    store.fail(&lease, failure(&lease, "X")).await.expect("given up");
    pass().await;
    assert_eq!(names(LifecycleRule::Failed(0)).await.len(), 1, "a document that can be found has not failed for good");
    let kept = names(LifecycleRule::Versions(1)).await;
    assert_eq!(kept, [(document, versions[0]), (document, versions[1]), (document, versions[2])]);
    scenario.begin_delete(document).await;
    assert_eq!(names(LifecycleRule::Versions(1)).await, [], "it goes anyhow");
    let elsewhere = store.lifecycle_candidates(TenantId::new(), collection, LifecycleRule::Retention(0), None, 9).await;
    assert_eq!(elsewhere.expect("candidates"), []);
}

pub async fn orphans_are_looked_for_once_in_a_while<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let (tenant, collection, long) = (scenario.tenant, scenario.collection, Duration::from_secs(600));
    assert!(!store.begin_orphans(tenant, collection, long).await.expect("an answer"), "there is no policy");
    let rules = LifecycleRules { purge_orphans: true, ..LifecycleRules::default() };
    store.set_lifecycle_policy(tenant, collection, rules).await.expect("set");
    assert!(store.begin_orphans(tenant, collection, long).await.expect("an answer"));
    assert!(!store.begin_orphans(tenant, collection, long).await.expect("an answer"), "they were looked for just now");
    pass().await;
    assert!(store.begin_orphans(tenant, collection, Duration::from_millis(1)).await.expect("an answer"));
    let policy = store.lifecycle_policy(tenant, collection).await.expect("a policy");
    assert!(policy.orphans_time.is_some());
}
