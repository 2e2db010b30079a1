//! Comparing database, vectors and objects while work goes on; chores that one process does at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use vectrion_core::{
    document::DocumentState,
    ids::{ChunkId, CollectionId, DocumentId, UploadId, VersionId},
    ports::{objects::ObjectKey, vectors::Point},
    search::SearchFilter,
    tenancy::Role,
};
use vectrion_pipeline::{
    administration::{ReconcileRequest, TenantRef},
    reconcile::{Finding, FindingKind, ReconcileEvent, Remedy},
    stages::Claimed,
};

use super::world::{LEASE, World, paragraphs, spec};

/// Everything that a comparison tells, with repairs, whatever its age.
async fn repair(world: &World) -> Vec<Finding> {
    let request = ReconcileRequest {
        tenant: Some(TenantRef(String::new())),
        collection: None,
        repair: true,
        verify_objects: true,
        min_age: Some(Duration::ZERO),
        resume: None,
    };
    let context = world.context_of(world.tenant, Role::Admin);
    let events = world.administration.reconcile(&context, request).await.expect("a comparison");
    let events: Vec<ReconcileEvent> = events.try_collect().await.expect("no error");
    assert!(matches!(events.last(), Some(ReconcileEvent::Finished(_))), "{events:?}");
    let finding = |event| match event {
        ReconcileEvent::Finding(finding) => Some(*finding),
        ReconcileEvent::Progress(_) | ReconcileEvent::Finished(_) => None,
    };
    events.into_iter().filter_map(finding).collect()
}

fn direction(dimension: usize, axis: usize) -> Vec<f32> {
    (0..dimension).map(|at| if at == axis { 1.0 } else { 0.0 }).collect()
}

fn kinds(findings: &[Finding]) -> Vec<(FindingKind, Remedy)> {
    findings.iter().map(|finding| (finding.kind, finding.remedy)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_left_alone_at_every_step() {
    let world = World::new().await;
    let begun = world.ingestion.create_upload(&world.context(), spec("begun.txt")).await.expect("an upload");
    world.ingestion.upload_chunk(&world.context(), begun.id, 0, Bytes::from_static(b"half")).await.expect("a part");
    assert_eq!(repair(&world).await, [], "an upload in pieces");
    let (view, _) = world.upload("a.txt", &paragraphs(40)).await.expect("an upload");
    assert_eq!(repair(&world).await, [], "a version that waits");
    for step in ["read", "embedded"] {
        let lease = world.claim(LEASE).await.expect("a job");
        let stages = Arc::clone(&world.stages);
        let claimed = Claimed { lease, since: Instant::now() };
        let working = tokio::spawn(async move { stages.run(&claimed, LEASE, 0.0, || None::<()>).await });
        while !working.is_finished() {
            assert_eq!(repair(&world).await, [], "a version that is being {step}");
        }
        working.await.expect("no panic").expect("done");
    }
    assert_eq!(world.document(&view.document).await.document.state, DocumentState::Indexed);
    assert_eq!(repair(&world).await, []);

    world.ingestion.delete_document(&world.context(), view.document.id).await.expect("a deletion");
    assert_eq!(repair(&world).await, [], "a document that waits for its removal");
    world.work().await;
    assert_eq!(repair(&world).await, []);
    world.ingestion.abort_upload(&world.context(), begun.id).await.expect("aborted");
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_embedded_again_stays_in_sight_and_loses_what_is_too_much() {
    let world = World::new().await;
    let document = world.ingest("a.txt", &paragraphs(5)).await.document;
    let scope = world.ports.vector_scope(world.tenant);
    let ids = world.ports.vectors.point_ids(&scope, document.id).await.expect("points");
    let stray = Point {
        id: ChunkId(DocumentId::new().0),
        document: document.id,
        version_id: document.version_id,
        collection: document.collection,
        dense: direction(scope.generation.dimension, 0),
        text: "stray".to_owned(),
    };
    world.ports.vectors.upsert(&scope, vec![stray]).await.expect("written");
    world.ports.vectors.flush(&scope).await.expect("flushed");
    assert_eq!(kinds(&repair(&world).await), [(FindingKind::PointsStale, Remedy::Queued)]);
    let visible = async || {
        let chunks = world.ports.catalog.visible_chunks(world.tenant, &ids, &SearchFilter::default()).await;
        chunks.expect("chunks").len()
    };
    assert_eq!(visible().await, 5, "while the job waits");
    assert_eq!(repair(&world).await, [], "once is enough");
    world.work().await;
    assert_eq!((visible().await, world.document(&document).await.vector_count), (5, 5));
    world.assert_consistent().await;
    assert_eq!(repair(&world).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_refers_to_goes_when_it_is_old_enough() {
    let world = World::new().await;
    let scope = world.ports.vector_scope(world.tenant);
    let (version, upload) = (VersionId::new(), UploadId::new());
    let orphans = (0..30).map(|_| Point {
        id: ChunkId(DocumentId::new().0),
        document: DocumentId::new(),
        version_id: version,
        collection: CollectionId::new(),
        dense: direction(scope.generation.dimension, 1),
        text: "orphan".to_owned(),
    });
    world.ports.vectors.upsert(&scope, orphans.collect()).await.expect("written");
    world.ports.vectors.flush(&scope).await.expect("flushed");
    for key in [
        ObjectKey::original(world.tenant, version),
        ObjectKey::extracted(world.tenant, version),
        ObjectKey::upload_part(world.tenant, upload, 0, 1),
    ] {
        let content = stream::once(async { Ok(Bytes::from_static(b"x")) }).boxed();
        world.ports.objects.put(&key, content).await.expect("put");
    }
    let context = world.context_of(world.tenant, Role::Admin);
    let by_default = ReconcileRequest {
        tenant: Some(TenantRef(String::new())),
        collection: None,
        repair: true,
        verify_objects: false,
        min_age: None,
        resume: None,
    };
    let events = world.administration.reconcile(&context, by_default).await.expect("a comparison");
    let events: Vec<ReconcileEvent> = events.try_collect().await.expect("no error");
    let is_finding = |event: &&ReconcileEvent| matches!(event, ReconcileEvent::Finding(_));
    assert_eq!(events.iter().filter(is_finding).count(), 0, "an hour must have passed");

    let findings = repair(&world).await;
    assert_eq!(
        kinds(&findings),
        [
            (FindingKind::ObjectOrphaned, Remedy::Removed),
            (FindingKind::PointsOrphaned, Remedy::Removed),
            (FindingKind::ObjectOrphaned, Remedy::Removed),
        ]
    );
    assert_eq!(findings.iter().map(|finding| finding.found).collect::<Vec<_>>(), [2, 30, 1]);
    world.assert_consistent().await;
    assert_eq!(repair(&world).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_sweeps_at_once_one_does_the_work() {
    let world = World::new().await;
    let holder = "another process";
    let hour = Duration::from_secs(3600);
    assert!(world.ports.upkeep.hold_chore("sweep", holder, hour).await.expect("an answer"));
    assert!(!world.housekeeping.sweep().await.expect("no error"), "another process does it");
    world.ports.upkeep.release_chore("sweep", holder).await.expect("given back");
    assert!(world.housekeeping.sweep().await.expect("done"));
    assert!(world.housekeeping.sweep().await.expect("done"), "it was given back");
}
