//! Conformance of [`Cache`].

use std::time::Duration;

use bytes::Bytes;
use vectrion_core::{
    ids::TenantId,
    ports::cache::{Cache, CacheKey},
};

const LONG: Duration = Duration::from_secs(60);

/// Checks an adapter that works. `make` gives a cache; other tests may use what is behind it at the same time.
///
/// # Panics
/// When the adapter breaks the contract.
pub async fn suite<C: Cache>(make: impl AsyncFn() -> C) {
    what_is_set_is_got(&make().await).await;
    a_value_ends_with_its_time(&make().await).await;
    a_value_of_no_time_is_not_kept(&make().await).await;
    what_is_deleted_is_gone(&make().await).await;
    a_tenant_is_forgotten_whole_and_alone(&make().await).await;
    calls_at_once_do_not_disturb_each_other(&make().await).await;
    make().await.check().await.expect("it works");
}

/// A key that nobody else uses.
#[must_use]
pub fn a_key() -> CacheKey {
    CacheKey::query_embedding(TenantId::new(), "model", &[1; 32])
}

async fn value(cache: &impl Cache, key: &CacheKey) -> Option<Bytes> {
    cache.get(key).await.map(|cached| cached.value)
}

async fn what_is_set_is_got(cache: &impl Cache) {
    let key = a_key();
    assert_eq!(value(cache, &key).await, None, "never set");
    let every_byte: Vec<u8> = (0..=255).collect();
    for bytes in [Vec::new(), b"text".to_vec(), every_byte, vec![7; 100_000]] {
        cache.set(&key, Bytes::from(bytes.clone()), LONG).await;
        let found = cache.get(&key).await.expect("just set");
        assert!(found.value == bytes, "{} bytes", bytes.len());
        assert!(found.expires_in <= LONG && found.expires_in > LONG / 2, "{:?}", found.expires_in);
    }
    // Names of models may hold what means something in patterns.
    let (tenant, hash) = (TenantId::new(), [9; 32]);
    for model in ["m", "m*", "[m]", "a b\r\n\"c\"", "模型"] {
        let key = CacheKey::query_embedding(tenant, model, &hash);
        assert_eq!(value(cache, &key).await, None, "{model:?} is none of the others");
        cache.set(&key, Bytes::copy_from_slice(model.as_bytes()), LONG).await;
        assert_eq!(value(cache, &key).await.as_deref(), Some(model.as_bytes()));
    }
}

async fn a_value_ends_with_its_time(cache: &impl Cache) {
    let (short, long) = (a_key(), a_key());
    cache.set(&short, Bytes::from_static(b"x"), Duration::from_millis(300)).await;
    cache.set(&long, Bytes::from_static(b"x"), LONG).await;
    let found = cache.get(&short).await.expect("just set");
    assert!(found.expires_in <= Duration::from_millis(300), "{:?}", found.expires_in);
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(value(cache, &short).await, None, "its time is over");
    assert!(value(cache, &long).await.is_some());
    // A new value has a new time.
    cache.set(&long, Bytes::from_static(b"y"), Duration::from_millis(50)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(value(cache, &long).await, None, "the time is that of the value that was set last");
}

async fn a_value_of_no_time_is_not_kept(cache: &impl Cache) {
    let key = a_key();
    cache.set(&key, Bytes::from_static(b"before"), LONG).await;
    cache.set(&key, Bytes::from_static(b"x"), Duration::ZERO).await;
    assert_eq!(value(cache, &key).await, None);
}

async fn what_is_deleted_is_gone(cache: &impl Cache) {
    let (key, other) = (a_key(), a_key());
    for key in [&key, &other] {
        cache.set(key, Bytes::from_static(b"x"), LONG).await;
    }
    for _ in 0..2 {
        cache.delete(&key).await;
        assert_eq!(value(cache, &key).await, None);
    }
    assert!(value(cache, &other).await.is_some());
}

async fn a_tenant_is_forgotten_whole_and_alone(cache: &impl Cache) {
    let (tenant, other, hash) = (TenantId::new(), TenantId::new(), [5; 32]);
    let keys = |tenant| {
        let ids = (0..1500u32).map(move |n| {
            let mut hash = hash;
            hash[..4].copy_from_slice(&n.to_be_bytes());
            CacheKey::query_embedding(tenant, "m*[x]", &hash)
        });
        ids.collect::<Vec<_>>()
    };
    let (own, others) = (keys(tenant), keys(other));
    let of_all = CacheKey::api_key(&format!("vk_{tenant}"));
    for key in own.iter().chain(&others).chain([&of_all]) {
        cache.set(key, Bytes::from_static(b"x"), LONG).await;
    }
    for _ in 0..2 {
        cache.delete_tenant(tenant).await;
        for key in &own {
            assert_eq!(value(cache, key).await, None, "{key:?}");
        }
    }
    for key in others.iter().chain([&of_all]) {
        assert!(value(cache, key).await.is_some(), "{key:?} is another's");
    }
    cache.delete_tenant(other).await;
    cache.delete(&of_all).await;
}

async fn calls_at_once_do_not_disturb_each_other(cache: &impl Cache) {
    let calls = (0..50u8).map(|n| async move {
        let key = a_key();
        for round in 0..10u8 {
            cache.set(&key, Bytes::copy_from_slice(&[n, round]), LONG).await;
            assert_eq!(value(cache, &key).await.as_deref(), Some(&[n, round][..]));
        }
        cache.delete(&key).await;
    });
    futures::future::join_all(calls).await;
}
