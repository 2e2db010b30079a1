//! Servers that are not there, not ours, or die.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{server::Process, *};

/// Far more than a call may take that finds nobody.
const PATIENCE: Duration = Duration::from_secs(30);

fn open(url: &str, api_key: &str, settings: &QdrantSettings) -> QdrantIndex {
    QdrantIndex::open(url, &api_key.into(), settings).unwrap()
}

/// The errors of every sort of call.
async fn errors(index: &QdrantIndex) -> Vec<Error> {
    let scope = scope();
    let calls = async {
        vec![
            index.check().await.expect_err("check"),
            index.upsert(&scope, vec![point(1, &[1.0], "word")]).await.expect_err("upsert"),
            index.delete_version(&scope, VersionId::new()).await.expect_err("delete"),
            index.count(&scope, &[VersionId::new()]).await.expect_err("count"),
            index.point_ids(&scope, DocumentId::new()).await.expect_err("list"),
            index.drop_tenant(scope.tenant).await.expect_err("drop"),
            index
                .search(&scope, &VectorQuery::Dense(unit(&[1.0])), &VectorFilter::default(), 3)
                .await
                .expect_err("search"),
            index
                .search(&scope, &VectorQuery::Sparse("word".to_owned()), &VectorFilter::default(), 3)
                .await
                .expect_err("search for words"),
        ]
    };
    tokio::time::timeout(PATIENCE, calls).await.expect("nothing hangs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_named_by_its_setting() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path(), None, "sesame", None);
    for wrong in ["", "wrong"] {
        for error in errors(&open(&server.url(), wrong, &QdrantSettings::default())).await {
            let told = (error.kind(), error.reason());
            assert_eq!(told, (ErrorKind::FailedPrecondition, "VECTOR_INDEX_UNAUTHORIZED"), "{error:?}");
            assert!(error.message().contains("vectors.api_key"), "{error}");
            assert!(!format!("{error:?}").contains("wrong"), "the key is not repeated");
        }
    }
    let index = open(&server.url(), "sesame", &QdrantSettings::default());
    assert!(!format!("{index:?}").contains("sesame"));
    index.check().await.unwrap();
    index.upsert(&scope(), vec![point(1, &[1.0], "word")]).await.unwrap();
    let error = QdrantIndex::open("http://host", &"no\nkey".into(), &QdrantSettings::default()).expect_err("no key");
    assert_eq!(error.violations()[0].field, "vectors.api_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_unavailable_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::start(dir.path(), None, "", None);
    let port = server.port;
    let index = TestServer::of(&server).index();
    let (scope, document, version) = (scope(), DocumentId::new(), VersionId::new());
    for round in 1..=3u128 {
        index.upsert(&scope, points_of(document, version, round * 1000, 20)).await.unwrap();
        server.kill();
        server_gone(&index).await;
        server = Process::start(dir.path(), Some(port), "", None);
        until_there(&index).await;
        assert_eq!(index.count(&scope, &[version]).await.unwrap(), [20 * round as u64], "what was confirmed is there");
    }
}

async fn server_gone(index: &QdrantIndex) {
    for error in errors(index).await {
        let told = (error.kind(), error.reason());
        assert_eq!(told, (ErrorKind::Unavailable, "VECTOR_INDEX_UNAVAILABLE"), "{error:?}");
    }
}

/// Waits until a server that was started can be used. Nobody opens the index anew.
async fn until_there(index: &QdrantIndex) {
    let checks = async {
        while index.check().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, checks).await.expect("found again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_during_an_upsert_holds_every_point_once_after_the_retry() {
    const POINTS: u128 = 1500;
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::start(dir.path(), None, "", None);
    let port = server.port;
    // Small batches: the death comes between some of them, or within one.
    let settings = QdrantSettings { batch_points: 50, ..QdrantSettings::default() };
    let index = TestServer::of(&server).index_with(settings);
    let scope = scope();
    let confirmed = (DocumentId::new(), VersionId::new());
    index.upsert(&scope, points_of(confirmed.0, confirmed.1, 1_000_000, 30)).await.unwrap();
    let mut cut_off = 0;
    for round in 0..4u128 {
        let (document, version) = (DocumentId::new(), VersionId::new());
        let points = points_of(document, version, round * POINTS, POINTS);
        let write = index.upsert(&scope, points.clone());
        let kill = async {
            // Once the first batch is there, and a little later each time.
            while index.count(&scope, &[version]).await.unwrap_or_default().first().is_none_or(|count| *count == 0) {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(7 * round as u64)).await;
            tokio::task::spawn_blocking(move || server.kill()).await.unwrap();
        };
        let (written, ()) = tokio::join!(write, kill);
        if let Err(error) = &written {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(error.is_transient());
            cut_off += 1;
        }
        server = Process::start(dir.path(), Some(port), "", None);
        until_there(&index).await;
        let there = index.count(&scope, &[version]).await.unwrap()[0];
        assert!(there >= 50 && (written.is_err() || there == POINTS as u64), "round {round}: {there}");
        index.upsert(&scope, points).await.expect("the retry");
        assert_eq!(index.count(&scope, &[version, confirmed.1]).await.unwrap(), [POINTS as u64, 30]);
        let mut ids: Vec<u128> =
            index.point_ids(&scope, document).await.unwrap().iter().map(|id| id.0.as_u128()).collect();
        ids.sort_unstable();
        assert_eq!(ids, (round * POINTS..(round + 1) * POINTS).collect::<Vec<_>>(), "every point once");
    }
    assert!(cut_off > 0, "no upsert was cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_costs_the_time_that_is_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let settings = QdrantSettings { read_timeout_ms: 200, write_timeout_ms: 200, ..QdrantSettings::default() };
    for error in errors(&open(&url, "", &settings)).await {
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "VECTOR_INDEX_TIMEOUT"), "{error:?}");
    }
    drop(listener);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_qdrant_server_is_told_by_the_setting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let mut answer = &b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"[..];
                while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {
                    let _ = stream.write_all(std::mem::take(&mut answer)).await;
                }
            });
        }
    });
    for error in errors(&open(&url, "", &QdrantSettings::default())).await {
        let told = (error.kind(), error.reason());
        assert_eq!(told, (ErrorKind::Unavailable, "VECTOR_INDEX_UNAVAILABLE"), "{error:?}");
        assert!(error.message().contains("vectors.url") && error.message().contains("6334"), "{error}");
    }
    let nowhere = open("http://no-such-host.invalid", "", &QdrantSettings::default());
    let error = nowhere.check().await.expect_err("no such host");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "VECTOR_INDEX_UNAVAILABLE"), "{error:?}");
    assert!(error.message().contains("vectors.url"), "{error}");
}
