//! Mutations that are made once.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use uuid::Uuid;
use vectrion_core::{Error, ErrorKind, ids::TenantId};
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
