//! What a dead process leaves, and what gets old.

use std::time::Duration;

use futures::stream;
use vectrion_core::{
    document::DocumentState,
    ids::{UploadId, VersionId},
    ports::{
        objects::ObjectKey,
        uploads::{Upload, UploadHeader},
    },
    tenancy::Role,
};

use super::world::{LEASE, World, spec};

async fn begin(world: &World, one_call: bool, ttl_ms: i64) -> Upload {
    let collection = world.ports.directory.collection_by_name(world.tenant, "default").await.expect("a look");
    let header = UploadHeader {
        collection: collection.expect("the collection").id,
        external_id: vectrion_core::document::ExternalId::new("left").expect("an id"),
        filename: spec("left.txt").filename,
        size: None,
        sha256: None,
        metadata: None,
        allow_duplicate: false,
    };
    let upload = world
        .ports
        .uploads
        .create_upload(world.tenant, UploadId::new(), VersionId::new(), header, one_call, ttl_ms)
        .await
        .expect("a row");
    for key in
        [ObjectKey::original(world.tenant, upload.version_id), ObjectKey::upload_part(world.tenant, upload.id, 0, 5)]
    {
        world.ports.objects.put(&key, Box::pin(stream::iter([Ok("bytes".into())]))).await.expect("bytes");
    }
    upload
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_removes_what_the_dead_process_left_and_takes_its_jobs_back() {
    let world = World::new().await;
    let (view, _) = world.upload("a.txt", "text").await.expect("an upload");
    let lease = world.claim(LEASE).await.expect("a job that nobody ends");
    begin(&world, true, 600_000).await;
    begin(&world, false, 0).await;
    let alive = begin(&world, false, 600_000).await;
    let scratch = world.path().join("scratch");
    std::fs::create_dir_all(scratch.join("directory")).expect("a directory");
    std::fs::write(scratch.join("copy"), "left").expect("a file");

    world.housekeeping.recover().await.expect("recovered");
    assert_eq!(std::fs::read_dir(&scratch).expect("the directory").count(), 0);
    assert!(world.ports.uploads.upload(world.tenant, alive.id).await.expect("a look").is_some());
    let left = world.objects(world.tenant).await;
    assert_eq!(left.len(), 3, "the document's bytes, and the two of the upload that can go on: {left:?}");

    let again = world.claim(LEASE).await.expect("taken back");
    assert_eq!((again.job.id, again.job.attempts, again.job.interruptions), (lease.job.id, 1, 1));
    world.run(&again, LEASE).await.expect("committed");
    world.work().await;
    assert_eq!(world.document(&view.document).await.document.state, DocumentState::Indexed);
    world.ingestion.abort_upload(&world.context(), alive.id).await.expect("aborted");
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_removes_expired_uploads_and_leaves_those_that_go_on() {
    let world = World::new().await;
    begin(&world, false, 0).await;
    begin(&world, true, 0).await;
    let alive = begin(&world, true, 600_000).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    world.housekeeping.sweep().await.expect("swept");
    let left: Vec<String> = world.objects(world.tenant).await.into_iter().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().any(|key| key.contains(&alive.id.to_string())), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_lease_is_taken_back() {
    let world = World::new().await;
    world.upload("a.txt", "text").await.expect("an upload");
    let lease = world.claim(Duration::from_secs(1)).await.expect("a job");
    world.housekeeping.reap().await.expect("a look");
    assert!(world.claim(LEASE).await.is_none(), "the lease holds");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.housekeeping.reap().await.expect("a look");
    let again = world.claim(LEASE).await.expect("taken back");
    assert_eq!((again.job.id, again.job.interruptions), (lease.job.id, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_removal_of_a_tenant_that_was_cut_off_is_finished() {
    let world = World::new().await;
    let operator = world.context_of(world.tenant, Role::Operator);
    let gone = world.administration.create_tenant(&operator, "gone").await.expect("a tenant");
    let kept = world.administration.create_tenant(&operator, "kept").await.expect("a tenant");
    for tenant in [gone.id, kept.id] {
        let part = ObjectKey::upload_part(tenant, UploadId::new(), 0, 5);
        for key in [ObjectKey::tenant_removal(tenant), part] {
            world.ports.objects.put(&key, Box::pin(stream::iter([Ok("bytes".into())]))).await.expect("bytes");
        }
    }
    // The process died after the rows had gone; that of the other before.
    world.ports.directory.delete_tenant(gone.id).await.expect("deleted");
    world.housekeeping.recover().await.expect("recovered");
    assert!(world.objects(gone.id).await.is_empty());
    assert_eq!(world.objects(kept.id).await.len(), 1);
    let marks = world.ports.objects.list(&ObjectKey::tenant_removals()).await.expect("a listing");
    assert_eq!(marks.len(), 1);
}
