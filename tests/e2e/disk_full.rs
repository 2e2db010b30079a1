//! No room: what is refused, what waits, and that it goes on by itself when there is room.

use std::{path::Path, time::Duration};

use tonic::Code;
use vectrion::v1::DocumentState;

use crate::support::{
    Process, TestApp,
    client::{header, reason},
};

const TEXT: &[u8] = b"The granary of Ostrand holds nine hundred tonnes of rye.";
const MIB: u64 = 1 << 20;

#[tokio::test]
async fn below_the_floor_an_upload_is_refused_and_leaves_nothing() {
    let app = TestApp::start_with(&[("disk.min_free_mib", "100000000")]).await;
    let client = app.operator().await;
    let status = client.try_upload(header("a.txt"), TEXT).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "STORAGE_FULL"));
    assert!(client.list().await.is_empty() && app.objects().await.is_empty(), "{:?}", app.objects().await);
    assert!(client.search("rye").await.is_empty(), "questions are answered all the same");
    app.stop().await;
}

#[tokio::test]
async fn jobs_wait_for_room_and_then_complete() {
    // In memory, where other programs do not change how much is free.
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let data = directory.path().join("data");
    let floor = format!("disk.min_free_mib={}", free(directory.path()) / MIB - 256);

    // Killed when it takes up its first job.
    let mut process = Process::start(&data, &[&floor], "process::begun=return").await;
    let document = process.operator().await.upload("a.txt", TEXT).await;
    process.end().await;

    let ballast = directory.path().join("ballast");
    std::fs::write(&ballast, vec![1; usize::try_from(320 * MIB).unwrap()]).unwrap();
    let process = Process::start(&data, &[&floor], "").await;
    let client = process.operator().await;
    let status = client.try_upload(header("b.txt"), b"Another one.").await.unwrap_err();
    assert_eq!(reason(&status), "STORAGE_FULL");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waiting = client.get(&document.document_id).await.unwrap();
    assert!(
        !matches!(waiting.state(), DocumentState::Indexed | DocumentState::Failed),
        "{:?} {:?}",
        waiting.state(),
        waiting.failure
    );

    std::fs::remove_file(&ballast).unwrap();
    let settled = client.settled(&document.document_id).await;
    assert_eq!(settled.state(), DocumentState::Indexed, "{:?}", settled.failure);
    client.index("b.txt", b"Another one.").await;
    assert_eq!(process.terminate().await.code(), Some(0));
}

fn free(path: &Path) -> u64 {
    let facts = nix::sys::statvfs::statvfs(path).unwrap();
    facts.blocks_available() * facts.fragment_size()
}
