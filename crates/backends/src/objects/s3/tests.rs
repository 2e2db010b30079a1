//! The store on a real S3 server, and on one that breaks.

use bytes::Bytes;
use object_store::signer::{SignedUrlOptions, Signer as _};
use secrecy::SecretString;
use vectrion_core::{
    ErrorKind,
    ids::{TenantId, VersionId},
};
use vectrion_testkit::{
    conformance::objects::{content, suite},
    fault_proxy::{Cut, Fault, FaultProxy},
    services::address,
    tls_service::TlsService,
};

use super::*;
use crate::test_process::{self, Child};

/// Larger than an object that is written in one request, by some parts.
const LARGE: usize = 20 << 20;
const SLOW_DOWN: &str = "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 57\r\nConnection: \
                         close\r\n\r\n<Error><Code>SlowDown</Code><Message>no</Message></Error>";

const NO_SUCH_UPLOAD: &str = "HTTP/1.1 404 Not Found\r\nContent-Type: application/xml\r\nContent-Length: 42\r\n\
                              Connection: close\r\n\r\n<Error><Code>NoSuchUpload</Code></Error>\r\n";

/// The shared server and its bucket; every store of a test has a prefix of its own.
struct Server {
    host: String,
    bucket: String,
    settings: S3Settings,
}

fn server() -> Option<Server> {
    address("VECTRION_TEST_S3_URL").map(|url| Server::at(&url))
}

impl Server {
    /// That of `http://KEY:SECRET@HOST/BUCKET`.
    fn at(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (user, place) = rest.split_once('@').expect("a key and its secret");
        let (key, secret) = user.split_once(':').expect("a secret");
        let (host, bucket) = place.split_once('/').expect("a bucket");
        let settings = S3Settings {
            endpoint: format!("{scheme}://{host}"),
            access_key_id: key.to_owned(),
            secret_access_key: SecretString::from(secret),
            allow_http: scheme == "http",
            ..S3Settings::default()
        };
        Self { host: host.to_owned(), bucket: bucket.to_owned(), settings }
    }

    /// A store with nothing in it.
    async fn store(&self) -> S3Objects {
        self.store_through(&self.settings.endpoint).await
    }

    async fn store_through(&self, endpoint: &str) -> S3Objects {
        let settings = S3Settings { endpoint: endpoint.to_owned(), ..self.settings.clone() };
        S3Objects::open(&format!("//{}/test-{}", self.bucket, TenantId::new()), &settings).await.unwrap()
    }

    /// A store behind a proxy that breaks connections.
    async fn breakable(&self) -> (S3Objects, FaultProxy) {
        let proxy = FaultProxy::start(&self.host).await;
        (self.store_through(&format!("http://{}", proxy.address())).await, proxy)
    }
}

fn a_key() -> ObjectKey {
    ObjectKey::original(TenantId::new(), VersionId::new())
}

/// `len` bytes that differ by place.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 31) ^ (i >> 8)) as u8).collect()
}

fn chunks(bytes: &[u8]) -> ByteStream {
    content(bytes.chunks(300_007).map(<[u8]>::to_vec))
}

async fn read(store: &S3Objects, key: &ObjectKey, offset: u64) -> Result<Vec<u8>> {
    Ok(store.get(key, offset).await?.try_collect::<Vec<Bytes>>().await?.concat())
}

/// Multipart uploads below the store's prefix that were neither completed nor aborted.
async fn unfinished(store: &S3Objects) -> usize {
    let options = SignedUrlOptions::default().with_query([("uploads", ""), ("prefix", store.prefix.as_ref())]);
    let bucket = Location::default();
    let url = store.prober.signed_url_opts(http::Method::GET, &bucket, Duration::from_secs(60), &options);
    let answer = reqwest::get(url.await.unwrap()).await.unwrap().error_for_status().unwrap().text().await.unwrap();
    answer.matches("<UploadId>").count()
}

async fn comes_to_no_unfinished(store: &S3Objects) {
    for _ in 0..100 {
        if unfinished(store).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} multipart uploads were not aborted", unfinished(store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(server) = server() else { return };
    suite(async || server.store().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn installations_share_a_bucket_by_their_prefixes() {
    let Some(server) = server() else { return };
    let (one, other, key) = (server.store().await, server.store().await, a_key());
    one.put(&key, content(["one"])).await.unwrap();
    assert_eq!(other.head(&key).await.expect_err("another's").reason(), "OBJECT_NOT_FOUND");
    let tenants = ObjectKey::from_listing("tenants/".to_owned());
    assert_eq!(other.delete_prefix(&tenants).await.unwrap(), 0);
    assert_eq!(read(&one, &key, 0).await.unwrap(), b"one");
    let listed = one.list(&tenants).await.unwrap();
    assert_eq!(listed, [ObjectInfo { key, size: 3 }], "keys are without the prefix; the probe is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_that_was_given_up_leaves_nothing_behind() {
    let Some(server) = server() else { return };
    let (store, key) = (server.store().await, a_key());
    let large = bytes(LARGE);

    let broken = chunks(&large).chain(stream::iter([Err(Error::internal("BROKEN", "broken"))])).boxed();
    assert_eq!(store.put(&key, broken).await.expect_err("broken").reason(), "BROKEN");
    comes_to_no_unfinished(&store).await;

    // Dropped between two parts, and dropped at any moment.
    for wait_ms in [2000, 1, 5, 20, 80] {
        let endless = chunks(&large).chain(stream::pending()).boxed();
        let put = store.put(&key, endless);
        tokio::time::timeout(Duration::from_millis(wait_ms), put).await.expect_err("endless");
    }
    comes_to_no_unfinished(&store).await;
    assert_eq!(store.head(&key).await.expect_err("never made").reason(), "OBJECT_NOT_FOUND");

    assert_eq!(store.put(&key, chunks(&large)).await.unwrap(), LARGE as u64);
    assert!(read(&store, &key, 0).await.unwrap() == large);
    assert_eq!(unfinished(&store).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_said_at_the_start_and_names_its_setting() {
    let Some(server) = server() else { return };
    let good = &server.settings;
    let url = format!("//{}", server.bucket);
    let silent = FaultProxy::start(&server.host).await;
    silent.order(&Fault::Silence, 100);
    let refused = (ErrorKind::FailedPrecondition, "OBJECT_STORE_REFUSED");
    let unreachable = (ErrorKind::Unavailable, "OBJECT_STORE_UNAVAILABLE");
    let with = |change: &dyn Fn(&mut S3Settings)| {
        let mut settings = good.clone();
        change(&mut settings);
        settings
    };
    let cases = [
        (
            "//no-such-bucket".to_owned(),
            good.clone(),
            (ErrorKind::FailedPrecondition, "BUCKET_NOT_FOUND"),
            "objects.url",
        ),
        (url.clone(), with(&|s| s.access_key_id = "nobody".into()), refused, "objects.access_key_id"),
        (url.clone(), with(&|s| s.secret_access_key = "wrong".into()), refused, "objects.secret_access_key"),
        (url.clone(), with(&|s| s.region = "eu-north-1".into()), refused, "objects.region"),
        (url.clone(), with(&|s| s.endpoint = "http://127.0.0.1:9".into()), unreachable, "objects.endpoint"),
        (url.clone(), with(&|s| s.endpoint = "http://no-such-host.invalid".into()), unreachable, "objects.endpoint"),
        (url.clone(), with(&|s| s.endpoint = format!("http://{}", silent.address())), unreachable, "objects.endpoint"),
        (url.clone(), with(&|s| s.endpoint = format!("https://{}", server.host)), unreachable, "objects.endpoint"),
    ];
    for (url, settings, (kind, reason), setting) in cases {
        let began = Instant::now();
        let error = S3Objects::open(&url, &settings).await.expect_err(setting);
        assert_eq!((error.kind(), error.reason()), (kind, reason), "{setting}: {error:?}");
        assert!(error.message().starts_with(setting), "{setting}: {error}");
        assert!(began.elapsed() < Duration::from_secs(12), "{setting}: {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_asks_for_less_gets_the_same_again() {
    let Some(server) = server() else { return };
    let (store, proxy) = server.breakable().await;
    let (key, all) = (a_key(), bytes(LARGE));
    for fault in [Fault::Answer(SLOW_DOWN.to_owned()), Fault::Refuse] {
        proxy.order(&fault, 2);
        store.put(&key, content(["small"])).await.unwrap();
        proxy.order(&fault, 2);
        store.put(&key, chunks(&all)).await.unwrap();
        proxy.order(&fault, 2);
        assert!(read(&store, &key, 0).await.unwrap() == all);
        proxy.order(&fault, 1);
        assert_eq!(store.list(&ObjectKey::from_listing("tenants/".to_owned())).await.unwrap().len(), 1);
        proxy.order(&fault, 1);
        store.delete(&key).await.unwrap();
        assert_eq!(proxy.ordered(), 0, "{fault:?} happened as often as it was ordered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_lost_is_unavailable_soon_and_is_used_again() {
    let Some(server) = server() else { return };
    let (store, proxy) = server.breakable().await;
    let key = a_key();
    for fault in [Fault::Answer(SLOW_DOWN.to_owned()), Fault::Refuse, Fault::Silence] {
        tokio::time::sleep(CHECKED_FOR).await;
        proxy.order(&fault, 1000);
        let began = Instant::now();
        let error = store.check().await.expect_err("lost");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "OBJECT_STORE_UNAVAILABLE"), "{fault:?}");
        assert!(began.elapsed() < Duration::from_secs(8), "{fault:?}: {:?}", began.elapsed());
        if fault != Fault::Silence {
            let error = store.put(&key, content(["x"])).await.expect_err("lost");
            assert_eq!(error.reason(), "OBJECT_STORE_UNAVAILABLE", "{fault:?}: {error:?}");
            assert!(error.is_transient());
            assert!(began.elapsed() < Duration::from_secs(40), "{fault:?}: {:?}", began.elapsed());
        }
        proxy.heal();
        store.check().await.expect("it is back");
        store.put(&key, content(["x"])).await.expect("it is back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_is_read_on_and_never_passes_for_a_whole_one() {
    let Some(server) = server() else { return };
    let (store, proxy) = server.breakable().await;
    let (key, all) = (a_key(), bytes(LARGE));
    store.put(&key, chunks(&all)).await.unwrap();
    proxy.order(&Fault::CutResponse(3 << 20), 3);
    assert!(read(&store, &key, 0).await.unwrap() == all, "read on from where it was cut");
    assert_eq!(proxy.ordered(), 0);
    assert!(read(&store, &key, 5 << 20).await.unwrap() == all[5 << 20..]);

    // Cut each time so soon that it takes more tries than there are.
    proxy.order(&Fault::CutResponse(64 << 10), 1000);
    let error = read(&store, &key, 0).await.expect_err("cut for good");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "OBJECT_STORE_UNAVAILABLE"), "{error:?}");
    proxy.heal();
    assert!(read(&store, &key, 0).await.unwrap() == all);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_were_changed_on_the_way_are_not_stored() {
    let Some(server) = server() else { return };
    let (store, proxy) = server.breakable().await;
    let key = a_key();
    let small = bytes(700_000);
    proxy.order(&Fault::FlipRequest(300_000), 1);
    let error = store.put(&key, chunks(&small)).await.expect_err("changed on the way");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "OBJECT_STORE_UNAVAILABLE"), "{error:?}");
    assert!(error.is_transient(), "the next try may succeed");
    assert_eq!(store.head(&key).await.expect_err("refused").reason(), "OBJECT_NOT_FOUND");

    // In the second part of a large one: its first request begins the upload, its second is the first part.
    let large = bytes(LARGE);
    let proxy = Arc::new(proxy);
    let breaking = Arc::clone(&proxy);
    let content = chunks(&large).enumerate().map(move |(at, chunk)| {
        if at == 40 {
            breaking.order(&Fault::FlipRequest(300_000), 1);
        }
        chunk
    });
    store.put(&key, content.boxed()).await.expect_err("changed on the way");
    assert_eq!(proxy.ordered(), 0, "it happened");
    assert_eq!(store.head(&key).await.expect_err("refused").reason(), "OBJECT_NOT_FOUND");
    comes_to_no_unfinished(&store).await;

    store.put(&key, chunks(&large)).await.unwrap();
    assert!(read(&store, &key, 0).await.unwrap() == large);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_service_does_not_know_may_have_been_completed() {
    let Some(server) = server() else { return };
    let (store, proxy) = server.breakable().await;
    let (proxy, lost, unknown) = (Arc::new(proxy), Fault::CutResponse(0), Fault::Answer(NO_SUCH_UPLOAD.to_owned()));
    // Of whole parts: the end of the content is seen when the last one has been sent, and before the completion.
    let large = bytes(16 << 20);
    let put = async |key: &ObjectKey, faults: &[&Fault]| {
        let (breaking, faults) = (Arc::clone(&proxy), faults.iter().map(|&fault| fault.clone()).collect::<Vec<_>>());
        let end = stream::once(async move {
            breaking.cut(Cut::End);
            tokio::time::sleep(Duration::from_millis(100)).await;
            faults.iter().for_each(|fault| breaking.order(fault, 1));
            Ok(Bytes::new())
        });
        let put = store.put(key, chunks(&large).chain(end).boxed()).await;
        assert_eq!(proxy.ordered(), 0, "it happened");
        put
    };
    let key = a_key();
    assert_eq!(put(&key, &[&lost, &unknown]).await.unwrap(), large.len() as u64, "the first answer was lost");
    assert!(read(&store, &key, 0).await.unwrap() == large);

    let key = a_key();
    let error = put(&key, &[&unknown]).await.expect_err("the upload was lost");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "OBJECT_STORE_UNAVAILABLE"), "{error:?}");
    assert!(error.is_transient(), "the next try may succeed");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_objects_are_removed_than_one_request_lists() {
    let Some(server) = server() else { return };
    let (store, tenant) = (server.store().await, TenantId::new());
    let put = |_| async {
        store.put(&ObjectKey::original(tenant, VersionId::new()), content(["x"])).await.unwrap();
    };
    stream::iter(0..DELETE_PAGE + 5).for_each_concurrent(16, put).await;
    let all = ObjectKey::from_listing(format!("tenants/{tenant}/"));
    assert_eq!(store.delete_prefix(&all).await.unwrap(), DELETE_PAGE as u64 + 5);
    assert_eq!(store.list(&all).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_that_come_slowly_keep_no_other_waiting() {
    let Some(server) = server() else { return };
    let store = Arc::new(server.store().await);
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..SENDING {
        let store = Arc::clone(&store);
        slow.spawn(async move { store.put(&a_key(), chunks(&bytes(2 << 20)).chain(stream::pending()).boxed()).await });
    }
    // Time for all of them to have come so far.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let put = tokio::time::timeout(Duration::from_secs(30), store.put(&a_key(), chunks(&bytes(LARGE)))).await;
    assert_eq!(put.expect("in time").unwrap(), LARGE as u64);
    assert!(slow.try_join_next().is_none(), "they wait");
}

/// Names the address for the child.
const CHILD_URL: &str = "VECTRION_TEST_CHILD_URL";

/// The child: trusts the certificate that `SSL_CERT_FILE` names.
#[test]
fn a_child_that_trusts_the_certificate() {
    let Some(_) = test_process::directory() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (store, key) = (Server::at(&std::env::var(CHILD_URL).unwrap()).store().await, a_key());
        store.put(&key, chunks(&bytes(LARGE))).await.unwrap();
        assert!(read(&store, &key, 0).await.unwrap() == bytes(LARGE));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked() {
    if server().is_none() {
        return;
    }
    let service = TlsService::start("s3");
    let server = Server::at(&service.url);
    assert!(!server.settings.allow_http, "TLS");
    let url = format!("//{}", server.bucket);
    let error = S3Objects::open(&url, &server.settings).await.expect_err("nobody trusts it");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "OBJECT_STORE_UNAVAILABLE"), "{error:?}");
    assert!(error.message().starts_with("objects.endpoint"), "{error}");
    let name = "objects::s3::tests::a_child_that_trusts_the_certificate";
    let authority = service.authority().display().to_string();
    let environment = [("SSL_CERT_FILE", authority), (CHILD_URL, service.url.clone())];
    Child::start(name, service.authority().parent().unwrap(), &environment).succeeds();
}
