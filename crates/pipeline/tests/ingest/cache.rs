//! What is remembered, and what is left when it is forgotten.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use vectrion_backends::cache::{CacheBackend, CacheSettings};
use vectrion_core::{
    ids::TenantId,
    ports::cache::CacheKey,
    search::{SearchFilter, SearchMode, SearchQuery},
    tenancy::{ApiKey, Role},
};
use vectrion_pipeline::{
    administration::TenantRef,
    identity::{Identity, KeySecret, NewKey},
    query::Queries,
};
use vectrion_testkit::services::{Service, address};

use super::world::{World, answer_settings};

/// The pepper of [`World`].
const PEPPER: &[u8] = b"a pepper of at least 32 bytes....";
const LONG: Duration = Duration::from_secs(60);

/// An installation over this Redis server.
async fn over(redis: &str) -> World {
    // No more patience than in production, but for machines that are slow because they run tests.
    let settings = CacheSettings { timeout_ms: 500, ..CacheSettings::default() };
    let cache = CacheBackend::open(redis, &settings).await.expect("the cache");
    World::with_cache(cache).await
}

fn question(text: &str) -> SearchQuery {
    SearchQuery {
        text: text.to_owned(),
        mode: SearchMode::Dense,
        top_k: 3,
        min_score: None,
        filter: SearchFilter::default(),
    }
}

async fn a_key(world: &World) -> (ApiKey, KeySecret) {
    let admin = world.context_of(world.tenant, Role::Admin);
    let key = NewKey { tenant: world.tenant, role: Role::User, name: "a key".to_owned(), expire_time: None };
    world.administration.create_key(&admin, &TenantRef(String::new()), key).await.expect("a key")
}

/// Another server of the same installation.
fn elsewhere(world: &World) -> Identity {
    Identity::new(Arc::clone(&world.ports), PEPPER.to_vec())
}

/// Revokes the key, and gives the time until `identity` refuses it.
async fn time_to_refusal(world: &World, key: &ApiKey, secret: &KeySecret, identity: &Identity) -> Duration {
    let admin = world.context_of(world.tenant, Role::Admin);
    world.administration.revoke_key(&admin, &TenantRef(String::new()), key.id).await.expect("revoked");
    let revoked = Instant::now();
    while identity.authenticate(secret.expose()).await.is_ok() {
        assert!(revoked.elapsed() < Duration::from_secs(5), "in force within 5 seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    revoked.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_embedded_once_for_each_tenant_and_found_the_same() {
    let world = World::new().await;
    world.ingest("a.txt", "A lease belongs to one worker.\n\nChalk cliffs are white.").await;
    let queries = Queries::new(Arc::clone(&world.ports), answer_settings());
    let ask = async |world: &World, tenant: TenantId, text: &str| {
        let context = world.context_of(tenant, Role::User);
        queries.retrieve(&context, &[], question(text)).await.expect("passages").passages
    };
    let first = ask(&world, world.tenant, "who has a lease").await;
    assert!(!first.is_empty() && world.embedder.questions() == 1);
    assert_eq!(ask(&world, world.tenant, "who  has a lease").await, first);
    assert_eq!(world.embedder.questions(), 1, "it was remembered");
    ask(&world, world.tenant, "who has no lease").await;
    assert_eq!(world.embedder.questions(), 2, "another question");
    ask(&world, TenantId::new(), "who has a lease").await;
    assert_eq!(world.embedder.questions(), 3, "another tenant");

    // Damage is a miss.
    let hash: [u8; 32] = super::world::sha256(b"who has a lease");
    let key = CacheKey::query_embedding(world.tenant, "words", &hash);
    assert!(world.ports.cache.get(&key).await.is_some(), "this is the key");
    world.ports.cache.set(&key, Bytes::from_static(b"damaged"), LONG).await;
    assert_eq!(ask(&world, world.tenant, "who has a lease").await, first);
    assert_eq!(world.embedder.questions(), 4);

    world.ports.cache.delete_tenant(world.tenant).await;
    assert_eq!(ask(&world, world.tenant, "who has a lease").await, first);
    assert_eq!(world.embedder.questions(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_forgotten_by_all_servers_that_share_a_cache() {
    let Some(redis) = address("VECTRION_TEST_REDIS_URL") else { return };
    let world = over(&redis).await;
    let other = elsewhere(&world);
    let (key, secret) = a_key(&world).await;
    let here = world.identity.authenticate(secret.expose()).await.expect("good");
    let cached = world.ports.cache.get(&CacheKey::api_key(secret.prefix())).await.expect("told to the others");
    assert!(cached.expires_in < Duration::from_secs(5));
    assert!(!String::from_utf8_lossy(&cached.value).contains(secret.expose()));
    assert_eq!(other.authenticate(secret.expose()).await.expect("good"), here);
    let took = time_to_refusal(&world, &key, &secret, &other).await;
    assert!(took < Duration::from_secs(3), "it did not wait for the entry to end: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_flushed_or_killed_costs_nobody_a_call() {
    let Some(_) = address("VECTRION_TEST_REDIS_URL") else { return };
    let service = Service::start("redis");
    let world = over(service.url()).await;
    world.ingest("a.txt", "A lease belongs to one worker.").await;
    let queries = Queries::new(Arc::clone(&world.ports), answer_settings());
    let context = world.context_of(world.tenant, Role::User);
    let ask = async || queries.retrieve(&context, &[], question("who has a lease")).await.expect("passages").passages;
    let before = ask().await;
    let (key, secret) = a_key(&world).await;
    let other = elsewhere(&world);
    other.authenticate(secret.expose()).await.expect("good");

    // What is flushed is found out again.
    assert_eq!(ask().await, before);
    let asked = world.embedder.questions();
    world.ports.cache.delete_tenant(world.tenant).await;
    world.ports.cache.delete(&CacheKey::api_key(secret.prefix())).await;
    assert_eq!(ask().await, before);
    assert_eq!(world.embedder.questions(), asked + 1);
    other.authenticate(secret.expose()).await.expect("good");

    service.kill();
    let began = Instant::now();
    for _ in 0..50 {
        assert_eq!(ask().await, before);
        other.authenticate(secret.expose()).await.expect("good");
        world.identity.authenticate(secret.expose()).await.expect("good");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "nobody waits for it: {:?}", began.elapsed());
    // A revocation that cannot be told is in force when the time is over that was promised.
    time_to_refusal(&world, &key, &secret, &other).await;

    service.start_again();
    let error = other.authenticate(secret.expose()).await.expect_err("revoked");
    assert_eq!(error.reason(), "API_KEY_REVOKED", "nothing comes back with the server");
    assert_eq!(ask().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_write_to_the_cache_makes_no_principal() {
    let Some(redis) = address("VECTRION_TEST_REDIS_URL") else { return };
    let world = over(&redis).await;
    let cache = &world.ports.cache;
    let (_, secret) = a_key(&world).await;
    let (_, stronger) = a_key(&world).await;
    elsewhere(&world).authenticate(secret.expose()).await.expect("good");
    let place = CacheKey::api_key(secret.prefix());
    let good = cache.get(&place).await.expect("told to the others").value;

    // Each is refused, so the database is asked, and the key is good.
    let mut changed = good.to_vec();
    *changed.last_mut().expect("bytes") ^= 1;
    let raised = String::from_utf8_lossy(&good[32..]).replace("\"user\"", "\"operator\"");
    let raised = [&good[..32], raised.as_bytes()].concat();
    for forged in [changed, raised, good[..31].to_vec(), good[32..].to_vec(), Vec::new()] {
        cache.set(&place, Bytes::from(forged), LONG).await;
        let principal = elsewhere(&world).authenticate(secret.expose()).await.expect("good");
        assert_eq!(principal.role, Role::User);
    }
    // The entry of one key does not open with another.
    cache.set(&CacheKey::api_key(stronger.prefix()), good.clone(), LONG).await;
    let principal = elsewhere(&world).authenticate(stronger.expose()).await.expect("good");
    assert_ne!(principal.key, elsewhere(&world).authenticate(secret.expose()).await.expect("good").key);

    // An entry that was kept for longer than it says, or written late, has ended.
    cache.set(&place, good, LONG).await;
    let other_pepper = Identity::new(Arc::clone(&world.ports), b"another pepper of 32 bytes or more".to_vec());
    other_pepper.authenticate(secret.expose()).await.expect_err("another pepper");
    world.clock.advance(Duration::from_secs(5));
    let admin = world.context_of(world.tenant, Role::Admin);
    let keys = world.ports.directory.list_keys(world.tenant, &vectrion_core::page::PageRequest::first()).await;
    let key = keys.expect("keys").items.into_iter().find(|key| key.prefix == secret.prefix()).expect("the key");
    // Behind the back of the cache, as when a revocation could not be told.
    world.ports.directory.revoke_key(admin.principal.tenant, key.id).await.expect("revoked");
    let error = elsewhere(&world).authenticate(secret.expose()).await.expect_err("the entry is too old");
    assert_eq!(error.reason(), "API_KEY_REVOKED");
}
