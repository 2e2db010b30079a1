//! A disk that fills up. The engine maps its files into memory: without the floor the process would be killed.

use super::*;
use crate::test_process::{self, Child};

const CHILD: &str = "vectors::edge::tests::full_disk::a_child_on_a_small_disk";

/// The child: its directory is a disk of 384 MiB. (Of the files that the engine maps, tmpfs takes room for every page that is
/// so much as read, unlike a disk: about a hundred megabytes for a shard.)
#[test]
fn a_child_on_a_small_disk() {
    let Some(directory) = test_process::directory() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let settings = EdgeSettings { min_free_bytes: 160 << 20, optimize_after: 500, ..small() };
        let index = EdgeIndex::open(directory.join("vectors"), &settings).unwrap();
        let scope = scope();
        let (document, version) = (DocumentId::new(), VersionId::new());
        index.upsert(&scope, points_of(document, version, 0, 100)).await.unwrap();
        index.flush(&scope).await.unwrap();

        // Somebody else fills the disk to just above the floor; the index takes the rest.
        let filler = directory.join("filler");
        let space = FreeSpace::new(&directory, 0);
        let room = usize::try_from(space.available().unwrap()).unwrap();
        fs::write(&filler, vec![1u8; room - (168 << 20)]).unwrap();
        let mut written = 100;
        let error = loop {
            match index.upsert(&scope, points_of(document, version, written, 200)).await {
                Ok(()) => index.flush(&scope).await.unwrap(),
                Err(error) => break error,
            }
            written += 200;
            assert!(written < 1_000_000, "the disk never filled up");
        };
        assert_eq!((error.kind(), error.reason()), (ErrorKind::ResourceExhausted, "STORAGE_FULL"));
        assert_eq!(index.check().await.expect_err("full").reason(), "STORAGE_FULL");
        let other = conformance::scope();
        let error = index.upsert(&other, points_of(document, version, 0, 1)).await.expect_err("full");
        assert_eq!(error.reason(), "STORAGE_FULL", "also for a tenant that has nothing yet");
        assert_eq!(index.count(&scope, &[version]).await.unwrap(), [u64::try_from(written).unwrap()]);
        index.flush(&scope).await.unwrap();

        // As soon as there is room again it goes on.
        fs::remove_file(&filler).unwrap();
        index.check().await.unwrap();
        index.upsert(&scope, points_of(document, version, written, 100)).await.unwrap();
        index.flush(&scope).await.unwrap();
        assert_eq!(index.count(&scope, &[version]).await.unwrap(), [u64::try_from(written + 100).unwrap()]);
        index.close().await.unwrap();
    });
}

#[test]
fn a_disk_that_fills_up_kills_nobody() {
    let dir = tempfile::tempdir().unwrap();
    Child::start_on_small_disk(CHILD, dir.path(), 384).succeeds();
}
