//! The stages: tries, leases, faults.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::stream;
use vectrion_core::{
    Error, ErrorKind,
    document::DocumentState,
    ids::{ChunkId, VersionId},
    job::{JobState, Stage},
    page::PageRequest,
    ports::{jobs::JobFilter, objects::ObjectKey, vectors::Point},
};
use vectrion_pipeline::stages::Claimed;
use vectrion_testkit::fakes::Fault;

use super::world::{LEASE, World, paragraphs};

fn down() -> Fault {
    Fault::Error(Error::unavailable("PARSER_BUSY", "no process could be started"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_error_is_tried_again() {
    let world = World::new().await;
    world.parser.faults.push(down());
    world.parser.faults.push(down());
    let view = world.ingest("a.txt", &paragraphs(3)).await;
    assert_eq!(view.document.state, DocumentState::Indexed);
    let filter = JobFilter { stages: vec![Stage::ProcessDocument], ..JobFilter::default() };
    let jobs = world.ports.jobs.list_jobs(world.tenant, &filter, &PageRequest::first()).await.expect("jobs").items;
    assert_eq!((jobs.len(), jobs[0].attempts, jobs[0].state), (1, 3, JobState::Succeeded));
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_try_ends_in_a_dead_letter_that_can_be_replayed() {
    let world = World::new().await;
    for _ in 0..3 {
        world.parser.faults.push(down());
    }
    let view = world.ingest("a.txt", "text").await;
    assert_eq!(view.document.state, DocumentState::Failed);
    let failure = view.document.failure.clone().expect("a failure");
    assert_eq!((failure.stage.as_str(), failure.reason.as_str()), ("process_document", "PARSER_BUSY"));
    assert_eq!(failure.attempts, 3);
    let letters = world
        .ports
        .jobs
        .list_dead_letters(world.tenant, &Default::default(), &PageRequest::first())
        .await
        .expect("letters");
    let letter = &letters.items[0];
    assert_eq!((letter.stage, letter.reason.as_str(), letter.attempts), (Stage::ProcessDocument, "PARSER_BUSY", 3));
    assert_eq!(letter.trace_id, world.context().trace_id);

    world.ingestion.retry_document(&world.context(), view.document.id).await.expect("a retry");
    world.work().await;
    let view = world.document(&view.document).await;
    assert_eq!((view.document.state, view.document.failure), (DocumentState::Indexed, None));
    let error = world.ingestion.retry_document(&world.context(), view.document.id).await.expect_err("indexed");
    assert_eq!(error.reason(), "DOCUMENT_NOT_FAILED");
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_error_is_not_tried_again() {
    let world = World::new().await;
    let locked = Error::precondition("PDF_PASSWORD_REQUIRED", "the file needs a password; remove it and upload again");
    world.parser.faults.push(Fault::Error(locked));
    let view = world.ingest("a.txt", "text").await;
    let failure = view.document.failure.expect("a failure");
    assert_eq!((failure.reason.as_str(), failure.attempts), ("PDF_PASSWORD_REQUIRED", 1));
    assert_eq!(failure.message, "the file needs a password; remove it and upload again");
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_costs_a_try_and_not_the_loop() {
    let world = World::new().await;
    world.parser.faults.push(Fault::Panic);
    world.embedder.faults.push(Fault::Panic);
    let view = world.ingest("a.txt", "text").await;
    assert_eq!(view.document.state, DocumentState::Indexed);
    assert_eq!((world.parser.faults.left(), world.embedder.faults.left()), (0, 0));
    for _ in 0..3 {
        world.parser.faults.push(Fault::Panic);
    }
    let view = world.ingest("b.txt", "other text").await;
    assert_eq!(view.document.failure.expect("a failure").reason, "STAGE_PANICKED");
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_text_fails_with_a_reason() {
    let world = World::new().await;
    let view = world.ingest("a.txt", " \n\n \n").await;
    assert_eq!(view.document.failure.expect("a failure").reason, "NO_TEXT");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_keep_the_model_busy_and_a_hiccup_costs_one_batch() {
    let world = World::new().await;
    world.embedder.faults.push(Fault::None);
    world.embedder.faults.push(Fault::Error(Error::unavailable("MODEL_UNAVAILABLE", "down for a moment")));
    let view = world.ingest("a.txt", &paragraphs(600)).await;
    assert_eq!((view.document.chunk_count, view.vector_count), (600, 600));
    let batches = world.embedder.batches();
    assert_eq!((batches.len(), batches.iter().sum::<usize>()), (150, 600), "each passage is embedded once");
    let filter = JobFilter { stages: vec![Stage::EmbedDocument], ..JobFilter::default() };
    let jobs = world.ports.jobs.list_jobs(world.tenant, &filter, &PageRequest::first()).await.expect("jobs").items;
    assert_eq!(jobs[0].attempts, 1);
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_try_embeds_what_an_earlier_one_left() {
    let world = World::new().await;
    for _ in 0..200 {
        world.embedder.faults.push(Fault::None);
    }
    // Two batches are with the model, and three failures in a row end the try.
    for _ in 0..6 {
        world.embedder.faults.push(Fault::Error(Error::unavailable("MODEL_UNAVAILABLE", "down for long")));
    }
    let view = world.ingest("a.txt", &paragraphs(900)).await;
    assert_eq!((view.document.chunk_count, view.vector_count), (900, 900));
    let filter = JobFilter { stages: vec![Stage::EmbedDocument], ..JobFilter::default() };
    let jobs = world.ports.jobs.list_jobs(world.tenant, &filter, &PageRequest::first()).await.expect("jobs").items;
    assert_eq!(jobs[0].attempts, 2);
    let embedded: usize = world.embedder.batches().iter().sum();
    // 800 passages were embedded before the fault, and all but the last that were not yet written stay.
    assert!((900..1100).contains(&embedded), "{embedded}");
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_of_anything_else_are_replaced() {
    let world = World::new().await;
    let (view, _) = world.upload("a.txt", &paragraphs(40)).await.expect("an upload");
    assert!(world.step().await, "processed");
    let document = world.document(&view.document).await.document;
    let left_over = Point {
        id: ChunkId::derive(document.version_id, 77, b"of another chunking", "other"),
        document: document.id,
        version_id: document.version_id,
        collection: document.collection,
        dense: vec![1.0 / 8.0; 64],
        text: "left over".to_owned(),
    };
    let scope = world.ports.vector_scope(world.tenant);
    world.ports.vectors.upsert(&scope, vec![left_over]).await.expect("a point");
    world.work().await;
    assert_eq!(world.document(&document).await.vector_count, 40);
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_object_is_never_indexed() {
    let world = World::new().await;
    let (damaged, _) = world.upload("a.txt", "as it was uploaded").await.expect("an upload");
    let (missing, _) = world.upload("b.txt", "as it was uploaded, too").await.expect("an upload");
    let key = |version: VersionId| ObjectKey::original(world.tenant, version);
    let other = Box::pin(stream::iter([Ok("not as it was uploaded".into())]));
    world.ports.objects.put(&key(damaged.document.version_id), other).await.expect("damage");
    world.ports.objects.delete(&key(missing.document.version_id)).await.expect("loss");
    world.work().await;
    for (document, reason) in [(damaged.document, "OBJECT_CORRUPT"), (missing.document, "OBJECT_MISSING")] {
        let document = world.document(&document).await.document;
        assert_eq!(
            (document.state, document.failure.expect("a failure").reason.as_str()),
            (DocumentState::Failed, reason)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_job_keeps_its_lease_and_shows_its_progress() {
    let world = Arc::new(World::new().await);
    world.parser.faults.push(Fault::Delay(Duration::from_millis(1800)));
    let (view, _) = world.upload("a.txt", "one\u{c}two\u{c}three").await.expect("an upload");
    let lease_for = Duration::from_millis(900);
    let lease = world.claim(lease_for).await.expect("a job");
    let work = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.run(&lease, lease_for).await }
    });
    let mut seen = 0;
    while !work.is_finished() {
        assert_eq!(world.ports.jobs.reap(50).await.expect("a look"), 0, "the lease is kept");
        seen = seen.max(world.document(&view.document).await.document.progress.pages_total);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    work.await.expect("no panic").expect("committed");
    assert_eq!(seen, 3, "the pages were known before the end");
    world.work().await;
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_lease_stops_and_writes_nothing() {
    let world = Arc::new(World::new().await);
    world.parser.faults.push(Fault::Hang);
    let (view, _) = world.upload("a.txt", "text").await.expect("an upload");
    let lease_for = Duration::from_millis(600);
    let lease = world.claim(lease_for).await.expect("a job");
    let work = tokio::spawn({
        let (world, lease) = (Arc::clone(&world), lease.clone());
        async move { world.run(&lease, lease_for).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.ports.jobs.reap_all(50).await.expect("taken back"), 1);
    let second = world.claim(LEASE).await.expect("the same job");
    assert_eq!(second.job.id, lease.job.id);
    let ended = tokio::time::timeout(Duration::from_secs(5), work).await.expect("it stops at once");
    ended.expect("no panic").expect("not an error: the job is in other hands");

    world.run(&second, LEASE).await.expect("committed");
    world.work().await;
    let view = world.document(&view.document).await;
    assert_eq!(view.document.state, DocumentState::Indexed);
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_document_is_embedded_at_once_and_a_long_one_waits_for_its_turn() {
    let world = World::new().await;
    let (short, _) = world.upload("a.txt", &paragraphs(2)).await.expect("an upload");
    assert!(world.step().await);
    assert_eq!(world.document(&short.document).await.document.state, DocumentState::Indexed);
    let (long, _) = world.upload("b.txt", &paragraphs(60)).await.expect("an upload");
    assert!(world.step().await);
    assert_eq!(world.document(&long.document).await.document.state, DocumentState::Processed);
    world.work().await;
    assert_eq!(world.document(&long.document).await.document.state, DocumentState::Indexed);
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_claimed_with_a_commit_is_a_job_like_any_other() {
    let world = World::new().await;
    let (view, _) = world.upload("a.txt", "text").await.expect("an upload");
    let lease = world.claim(LEASE).await.expect("a job");
    let claimed = Claimed { lease, since: Instant::now() };
    let next = world.stages.run(&claimed, LEASE, 0.0, || Some("here")).await.expect("committed");
    let (next, place) = next.expect("what follows");
    assert_eq!((place, next.lease.job.payload.stage()), ("here", Stage::EmbedDocument));
    assert!(next.since >= claimed.since);
    world.stages.release(&next.lease).await.expect("given back");
    let again = world.claim(LEASE).await.expect("at once");
    assert_eq!((again.job.id, again.job.attempts), (next.lease.job.id, 1));
    world.run(&again, LEASE).await.expect("committed");
    assert_eq!(world.document(&view.document).await.document.state, DocumentState::Indexed);

    let (view, _) = world.upload("b.txt", "other text").await.expect("an upload");
    let lease = world.claim(LEASE).await.expect("a job");
    let claimed = Claimed { lease, since: Instant::now() };
    let next = world.stages.run(&claimed, LEASE, 0.0, || None::<()>).await.expect("committed");
    assert!(next.is_none(), "there is no place");
    assert_eq!(world.document(&view.document).await.document.state, DocumentState::Processed);
    world.work().await;
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_given_back_is_not_a_try() {
    let world = World::new().await;
    world.parser.faults.push(Fault::Hang);
    let (view, _) = world.upload("a.txt", "text").await.expect("an upload");
    let lease = world.claim(LEASE).await.expect("a job");
    let run = world.run(&lease, LEASE);
    tokio::time::timeout(Duration::from_millis(200), run).await.expect_err("it hangs");
    world.stages.release(&lease).await.expect("given back");
    let again = world.claim(LEASE).await.expect("at once");
    assert_eq!((again.job.id, again.job.attempts), (lease.job.id, 1));
    world.run(&again, LEASE).await.expect("committed");
    world.work().await;
    assert_eq!(world.document(&view.document).await.document.state, DocumentState::Indexed);
    world.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_puts_a_job_off_without_costing_tries() {
    let world = World::new().await;
    let full = || Fault::Error(Error::new(ErrorKind::ResourceExhausted, "STORAGE_FULL", "there is no room"));
    world.parser.faults.push(full());
    world.upload("a.txt", "text").await.expect("an upload");
    assert!(world.step().await);
    let jobs =
        world.ports.jobs.list_jobs(world.tenant, &JobFilter::default(), &PageRequest::first()).await.expect("jobs");
    let job = &jobs.items[0];
    assert_eq!((job.state, job.attempts), (JobState::Pending, 0));
    assert!(job.last_error.as_ref().expect("why").contains("STORAGE_FULL"), "{:?}", job.last_error);
    let wait = world.ports.jobs.next_ready_in(&[Stage::ProcessDocument]).await.expect("a look").expect("delayed");
    assert!(wait > Duration::from_secs(2), "{wait:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_away_costs_no_tries_and_one_that_fails_at_a_document_does() {
    let asked = Duration::from_secs(120);
    let refused = || Error::precondition("EMBEDDER_REFUSED", "the key was rotated");
    let limited =
        || Error::new(ErrorKind::ResourceExhausted, "EMBEDDER_RATE_LIMITED", "slow down").with_retry_after(asked);
    for (away, error) in
        [(true, &refused as &dyn Fn() -> Error), (true, &limited), (false, &refused), (false, &limited)]
    {
        let world = World::new().await;
        world.embedder.faults.push(Fault::Error(error()));
        if away {
            world.embedder.question_faults.push(Fault::Error(error()));
        }
        world.upload("a.txt", &paragraphs(2)).await.expect("an upload");
        assert!(world.step().await, "processed, and tried");
        let filter = JobFilter { stages: vec![Stage::EmbedDocument], ..JobFilter::default() };
        let jobs = world.ports.jobs.list_jobs(world.tenant, &filter, &PageRequest::first()).await.expect("jobs").items;
        let [job] = jobs.as_slice() else { panic!("one job: {jobs:?}") };
        let expected = if away || error().is_transient() { JobState::Pending } else { JobState::Failed };
        assert_eq!((job.state, job.attempts), (expected, u32::from(!away)), "{job:?}");
        if error().retry_after().is_some() {
            assert!(job.run_time.since(job.create_time) >= asked, "it waits as long as it was asked to: {job:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_failed_half_way_leaves_nothing_when_a_higher_one_is_indexed() {
    let world = World::new().await;
    world.ingest("a.txt", &paragraphs(2)).await;
    // Of the second version some points are written before the model refuses.
    for _ in 0..40 {
        world.embedder.faults.push(Fault::None);
    }
    world.embedder.faults.push(Fault::Error(Error::precondition("EMBEDDER_REFUSED", "no")));
    let failed = world.ingest("a.txt", &paragraphs(300)).await;
    assert_eq!(failed.document.state, DocumentState::Failed);
    assert!(failed.vector_count > 0, "the case is the one meant");

    let view = world.ingest("a.txt", &paragraphs(4)).await;
    assert_eq!((view.document.version, view.document.indexed_version), (3, Some(3)));
    world.assert_consistent().await;
    let left = world.ingestion.list_chunks(&world.context(), view.document.id, Some(2), &PageRequest::first()).await;
    assert_eq!(left.expect("a list").items, [], "its chunks go, too");

    // Its dead letter can still be replayed, and finds that there is nothing to do any more.
    let letters = world
        .ports
        .jobs
        .list_dead_letters(world.tenant, &Default::default(), &PageRequest::first())
        .await
        .expect("letters");
    let [letter] = letters.items.as_slice() else { panic!("one: {letters:?}") };
    let trace = world.context().trace_id;
    world.ports.jobs.replay_dead_letter(world.tenant, letter.id, &trace).await.expect("a replay");
    world.work().await;
    let old = world.ports.catalog.document_version(world.tenant, view.document.id, 2).await.expect("a look");
    assert_eq!(old.and_then(|old| old.failure).expect("a failure").reason, "SUPERSEDED");
    world.assert_consistent().await;
}
