//! The cache on a real server.

use std::time::Instant;

use fred::types::{ClusterHash, CustomCommand};
use nix::sys::signal::Signal;
use vectrion_core::ErrorKind;
use vectrion_testkit::{
    conformance::cache::{a_key, suite},
    fault_proxy::{Fault, FaultProxy},
    services::{Service, address},
    tls_service::TlsService,
};

use super::*;
use crate::test_process::{self, Child};

const LONG: Duration = Duration::from_secs(60);
/// Within which a cache heals when its server is back: the longest pause between two tries to connect, and the pause after
/// a failure.
const HEALED: Duration = Duration::from_secs(10);

/// The shared server; other tests use it at the same time.
fn shared() -> Option<String> {
    address("VECTRION_TEST_REDIS_URL")
}

/// Two providers are linked, so that rustls cannot choose one by itself.
fn install_provider() {
    // Another test of this process may have been faster.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// A server of this test alone.
fn private() -> Option<Service> {
    shared().map(|_| Service::start("redis"))
}

async fn connect(url: &str) -> RedisCache {
    // Machines that run tests are slow at times: what is measured below allows for it.
    RedisCache::connect(url, &CacheSettings { timeout_ms: 500, ..CacheSettings::default() }).await.unwrap()
}

/// Waits until a value can be kept again.
async fn healed(cache: &RedisCache) {
    let (key, began) = (a_key(), Instant::now());
    while began.elapsed() < HEALED {
        cache.set(&key, Bytes::from_static(b"x"), LONG).await;
        if cache.get(&key).await.is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the cache did not heal within {HEALED:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(url) = shared() else { return };
    suite(async || connect(&url).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_what_has_one_prefix() {
    let Some(url) = shared() else { return };
    let (one, same) = (connect(&url).await, connect(&url).await);
    let other = connect(&format!("{url}?prefix=another")).await;
    let tenant = TenantId::new();
    let key = CacheKey::query_embedding(tenant, "m", &[1; 32]);
    one.set(&key, Bytes::from_static(b"one"), LONG).await;
    other.set(&key, Bytes::from_static(b"other"), LONG).await;
    assert_eq!(same.get(&key).await.unwrap().value, "one");
    assert_eq!(other.get(&key).await.unwrap().value, "other");
    same.delete_tenant(tenant).await;
    assert_eq!(one.get(&key).await, None);
    assert_eq!(other.get(&key).await.unwrap().value, "other", "of another installation");
    other.delete_tenant(tenant).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_said_at_the_start() {
    let Some(service) = private() else { return };
    install_provider();
    let url = service.url();
    let (_, place) = url.split_once('@').unwrap();
    let client = connect(url).await;
    let acl = CustomCommand::new_static("ACL", ClusterHash::FirstKey, false);
    let _: String =
        client.client.custom(acl, "SETUSER reader on >pw ~* +get +ping".split(' ').collect()).await.unwrap();

    let silent = FaultProxy::start("127.0.0.1:9").await;
    silent.order(&Fault::Silence, 100);
    let closed = "redis://127.0.0.1:9/0".to_owned();
    let cases = [
        (format!("redis://{place}"), ErrorKind::FailedPrecondition, "CACHE_REFUSED", "no password"),
        (format!("redis://:wrong@{place}"), ErrorKind::FailedPrecondition, "CACHE_REFUSED", "a wrong password"),
        (format!("redis://nobody:wrong@{place}"), ErrorKind::FailedPrecondition, "CACHE_REFUSED", "no such user"),
        (format!("redis://reader:pw@{place}"), ErrorKind::FailedPrecondition, "CACHE_REFUSED", "may not write"),
        (closed, ErrorKind::Unavailable, "CACHE_UNAVAILABLE", "nobody listens"),
        (format!("redis://{}/0", silent.address()), ErrorKind::Unavailable, "CACHE_UNAVAILABLE", "nobody answers"),
        (url.replace("/0", "/99"), ErrorKind::Unavailable, "CACHE_UNAVAILABLE", "no such database"),
        (url.replace("redis://", "rediss://"), ErrorKind::Unavailable, "CACHE_UNAVAILABLE", "no TLS there"),
    ];
    for (url, kind, reason, what) in cases {
        let began = Instant::now();
        let error = RedisCache::connect(&url, &CacheSettings::default()).await.expect_err(what);
        assert_eq!((error.kind(), error.reason()), (kind, reason), "{what}: {error:?}");
        assert!(error.message().contains("cache.url"), "{what}: {error}");
        assert!(!format!("{error:?}").contains("wrong"), "{what}: {error:?}");
        assert!(began.elapsed() < Duration::from_secs(8), "{what}: {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_flushed_has_forgotten_and_goes_on() {
    let Some(service) = private() else { return };
    let (cache, key) = (connect(service.url()).await, a_key());
    cache.set(&key, Bytes::from_static(b"x"), LONG).await;
    let _: () = cache.client.flushall(false).await.unwrap();
    assert_eq!(cache.get(&key).await, None);
    cache.set(&key, Bytes::from_static(b"y"), LONG).await;
    assert_eq!(cache.get(&key).await.unwrap().value, "y");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_a_miss_at_once_and_is_used_again_when_it_is_back() {
    let Some(service) = private() else { return };
    let (cache, key) = (connect(service.url()).await, a_key());
    cache.set(&key, Bytes::from_static(b"x"), LONG).await;
    assert!(cache.get(&key).await.is_some());
    service.kill();
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(cache.get(&key).await, None);
        cache.set(&key, Bytes::from_static(b"x"), LONG).await;
    }
    cache.delete(&key).await;
    cache.delete_tenant(TenantId::new()).await;
    assert!(began.elapsed() < Duration::from_secs(3), "nobody waits for it: {:?}", began.elapsed());
    let error = cache.check().await.expect_err("it is dead");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "CACHE_UNAVAILABLE"));

    service.start_again();
    healed(&cache).await;
    assert_eq!(cache.get(&key).await, None, "a server that was killed has lost all");
    cache.check().await.expect("it is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_costs_one_timeout_a_second_and_heals() {
    let Some(service) = private() else { return };
    let settings = CacheSettings::default();
    let cache = RedisCache::connect(service.url(), &settings).await.unwrap();
    let patience = Duration::from_millis(settings.timeout_ms);
    service.signal(Signal::SIGSTOP);
    let began = Instant::now();
    assert_eq!(cache.get(&a_key()).await, None);
    assert!(began.elapsed() >= patience, "it was waited for, once");
    for _ in 0..500 {
        assert_eq!(cache.get(&a_key()).await, None);
    }
    let waited = began.elapsed();
    assert!(waited < 20 * patience, "five hundred callers did not wait one after the other: {waited:?}");
    // Long enough for the connection to count as dead.
    tokio::time::sleep(UNRESPONSIVE + Duration::from_secs(1)).await;
    service.signal(Signal::SIGCONT);
    healed(&cache).await;
}

/// Names the address for the child.
const CHILD_URL: &str = "VECTRION_TEST_CHILD_URL";

/// The child: trusts the certificate that `SSL_CERT_FILE` names.
#[test]
fn a_child_that_trusts_the_certificate() {
    let Some(_) = test_process::directory() else { return };
    install_provider();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (cache, key) = (connect(&std::env::var(CHILD_URL).unwrap()).await, a_key());
        cache.set(&key, Bytes::from_static(b"x"), LONG).await;
        assert!(cache.get(&key).await.is_some());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked() {
    if shared().is_none() {
        return;
    }
    install_provider();
    let service = TlsService::start("redis");
    let error = RedisCache::connect(&service.url, &CacheSettings::default()).await.expect_err("nobody trusts it");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "CACHE_UNAVAILABLE"), "{error:?}");
    assert!(error.message().contains("cache.url"), "{error}");
    let name = "cache::redis::tests::a_child_that_trusts_the_certificate";
    let authority = service.authority().display().to_string();
    let environment = [("SSL_CERT_FILE", authority), (CHILD_URL, service.url.clone())];
    Child::start(name, service.authority().parent().unwrap(), &environment).succeeds();
}
