//! Mutations that are made once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::Notify;
use uuid::Uuid;
use vectrion_core::{
    Error, ErrorKind, Result,
    ids::TenantId,
    ports::{Idempotency, idempotency::Claimed},
};
use vectrion_pipeline::idempotency::{IdempotentCall, Replayed, run};

use super::world::World;

fn call(world: &World, request: Uuid, parameters: u8) -> IdempotentCall {
    IdempotentCall { tenant: world.tenant, request: Some(request), method: "CreateThing", parameters: [parameters; 32] }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_outcome_is_replayed() {
    let world = World::new().await;
    let made = AtomicU32::new(0);
    let make = |outcome: Result<Vec<u8>, Error>| {
        made.fetch_add(1, Ordering::SeqCst);
        async move { outcome }
    };
    let (good, bad) = (Uuid::new_v4(), Uuid::new_v4());
    let first =
        run(&world.ports.idempotency, &call(&world, good, 1), async { make(Ok(b"a thing".to_vec())).await }).await;
    assert_eq!(first.expect("made"), Replayed::Fresh(b"a thing".to_vec()));
    let again =
        run(&world.ports.idempotency, &call(&world, good, 1), async { make(Ok(b"another".to_vec())).await }).await;
    assert_eq!(again.expect("replayed"), Replayed::Replay(b"a thing".to_vec()));

    let taken = || Error::already_exists("THING_EXISTS", "there is such a thing").with_metadata("thing", "7");
    let first = run(&world.ports.idempotency, &call(&world, bad, 1), async { make(Err(taken())).await })
        .await
        .expect_err("taken");
    let again = run(&world.ports.idempotency, &call(&world, bad, 1), async { make(Ok(vec![])).await })
        .await
        .expect_err("replayed");
    assert_eq!(
        (first.reason(), first.message(), first.metadata()),
        (again.reason(), again.message(), again.metadata())
    );
    assert_eq!(made.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_belongs_to_one_call_of_one_tenant() {
    let world = World::new().await;
    let request = Uuid::new_v4();
    let make = || async { Ok(vec![1]) };
    run(&world.ports.idempotency, &call(&world, request, 1), make()).await.expect("made");
    let other_method = IdempotentCall { method: "DeleteThing", ..call(&world, request, 1) };
    for other in [call(&world, request, 2), other_method] {
        let error = run(&world.ports.idempotency, &other, make()).await.expect_err("another call");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::AlreadyExists, "REQUEST_ID_REUSED"));
    }
    let operator = world.context_of(world.tenant, vectrion_core::tenancy::Role::Operator);
    let tenant: TenantId = world.administration.create_tenant(&operator, "other").await.expect("a tenant").id;
    let elsewhere = IdempotentCall { tenant, ..call(&world, request, 2) };
    assert!(matches!(run(&world.ports.idempotency, &elsewhere, make()).await, Ok(Replayed::Fresh(_))));
    let unnamed = IdempotentCall { request: None, ..call(&world, request, 1) };
    for _ in 0..2 {
        assert!(matches!(run(&world.ports.idempotency, &unnamed, make()).await, Ok(Replayed::Fresh(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_go_better_next_time_leaves_the_id_free() {
    let world = World::new().await;
    let request = Uuid::new_v4();
    let down = async { Err(Error::unavailable("DATABASE_UNAVAILABLE", "down")) };
    run(&world.ports.idempotency, &call(&world, request, 1), down).await.expect_err("down");
    let made = run(&world.ports.idempotency, &call(&world, request, 1), async { Ok(vec![7]) }).await.expect("made");
    assert_eq!(made, Replayed::Fresh(vec![7]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_way_is_not_made_twice_and_a_dropped_one_leaves_the_id_free() {
    let world = World::new().await;
    let request = Uuid::new_v4();
    let once = call(&world, request, 1);
    let first = run(&world.ports.idempotency, &once, std::future::pending());
    let second = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        run(&world.ports.idempotency, &once, async { Ok(vec![]) }).await
    };
    let error = tokio::select! {
        _ = first => panic!("it never ends"),
        second = second => second.expect_err("under way"),
    };
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Aborted, "REQUEST_IN_PROGRESS"));
    assert!(error.retry_after().is_some());
    for _ in 0..100 {
        if run(&world.ports.idempotency, &once, async { Ok(vec![]) }).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the id was never given free");
}

/// The port of a process that stands still right after it took an id.
struct StandsStill(Arc<dyn Idempotency>);

#[async_trait]
impl Idempotency for StandsStill {
    async fn claim_request(&self, t: TenantId, r: Uuid, method: &str, p: [u8; 32], _: i64) -> Result<Claimed> {
        self.0.claim_request(t, r, method, p, 1).await
    }

    async fn renew_request(&self, t: TenantId, r: Uuid, token: i64, claim_ms: i64) -> Result<bool> {
        self.0.renew_request(t, r, token, claim_ms).await
    }

    async fn settle_request(&self, t: TenantId, r: Uuid, token: i64, outcome: Vec<u8>) -> Result<bool> {
        self.0.settle_request(t, r, token, outcome).await
    }

    async fn forget_request(&self, t: TenantId, r: Uuid, token: i64) -> Result<()> {
        self.0.forget_request(t, r, token).await
    }

    async fn purge_requests(&self, keep_ms: i64) -> Result<u64> {
        self.0.purge_requests(keep_ms).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stood_still_gives_the_outcome_of_who_took_over() {
    let world = World::new().await;
    let (request, moves) = (Uuid::new_v4(), Arc::new(Notify::new()));
    let late_port: Arc<dyn Idempotency> = Arc::new(StandsStill(Arc::clone(&world.ports.idempotency)));
    let late_call = call(&world, request, 1);
    let (begun, goes_on) = (Arc::new(Notify::new()), Arc::clone(&moves));
    let told = Arc::clone(&begun);
    let late = tokio::spawn(async move {
        run(&late_port, &late_call, async move {
            told.notify_one();
            goes_on.notified().await;
            Ok(b"late".to_vec())
        })
        .await
    });
    begun.notified().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let next = run(&world.ports.idempotency, &call(&world, request, 1), async { Ok(b"next".to_vec()) }).await;
    assert_eq!(next.expect("made"), Replayed::Fresh(b"next".to_vec()));
    moves.notify_one();
    assert_eq!(late.await.expect("no panic").expect("replayed"), Replayed::Replay(b"next".to_vec()));

    // What the other has not ended yet is said to be under way.
    let request = Uuid::new_v4();
    let late_port: Arc<dyn Idempotency> = Arc::new(StandsStill(Arc::clone(&world.ports.idempotency)));
    let outcome = run(&late_port, &call(&world, request, 1), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let taken =
            world.ports.idempotency.claim_request(world.tenant, request, "CreateThing", [1; 32], 60_000).await?;
        assert_eq!(taken, Claimed::New { token: 2 });
        Ok(b"late".to_vec())
    })
    .await;
    assert_eq!(outcome.expect_err("under way").reason(), "REQUEST_IN_PROGRESS");
}
