//! The store as a whole.

use std::{fs, time::Duration};

use bytes::Bytes;
use futures::stream;
use vectrion_core::ids::{TenantId, VersionId};
use vectrion_testkit::conformance::objects::{content, suite};
use walkdir::WalkDir;

use super::*;
use crate::test_process::{self, Child};

fn open(directory: &Path) -> LocalObjects {
    LocalObjects::open(directory, &LocalSettings { min_free_bytes: 0 }).unwrap()
}

/// Every file and directory in the store but the lock.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = WalkDir::new(directory).min_depth(1).into_iter().map(|entry| entry.unwrap().into_path());
    entries.filter(|path| path.file_name() != Some("lock".as_ref())).collect()
}

fn a_key() -> ObjectKey {
    ObjectKey::original(TenantId::new(), VersionId::new())
}

/// A content of this many mebibytes.
fn mebibytes(count: usize) -> ByteStream {
    stream::iter((0..count).map(|_| Ok(Bytes::from(vec![7u8; 1 << 20])))).boxed()
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let dir = tempfile::tempdir().unwrap();
    let opened = std::sync::atomic::AtomicUsize::new(0);
    suite(async || {
        let number = opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        LocalObjects::open(dir.path().join(number.to_string()), &LocalSettings::default()).unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_objects_that_are_gone_or_never_were() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = a_key();
    store.put(&key, mebibytes(3)).await.unwrap();
    store.delete(&key).await.unwrap();
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new(), "the empty directories are gone, too");

    let broken = mebibytes(3).chain(stream::iter([Err(Error::internal("BROKEN", "broken"))]));
    store.put(&key, broken.boxed()).await.expect_err("broken");
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());

    let endless = mebibytes(3).chain(stream::pending());
    tokio::time::timeout(Duration::from_millis(300), store.put(&key, endless.boxed())).await.expect_err("endless");
    store.delete_prefix(&key).await.unwrap();
    for _ in 0..100 {
        // Dropped calls are cleaned up after in the background.
        if files(dir.path()).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        store.delete_prefix(&key).await.unwrap();
    }
    panic!("left: {:?}", files(dir.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_stay_and_the_directory_belongs_to_one_store_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let key = a_key();
    let store = open(dir.path());
    store.put(&key, content(["kept"])).await.unwrap();
    let error = LocalObjects::open(dir.path(), &LocalSettings::default()).expect_err("in use");
    assert_eq!(error.reason(), "DIRECTORY_IN_USE");
    drop(store);
    assert_eq!(open(dir.path()).head(&key).await.unwrap().size, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_floor_of_free_space_nothing_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let floor = FreeSpace::new(dir.path(), 0).available().unwrap() * 2;
    let store = LocalObjects::open(dir.path(), &LocalSettings { min_free_bytes: floor }).unwrap();
    for error in [store.put(&a_key(), content(["x"])).await.expect_err("full"), store.check().await.expect_err("full")]
    {
        assert_eq!((error.kind(), error.reason()), (ErrorKind::ResourceExhausted, "STORAGE_FULL"));
    }
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
    store.delete(&a_key()).await.expect("deleting is how room is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_does_not_pass_for_a_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = a_key();
    store.put(&key, mebibytes(4)).await.unwrap();
    let mut bytes = store.get(&key, 0).await.unwrap();
    assert!(!bytes.next().await.unwrap().unwrap().is_empty());
    fs::File::options().write(true).open(dir.path().join(key.as_str())).unwrap().set_len(1 << 20).unwrap();
    let error = bytes.try_for_each(async |_| Ok(())).await.expect_err("cut");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::DataLoss, "OBJECT_DAMAGED"));
}

const KILLED: &str = "objects::local::tests::a_child_that_gets_killed";

/// The child: writes an object without end. Its parent kills it.
#[test]
fn a_child_that_gets_killed() {
    let Some(directory) = test_process::directory() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = open(&directory);
        store.put(&ObjectKey::from_listing("tenants/a/whole".to_owned()), content(["whole"])).await.unwrap();
        let endless = mebibytes(3).chain(stream::pending());
        let _ = store.put(&ObjectKey::from_listing("tenants/b/half".to_owned()), endless.boxed()).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_half_written_goes_when_the_store_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let child = Child::start(KILLED, dir.path(), &[]);
    let staged = dir.path().join("tenants/b/half#1");
    for _ in 0..1000 {
        if fs::metadata(&staged).is_ok_and(|facts| facts.len() == 3 << 20) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill();
    assert!(staged.exists(), "the child was in the middle of it");
    let store = open(dir.path());
    assert_eq!(files(dir.path()), ["tenants", "tenants/a", "tenants/a/whole"].map(|path| dir.path().join(path)));
    assert_eq!(store.head(&ObjectKey::from_listing("tenants/a/whole".to_owned())).await.unwrap().size, 5);
}

const FULL: &str = "objects::local::tests::a_child_on_a_small_disk";

/// The child: its directory is a disk of 16 MiB.
#[test]
fn a_child_on_a_small_disk() {
    let Some(directory) = test_process::directory() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        for floor in [0, 4 << 20] {
            let store = LocalObjects::open(&directory, &LocalSettings { min_free_bytes: floor }).unwrap();
            let before = store.space.available().unwrap();
            let key = a_key();
            let error = store.put(&key, mebibytes(17)).await.expect_err("more than there is room for");
            assert_eq!((error.kind(), error.reason()), (ErrorKind::ResourceExhausted, "STORAGE_FULL"), "{floor}");
            assert_eq!(files(&directory), Vec::<PathBuf>::new(), "nothing is left, floor {floor}");
            assert_eq!(store.space.available().unwrap(), before);
            store.put(&key, mebibytes(2)).await.expect("what fits is stored");
            store.delete(&key).await.unwrap();
        }
        // The last pages go with an object that is written in one step.
        let store = LocalObjects::open(&directory, &LocalSettings { min_free_bytes: 0 }).unwrap();
        let filler = a_key();
        store.put(&filler, mebibytes(14)).await.unwrap();
        let rest = usize::try_from(store.space.available().unwrap()).unwrap();
        fs::write(directory.join("rest"), vec![1u8; rest - (64 << 10)]).unwrap();
        let error = store.put(&a_key(), content([vec![1u8; 256 << 10]])).await.expect_err("no room");
        assert_eq!(error.reason(), "STORAGE_FULL");
        store.delete(&filler).await.expect("deleting is how room is made");
        store.put(&filler, mebibytes(2)).await.expect("there is room again");
    });
}

#[test]
fn a_full_disk_is_an_error_that_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    Child::start_on_small_disk(FULL, dir.path(), 16).succeeds();
}
