//! API keys.

use std::time::Duration;

use rand::{SeedableRng as _, rngs::StdRng};
use vectrion_core::{
    ErrorKind,
    page::PageRequest,
    tenancy::Role,
    time::{Clock as _, Timestamp},
};
use vectrion_pipeline::{
    administration::TenantRef,
    identity::{AdminKey, Identity, KeySecret, NewKey},
};

use super::world::World;

const PEPPER: &[u8] = b"another pepper of at least 32 bytes";

fn new_key(world: &World, role: Role) -> NewKey {
    NewKey { tenant: world.tenant, role, name: "a key".to_owned(), expire_time: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_is_made_once_and_by_a_start_that_follows_a_dead_one() {
    // The tenant is there and no key: as after a first start that died between the two.
    let world = World::new().await;
    let identity = Identity::new(world.ports.clone(), PEPPER.to_vec());
    assert!(identity.is_new_installation().await.expect("a look"));
    let secret = identity.generate_secret();
    assert_eq!(identity.ensure_admin_key(&secret).await.expect("made"), AdminKey::Made);
    assert!(!identity.is_new_installation().await.expect("a look"));
    assert_eq!(identity.ensure_admin_key(&secret).await.expect("again"), AdminKey::Known);
    assert_eq!(identity.ensure_admin_key(&identity.generate_secret()).await.expect("other"), AdminKey::Foreign);
    assert!(identity.bootstrap().await.expect("nothing to do").is_none());

    let principal = identity.authenticate(secret.expose()).await.expect("the operator");
    assert_eq!((principal.tenant, principal.role), (world.tenant, Role::Operator));
    let keys = world.ports.directory.list_keys(world.tenant, &PageRequest::first()).await.expect("keys");
    assert_eq!(keys.items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_gets_a_tenant_and_an_operator() {
    let world = World::new().await;
    world.ports.directory.delete_tenant(world.tenant).await.expect("empty");
    let made = world.identity.bootstrap().await.expect("made").expect("a secret");
    let principal = world.identity.authenticate(made.secret.expose()).await.expect("the operator");
    assert_eq!((principal.tenant, principal.role), (made.tenant, Role::Operator));
    let tenant = world.ports.directory.tenant_by_name("default").await.expect("a look").expect("the tenant");
    assert_eq!(tenant.id, made.tenant);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_secret_opens_and_only_under_its_pepper() {
    let world = World::new().await;
    let admin = world.context_of(world.tenant, Role::Admin);
    let (key, secret) = world.identity.create_key(&admin, new_key(&world, Role::Editor)).await.expect("a key");
    let principal = world.identity.authenticate(secret.expose()).await.expect("known");
    assert_eq!((principal.key, principal.tenant, principal.role), (key.id, world.tenant, Role::Editor));
    assert!(secret.expose().starts_with(&key.prefix));

    let unknown = world.identity.generate_secret();
    let peppered = Identity::new(world.ports.clone(), PEPPER.to_vec());
    for error in [
        world.identity.authenticate(unknown.expose()).await.expect_err("unknown"),
        world.identity.authenticate("vk_not_a_key").await.expect_err("malformed"),
        world.identity.authenticate("").await.expect_err("nothing"),
        peppered.authenticate(secret.expose()).await.expect_err("another pepper"),
    ] {
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Unauthenticated, "INVALID_API_KEY"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_at_once_here_and_soon_elsewhere() {
    let world = World::new().await;
    let elsewhere = Identity::new(world.ports.clone(), b"a pepper of at least 32 bytes....".to_vec());
    let admin = world.context_of(world.tenant, Role::Admin);
    let own = TenantRef(String::new());
    let (key, secret) =
        world.administration.create_key(&admin, &own, new_key(&world, Role::User)).await.expect("a key");
    world.identity.authenticate(secret.expose()).await.expect("good");
    elsewhere.authenticate(secret.expose()).await.expect("good");

    world.administration.revoke_key(&admin, &own, key.id).await.expect("revoked");
    let revoked = std::time::Instant::now();
    let error = world.identity.authenticate(secret.expose()).await.expect_err("revoked");
    assert_eq!(error.reason(), "API_KEY_REVOKED");
    while elsewhere.authenticate(secret.expose()).await.is_ok() {
        assert!(revoked.elapsed() < Duration::from_secs(5), "in force within 5 seconds");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_is_refused_by_the_databases_time() {
    let world = World::new().await;
    let admin = world.context_of(world.tenant, Role::Admin);
    // The test's clock stands in 2023: what lies ahead of it lies behind the database's.
    let soon = Some(Timestamp(world.clock.now().0 + 1000));
    let key = NewKey { expire_time: soon, ..new_key(&world, Role::User) };
    let (_, secret) = world.identity.create_key(&admin, key).await.expect("a key");
    let error = world.identity.authenticate(secret.expose()).await.expect_err("expired");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unauthenticated, "API_KEY_EXPIRED"));

    let past = NewKey { expire_time: Some(world.clock.now()), ..new_key(&world, Role::User) };
    let error = world.identity.create_key(&admin, past).await.expect_err("already over");
    assert_eq!(error.violations()[0].field, "expire_time");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_use_of_a_key_is_noted() {
    let world = World::new().await;
    let admin = world.context_of(world.tenant, Role::Admin);
    let (key, secret) = world.identity.create_key(&admin, new_key(&world, Role::User)).await.expect("a key");
    assert_eq!(key.last_use_time, None);
    world.identity.authenticate(secret.expose()).await.expect("known");
    for _ in 0..100 {
        let key = world.ports.directory.key(world.tenant, key.id).await.expect("a look").expect("the key");
        if key.last_use_time.is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the use was never noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_which_key() {
    let world = World::new().await;
    let operator = world.context_of(world.tenant, Role::Operator);
    let other = world.administration.create_tenant(&operator, "other").await.expect("a tenant");
    for caller in Role::ALL {
        let context = world.context_of(world.tenant, caller);
        for role in Role::ALL {
            for tenant in [world.tenant, other.id] {
                let allowed = match caller {
                    Role::User | Role::Editor => false,
                    Role::Admin => tenant == world.tenant && role <= Role::Admin,
                    Role::Operator => true,
                };
                let made = world.identity.create_key(&context, NewKey { tenant, ..new_key(&world, role) }).await;
                match made {
                    Ok((key, _)) => assert!(allowed && key.role == role && key.tenant == tenant, "{caller:?} {role:?}"),
                    Err(error) => {
                        assert!(!allowed, "{caller:?} {role:?}");
                        assert_eq!((error.kind(), error.reason()), (ErrorKind::PermissionDenied, "ROLE_TOO_WEAK"));
                    }
                }
            }
        }
    }
    let long = NewKey { name: "x".repeat(129), ..new_key(&world, Role::User) };
    let error = world.identity.create_key(&operator, long).await.expect_err("a long name");
    assert_eq!(error.violations()[0].field, "name");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_from_the_given_randomness() {
    let world = World::new().await;
    let make = || {
        Identity::new(world.ports.clone(), PEPPER.to_vec())
            .with_rng(Box::new(StdRng::seed_from_u64(7)))
            .generate_secret()
    };
    assert_eq!(make(), make());
    let (one, two) = (world.identity.generate_secret(), world.identity.generate_secret());
    assert_ne!(one, two);
    assert!(KeySecret::parse(one.expose()).is_ok());
}
