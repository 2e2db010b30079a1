//! Conformance of [`Idempotency`].

#![expect(missing_docs, reason = "a case is named by the promise that it checks")]

use std::sync::Arc;

use uuid::Uuid;
use vectrion_core::{
    ids::TenantId,
    ports::{Idempotency, idempotency::Claimed},
};

use super::scenario::{Database, Scenario, pass};

const CLAIM_MS: i64 = 60_000;

/// Makes a test of each promise. `$make` names an async function that gives a new database and whatever keeps it alive.
#[macro_export]
macro_rules! idempotency_conformance {
    ($make:path) => {
        $crate::conformance_tests!($make, idempotency: [
            the_first_call_takes_the_id,
            an_outcome_is_replayed_to_the_same_call,
            another_call_with_the_id_is_told,
            a_claim_without_outcome_is_void_after_a_while,
            a_claim_that_is_renewed_stays,
            a_forgotten_id_is_free,
            the_first_outcome_stays,
            who_stood_still_changes_nothing_of_the_next_call,
            ids_are_a_tenants_own,
            old_outcomes_are_purged,
            of_calls_at_once_one_takes_the_id,
        ]);
    };
}

async fn claim<S: Idempotency>(store: &S, tenant: TenantId, id: Uuid, method: &str, parameters: u8) -> Claimed {
    store.claim_request(tenant, id, method, [parameters; 32], CLAIM_MS).await.expect("a claim")
}

pub async fn the_first_call_takes_the_id<S: Database>(store: Arc<S>) {
    let (tenant, id) = (Scenario::new(&*store).await.tenant, Uuid::new_v4());
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::New { token: 1 });
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::InProgress);
    assert_eq!(claim(&*store, tenant, Uuid::new_v4(), "Create", 1).await, Claimed::New { token: 1 });
}

pub async fn an_outcome_is_replayed_to_the_same_call<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    for outcome in [b"\x00outcome\xff".to_vec(), Vec::new()] {
        let id = Uuid::new_v4();
        assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::New { token: 1 });
        store.settle_request(tenant, id, 1, outcome.clone()).await.expect("settled");
        for _ in 0..2 {
            assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::Replay(outcome.clone()));
        }
    }
}

pub async fn another_call_with_the_id_is_told<S: Database>(store: Arc<S>) {
    let (tenant, id) = (Scenario::new(&*store).await.tenant, Uuid::new_v4());
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::New { token: 1 });
    for settled in [false, true] {
        assert_eq!(claim(&*store, tenant, id, "Create", 2).await, Claimed::Reused, "other parameters");
        assert_eq!(claim(&*store, tenant, id, "Delete", 1).await, Claimed::Reused, "another method");
        if !settled {
            store.settle_request(tenant, id, 1, b"outcome".to_vec()).await.expect("settled");
        }
    }
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::Replay(b"outcome".to_vec()));
}

pub async fn a_claim_without_outcome_is_void_after_a_while<S: Database>(store: Arc<S>) {
    let (tenant, id) = (Scenario::new(&*store).await.tenant, Uuid::new_v4());
    assert_eq!(
        store.claim_request(tenant, id, "Create", [1; 32], 1).await.expect("a claim"),
        Claimed::New { token: 1 }
    );
    pass().await;
    assert_eq!(claim(&*store, tenant, id, "Delete", 2).await, Claimed::New { token: 2 }, "whatever call it is");
    assert_eq!(claim(&*store, tenant, id, "Delete", 2).await, Claimed::InProgress);
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::Reused);
    let settled = Uuid::new_v4();
    assert_eq!(
        store.claim_request(tenant, settled, "Create", [1; 32], 1).await.expect("a claim"),
        Claimed::New { token: 1 }
    );
    store.settle_request(tenant, settled, 1, b"x".to_vec()).await.expect("settled");
    pass().await;
    assert_eq!(claim(&*store, tenant, settled, "Create", 1).await, Claimed::Replay(b"x".to_vec()));
}

pub async fn a_claim_that_is_renewed_stays<S: Database>(store: Arc<S>) {
    let (tenant, id) = (Scenario::new(&*store).await.tenant, Uuid::new_v4());
    assert_eq!(
        store.claim_request(tenant, id, "Create", [1; 32], 1).await.expect("a claim"),
        Claimed::New { token: 1 }
    );
    assert!(store.renew_request(tenant, id, 1, CLAIM_MS).await.expect("renewed"));
    pass().await;
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::InProgress);
    let unknown = Uuid::new_v4();
    assert!(!store.renew_request(tenant, unknown, 1, CLAIM_MS).await.expect("no error"), "nothing to renew");
    assert_eq!(claim(&*store, tenant, unknown, "Create", 1).await, Claimed::New { token: 1 });
}

pub async fn a_forgotten_id_is_free<S: Database>(store: Arc<S>) {
    let (tenant, id) = (Scenario::new(&*store).await.tenant, Uuid::new_v4());
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::New { token: 1 });
    store.forget_request(tenant, id, 1).await.expect("free");
    assert_eq!(claim(&*store, tenant, id, "Delete", 2).await, Claimed::New { token: 2 });
    store.forget_request(tenant, Uuid::new_v4(), 1).await.expect("an unknown id is no error");
}

pub async fn the_first_outcome_stays<S: Database>(store: Arc<S>) {
    let (tenant, id) = (Scenario::new(&*store).await.tenant, Uuid::new_v4());
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::New { token: 1 });
    store.settle_request(tenant, id, 1, b"first".to_vec()).await.expect("settled");
    assert!(!store.settle_request(tenant, id, 1, b"second".to_vec()).await.expect("no error"));
    store.forget_request(tenant, id, 1).await.expect("no error");
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::Replay(b"first".to_vec()));
}

pub async fn ids_are_a_tenants_own<S: Database>(store: Arc<S>) {
    let (a, b) = (Scenario::new(&*store).await.tenant, Scenario::new(&*store).await.tenant);
    let id = Uuid::new_v4();
    assert_eq!(claim(&*store, a, id, "Create", 1).await, Claimed::New { token: 1 });
    assert_eq!(claim(&*store, b, id, "Delete", 2).await, Claimed::New { token: 1 });
    store.settle_request(b, id, 1, b"theirs".to_vec()).await.expect("settled");
    assert_eq!(claim(&*store, a, id, "Create", 1).await, Claimed::InProgress);
    store.forget_request(a, id, 1).await.expect("free");
    assert_eq!(claim(&*store, b, id, "Delete", 2).await, Claimed::Replay(b"theirs".to_vec()));
}

pub async fn old_outcomes_are_purged<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let (settled, claimed) = (Uuid::new_v4(), Uuid::new_v4());
    for id in [settled, claimed] {
        assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::New { token: 1 });
    }
    store.settle_request(tenant, settled, 1, b"x".to_vec()).await.expect("settled");
    pass().await;
    assert_eq!(store.purge_requests(3_600_000).await.expect("purged"), 0, "not that old");
    assert_eq!(store.purge_requests(0).await.expect("purged"), 2);
    assert_eq!(claim(&*store, tenant, settled, "Create", 2).await, Claimed::New { token: 1 });
}

pub async fn of_calls_at_once_one_takes_the_id<S: Database + 'static>(store: Arc<S>) {
    let (tenant, id) = (Scenario::new(&*store).await.tenant, Uuid::new_v4());
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { claim(&*store, tenant, id, "Create", 1).await })
        })
        .collect();
    let mut new = 0;
    for call in calls {
        match call.await.expect("no panic") {
            Claimed::New { .. } => new += 1,
            other => assert_eq!(other, Claimed::InProgress),
        }
    }
    assert_eq!(new, 1);
}

pub async fn who_stood_still_changes_nothing_of_the_next_call<S: Database>(store: Arc<S>) {
    let (tenant, id) = (Scenario::new(&*store).await.tenant, Uuid::new_v4());
    let late = 1;
    assert_eq!(
        store.claim_request(tenant, id, "Create", [1; 32], 1).await.expect("a claim"),
        Claimed::New { token: late }
    );
    pass().await;
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::New { token: 2 });
    assert!(!store.renew_request(tenant, id, late, CLAIM_MS).await.expect("no error"));
    assert!(!store.settle_request(tenant, id, late, b"late".to_vec()).await.expect("no error"));
    store.forget_request(tenant, id, late).await.expect("no error");
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::InProgress, "the next call has it");
    // Not even when the next one gave it free and somebody else has it.
    store.forget_request(tenant, id, 2).await.expect("free");
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::New { token: 3 });
    assert!(!store.settle_request(tenant, id, late, b"late".to_vec()).await.expect("no error"));
    assert!(store.settle_request(tenant, id, 3, b"right".to_vec()).await.expect("settled"));
    assert_eq!(claim(&*store, tenant, id, "Create", 1).await, Claimed::Replay(b"right".to_vec()));
}
