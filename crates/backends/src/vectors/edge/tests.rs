//! The index as a whole.

mod crash;
mod full_disk;
mod scores;

use std::{fs, path::Path, time::Duration};

use uuid::Uuid;
use vectrion_core::{
    ErrorKind,
    ids::{ChunkId, CollectionId, DocumentId, VersionId},
};
use vectrion_testkit::conformance::vectors::{self as conformance, point, scope, unit};

use super::*;

/// Settings under which few points are enough for everything to happen.
fn small() -> EdgeSettings {
    EdgeSettings { min_free_bytes: 1 << 20, optimize_after: 300, index_from_kb: 4, ..EdgeSettings::default() }
}

fn open(directory: &Path) -> EdgeIndex {
    EdgeIndex::open(directory, &small()).unwrap()
}

/// Points of one version, ids from `first` on, in directions that differ.
fn points_of(document: DocumentId, version: VersionId, first: u128, count: u128) -> Vec<Point> {
    (first..first + count)
        .map(|number| Point {
            id: ChunkId(Uuid::from_u128(number)),
            document,
            version_id: version,
            collection: CollectionId(Uuid::from_u128(1)),
            dense: unit(&[1.0, (number % 101) as f32, (number % 37) as f32, (number % 11) as f32]),
            text: format!("chunk number w{number} of many"),
        })
        .collect()
}

/// Waits until the shard of a scope has a graph.
async fn until_indexed(index: &EdgeIndex, scope: &VectorScope) {
    let segments = index.opener.layout.shard(ShardKey::of(scope)).join("segments");
    for _ in 0..1200 {
        for segment in fs::read_dir(&segments).unwrap().filter_map(Result::ok) {
            if segment.path().join("vector_index-dense/graph.bin").exists() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no graph was built");
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let dir = tempfile::tempdir().unwrap();
    let opened = std::sync::atomic::AtomicUsize::new(0);
    conformance::suite(async || {
        let number = opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        EdgeIndex::open(dir.path().join(number.to_string()), &EdgeSettings::default()).unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_there_after_closing_and_opening() {
    let dir = tempfile::tempdir().unwrap();
    let scope = scope();
    let (document, version) = (DocumentId::new(), VersionId::new());
    for round in 0..3u128 {
        let index = open(dir.path());
        assert_eq!(index.count(&scope, &[version]).await.unwrap(), [round as u64 * 10]);
        index.upsert(&scope, points_of(document, version, round * 10, 10)).await.unwrap();
        index.close().await.unwrap();
        let error = index.flush(&scope).await.expect_err("closed");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "VECTOR_INDEX_CLOSED"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_belongs_to_one_index_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    let error = EdgeIndex::open(dir.path(), &small()).expect_err("in use");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::FailedPrecondition, "DIRECTORY_IN_USE"));
    index.close().await.unwrap();
    let index = open(dir.path());
    index.upsert(&scope(), vec![point(1, &[1.0], "word")]).await.unwrap();
    drop(index);
    // Without closing, the threads of the index end by themselves a moment later.
    for _ in 0..500 {
        if EdgeIndex::open(dir.path(), &small()).is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the directory stays in use");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tenants_than_may_be_open_work_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let settings = EdgeSettings { max_open_shards: 2, ..small() };
    let index = EdgeIndex::open(dir.path(), &settings).unwrap();
    let scopes: Vec<VectorScope> = (0..6).map(|_| scope()).collect();
    let version = VersionId::new();
    for round in 1..=2u64 {
        for scope in &scopes {
            let points = points_of(DocumentId::new(), version, u128::from(round) * 10, 5);
            index.upsert(scope, points).await.unwrap();
        }
        let counts = scopes.iter().map(|scope| index.count(scope, std::slice::from_ref(&version)));
        for counted in futures::future::join_all(counts).await {
            assert_eq!(counted.unwrap(), [round * 5]);
        }
        // While all were in use at once they were all open. Now the next call has the others closed.
        index.count(&scopes[0], &[version]).await.unwrap();
        let mut open = index.registry.open_shards();
        for _ in 0..500 {
            if open <= 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            open = index.registry.open_shards();
        }
        assert!((1..=2).contains(&open), "{open} are open");
    }
    let nobody = conformance::scope();
    assert_eq!(index.count(&nobody, &[version]).await.unwrap(), [0]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "one generation and the lock: a read makes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_shard_says_so_and_leaves_the_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (damaged, sound) = (scope(), scope());
    let version = VersionId::new();
    let index = open(dir.path());
    for scope in [&damaged, &sound] {
        index.upsert(scope, points_of(DocumentId::new(), version, 1, 5)).await.unwrap();
    }
    let shard = index.opener.layout.shard(ShardKey::of(&damaged));
    index.close().await.unwrap();
    for segment in fs::read_dir(shard.join("segments")).unwrap() {
        fs::write(segment.unwrap().path().join("segment.json"), "not what it was").unwrap();
    }

    let index = open(dir.path());
    for _ in 0..2 {
        let error = index.count(&damaged, &[version]).await.expect_err("damaged");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::DataLoss, "VECTOR_SHARD_DAMAGED"));
        assert!(error.message().contains(&shard.display().to_string()), "{error}");
        assert!(!error.is_transient(), "trying again does not help");
    }
    assert_eq!(index.count(&sound, &[version]).await.unwrap(), [5]);
    fs::remove_dir_all(&shard).unwrap();
    assert_eq!(index.count(&damaged, &[version]).await.unwrap(), [0], "moved away it is empty");
    index.upsert(&damaged, points_of(DocumentId::new(), version, 1, 5)).await.unwrap();
    assert_eq!(index.count(&damaged, &[version]).await.unwrap(), [5], "and can be filled anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_floor_of_free_space_nothing_is_written_and_reading_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let scope = scope();
    let version = VersionId::new();
    let index = open(dir.path());
    index.upsert(&scope, points_of(DocumentId::new(), version, 1, 5)).await.unwrap();
    index.close().await.unwrap();
    let floor = FreeSpace::new(dir.path(), 0).available().unwrap() * 2;
    let settings = EdgeSettings { min_free_bytes: floor, ..small() };
    let full = EdgeIndex::open(dir.path().join("elsewhere"), &settings).unwrap();
    for error in [
        full.upsert(&scope, points_of(DocumentId::new(), version, 1, 5)).await.expect_err("full"),
        full.check().await.expect_err("full"),
    ] {
        assert_eq!((error.kind(), error.reason()), (ErrorKind::ResourceExhausted, "STORAGE_FULL"));
    }
    let full = EdgeIndex::open(dir.path(), &settings).unwrap();
    let error = full.upsert(&scope, points_of(DocumentId::new(), version, 6, 5)).await.expect_err("full");
    assert_eq!(error.reason(), "STORAGE_FULL");
    assert_eq!(full.count(&scope, &[version]).await.unwrap(), [5]);
    full.delete_version(&scope, version).await.expect("deleting is how room is made");
    full.flush(&scope).await.unwrap();
    assert_eq!(full.count(&scope, &[version]).await.unwrap(), [0]);
}

/// Breaks the flush of a shard for as long as it lives, by a directory where the engine wants a file.
struct BrokenFlush {
    directory: std::path::PathBuf,
    hidden: std::path::PathBuf,
}

impl BrokenFlush {
    fn new(shard: &Path) -> Self {
        let directory = shard.join("segments");
        let hidden = shard.join("hidden-segments");
        fs::rename(&directory, &hidden).unwrap();
        Self { directory, hidden }
    }
}

impl Drop for BrokenFlush {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
        fs::rename(&self.hidden, &self.directory).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_engine_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (index, scope) = (open(dir.path()), scope());
    index.upsert(&scope, points_of(DocumentId::new(), VersionId::new(), 1, 5)).await.unwrap();
    let error = index.read::<()>(&scope, "search", |_| panic!("a defect")).await.expect_err("panics");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Internal, "VECTOR_INDEX_PANICKED"));
    assert!(error.is_transient());
    let query = VectorQuery::Dense(unit(&[1.0]));
    assert_eq!(index.search(&scope, &query, &VectorFilter::default(), 10).await.unwrap().len(), 5, "reading goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_panics_is_opened_anew_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let scope = scope();
    let (document, version, gone) = (DocumentId::new(), VersionId::new(), VersionId::new());
    // The engine is flushed for the first time when the second hundred of points is written.
    let settings = EdgeSettings { redo_bytes: 20_000, ..small() };
    let index = EdgeIndex::open(dir.path(), &settings).unwrap();
    index.upsert(&scope, points_of(document, version, 1, 100)).await.unwrap();
    index.upsert(&scope, points_of(document, gone, 1000, 10)).await.unwrap();
    index.flush(&scope).await.unwrap();
    let shard = index.opener.layout.shard(ShardKey::of(&scope));

    let broken = BrokenFlush::new(&shard);
    index.upsert(&scope, points_of(document, version, 101, 100)).await.unwrap();
    index.delete_version(&scope, gone).await.unwrap();
    index.flush(&scope).await.expect("the log is enough");
    let error = index.upsert(&scope, points_of(document, version, 201, 100)).await.expect_err("cannot be opened anew");
    assert_eq!(error.reason(), "VECTOR_SHARD_DAMAGED");
    drop(broken);

    index.upsert(&scope, points_of(document, version, 201, 100)).await.expect("opened anew");
    assert_eq!(index.count(&scope, &[version, gone]).await.unwrap(), [300, 0]);
    assert_eq!(index.point_ids(&scope, document).await.unwrap().len(), 300);

    // The engine cannot be flushed while it is closed either.
    index.delete_version(&scope, version).await.unwrap();
    let broken = BrokenFlush::new(&shard);
    index.close().await.expect("the log is enough");
    drop(broken);
    let index = open(dir.path());
    assert_eq!(index.count(&scope, &[version, gone]).await.unwrap(), [0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn optimising_changes_no_result_and_goes_on_beside_everything_else() {
    let dir = tempfile::tempdir().unwrap();
    let scope = scope();
    let index = open(dir.path());
    let documents: Vec<(DocumentId, VersionId)> = (0..6).map(|_| (DocumentId::new(), VersionId::new())).collect();
    for (i, (document, version)) in documents.iter().enumerate() {
        index.upsert(&scope, points_of(*document, *version, i as u128 * 1000, 100)).await.unwrap();
        index.flush(&scope).await.unwrap();
    }
    // Points of segments that are being optimised are replaced, removed, and removed and written again meanwhile.
    let (document, version) = documents[0];
    index.upsert(&scope, points_of(document, version, 0, 100)).await.unwrap();
    index.delete_version(&scope, documents[1].1).await.unwrap();
    index.delete_document(&scope, documents[2].0).await.unwrap();
    index.upsert(&scope, points_of(documents[2].0, documents[2].1, 2000, 50)).await.unwrap();
    index.flush(&scope).await.unwrap();
    until_indexed(&index, &scope).await;

    let versions: Vec<VersionId> = documents.iter().map(|(_, version)| *version).collect();
    let expected = [100, 0, 50, 100, 100, 100];
    assert_eq!(index.count(&scope, &versions).await.unwrap(), expected);
    let query = VectorQuery::Sparse("w3007".to_owned());
    let found = index.search(&scope, &query, &VectorFilter::default(), 5).await.unwrap();
    assert_eq!(found.iter().map(|hit| hit.id.0.as_u128()).collect::<Vec<_>>(), [3007]);
    index.close().await.unwrap();
    let index = open(dir.path());
    assert_eq!(index.count(&scope, &versions).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_with_both_old_and_new_segments_is_put_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let scope = scope();
    let (document, version, removed) = (DocumentId::new(), VersionId::new(), VersionId::new());
    let index = open(dir.path());
    index.upsert(&scope, points_of(document, version, 1, 120)).await.unwrap();
    index.upsert(&scope, points_of(document, removed, 500, 30)).await.unwrap();
    let shard = index.opener.layout.shard(ShardKey::of(&scope));
    index.close().await.unwrap();

    // As after a death between the moment the new segment is whole and the end of the old one, with removals in between.
    let segments = shard.join("segments");
    let old = fs::read_dir(&segments).unwrap().next().unwrap().unwrap().path();
    copy_directory(&old, &segments.join(Uuid::from_u128(77).to_string()));
    let mut log = redo::RedoLog::open(&shard).unwrap();
    log.append(&redo::Change::OptimizationBegan).unwrap();
    log.append(&redo::Change::Removed((500..530).map(Uuid::from_u128).collect())).unwrap();
    log.sync().unwrap();

    for _ in 0..2 {
        let index = open(dir.path());
        assert_eq!(index.count(&scope, &[version, removed]).await.unwrap(), [120, 0]);
        assert_eq!(index.point_ids(&scope, document).await.unwrap().len(), 120);
        index.close().await.unwrap();
        assert_eq!(redo::RedoLog::open(&shard).unwrap().bytes(), 0, "there is nothing left to do");
    }
}

fn copy_directory(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_short_and_changes_are_still_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let scope = scope();
    let (document, version) = (DocumentId::new(), VersionId::new());
    let settings = EdgeSettings { optimize_after: usize::MAX, log_file_bytes: 32 << 10, redo_bytes: 1, ..small() };
    let index = EdgeIndex::open(dir.path(), &settings).unwrap();
    let write = async |index: &EdgeIndex| {
        index.upsert(&scope, points_of(document, version, 1, 64)).await.unwrap();
        index.flush(&scope).await.unwrap();
    };
    for _ in 0..20 {
        write(&index).await;
    }
    let log = index.opener.layout.shard(ShardKey::of(&scope)).join("wal");
    let closed = |log: &Path| {
        let names = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("closed-")).count()
    };
    let until_short = async || {
        for _ in 0..500 {
            if closed(&log) == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} files of the log are left", closed(&log));
    };
    until_short().await;
    index.close().await.unwrap();

    let index = EdgeIndex::open(dir.path(), &settings).unwrap();
    write(&index).await;
    assert_eq!(index.count(&scope, &[version]).await.unwrap(), [64]);
    let mut replaced = points_of(document, version, 1, 64);
    replaced.iter_mut().for_each(|point| point.text = "replaced".to_owned());
    index.upsert(&scope, replaced).await.unwrap();
    let query = VectorQuery::Sparse("replaced".to_owned());
    let found = index.search(&scope, &query, &VectorFilter::default(), 100).await.unwrap();
    assert_eq!(found.len(), 64, "a change after the log was cut is not taken for an old one");
    index.delete_version(&scope, version).await.unwrap();
    assert_eq!(index.count(&scope, &[version]).await.unwrap(), [0]);
    index.flush(&scope).await.unwrap();
    until_short().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_nobody_waits_for_is_not_begun_and_too_many_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let settings = EdgeSettings { read_threads: 1, read_queue: 4, ..small() };
    let index = EdgeIndex::open(dir.path(), &settings).unwrap();
    let scope = scope();
    index.upsert(&scope, vec![point(1, &[1.0], "word")]).await.unwrap();
    let query = VectorQuery::Dense(unit(&[1.0]));
    let filter = VectorFilter::default();
    let searches = (0..200).map(|_| index.search(&scope, &query, &filter, 1));
    let outcomes = futures::future::join_all(searches).await;
    let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect::<Vec<_>>();
    assert!(!refused.is_empty() && refused.len() < 200, "{} refused", refused.len());
    assert!(refused.iter().all(|error| error.reason() == "VECTOR_INDEX_BUSY" && error.retry_after().is_some()));
}
