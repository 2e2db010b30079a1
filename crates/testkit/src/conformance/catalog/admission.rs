//! Admission.

use std::sync::Arc;

use vectrion_core::{
    ErrorKind::NotFound,
    document::{DocumentFilter, DocumentState, Progress},
    ids::{CollectionId, UploadId},
    job::{JobPayload, JobState, Stage},
    metadata::{Metadata, MetadataValue},
    page::PageRequest,
    ports::{catalog::Admitted, jobs::JobFilter},
};

use crate::conformance::scenario::{Database, Scenario, TRACE, TRIES, metadata, pass, refused};

fn text(value: &str) -> MetadataValue {
    MetadataValue::Text(value.to_owned())
}

pub async fn an_upload_becomes_a_document_with_its_first_job<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let file = scenario.file("reports/q1", "bytes").with(metadata(&[("year", MetadataValue::Number(2024.0))]));
    let admission = scenario.begin_upload(&file).await;
    let admitted = store.admit(admission.clone()).await.expect("admitted");
    let Admitted::Created(document) = &admitted else { panic!("{admitted:?}") };

    assert_eq!(document.id, admission.document);
    assert_eq!((document.tenant, document.collection), (scenario.tenant, scenario.collection));
    assert_eq!((document.external_id.as_str(), document.filename.as_str()), ("reports/q1", "reports_q1.pdf"));
    assert_eq!((document.version_id, document.version, document.indexed_version), (admission.version_id, 1, None));
    assert_eq!((document.content_type.as_str(), document.size), ("application/pdf", 1234));
    assert_eq!(document.sha256, file.sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    assert_eq!((document.state, document.progress), (DocumentState::Uploaded, Progress::default()));
    assert_eq!((document.page_count, document.chunk_count), (0, 0));
    assert_eq!((document.title.as_ref(), document.failure.as_ref(), document.warnings.len()), (None, None, 0));
    assert_eq!(Some(&document.metadata), file.header.metadata.as_ref());
    assert_eq!(document.create_time, document.update_time);
    assert_eq!(document.revision, store.revision(scenario.tenant).await.expect("a revision"));
    assert_eq!(scenario.now(document.id).await, *document);
    assert_eq!(store.document_version(scenario.tenant, document.id, 1).await.expect("a look").as_ref(), Some(document));
    assert_eq!(store.document_version(scenario.tenant, document.id, 2).await.expect("a look"), None);

    let jobs =
        store.list_jobs(scenario.tenant, &JobFilter::default(), &PageRequest::first()).await.expect("jobs").items;
    let [job] = jobs.as_slice() else { panic!("one job: {jobs:?}") };
    assert_eq!((job.document, job.state), (document.id, JobState::Pending));
    assert_eq!(job.payload, JobPayload::ProcessV1 { version_id: admission.version_id });
    assert_eq!((job.attempts, job.max_attempts, job.interruptions), (0, TRIES, 0));
    assert_eq!((job.trace_id.as_str(), job.worker.as_ref(), job.start_time, job.end_time), (TRACE, None, None, None));
    assert_eq!(store.upload(scenario.tenant, admission.upload).await.expect("a look"), None, "the upload has ended");
    assert!(store.expired_uploads(true, 10).await.expect("a look").is_empty(), "and its row is gone");
}

pub async fn equal_bytes_change_nothing_but_metadata<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let file = scenario.file("a", "bytes").with(metadata(&[("k", text("v"))]));
    let made = scenario.admit(&file).await.document().clone();

    let plain = scenario.file("a", "bytes").named("other.pdf");
    let admission = scenario.begin_upload(&plain).await;
    let unchanged = store.admit(admission.clone()).await.expect("admitted");
    assert_eq!(unchanged, Admitted::Unchanged(made.clone()));
    assert_eq!(store.upload(scenario.tenant, admission.upload).await.expect("a look"), None, "the upload has ended");
    let left: Vec<UploadId> =
        store.expired_uploads(false, 10).await.expect("a look").into_iter().map(|upload| upload.id).collect();
    assert_eq!(left, [admission.upload], "its bytes can be found, to be removed");

    assert_eq!(scenario.admit(&file).await, Admitted::Unchanged(made.clone()), "the same metadata is no change");
    let other = metadata(&[("k", text("w"))]);
    let Admitted::Unchanged(changed) = scenario.admit(&plain.clone().with(other.clone())).await else {
        panic!("unchanged");
    };
    assert_eq!(changed.metadata, other);
    assert!(changed.revision > made.revision);
    assert_eq!((changed.version, changed.filename), (1, made.filename));
    let Admitted::Unchanged(emptied) = scenario.admit(&plain.with(Metadata::default())).await else {
        panic!("unchanged");
    };
    assert!(emptied.metadata.is_empty());
    let jobs = store.list_jobs(scenario.tenant, &JobFilter::default(), &PageRequest::first()).await.expect("jobs");
    assert_eq!(jobs.items.len(), 1, "there is nothing to process");
}

pub async fn other_bytes_make_a_version<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let first = scenario.index(&scenario.file("a", "one").with(metadata(&[("k", text("v"))])), &["text"]).await;
    pass().await;
    let admission = scenario.begin_upload(&scenario.file("a", "two").named("new name.pdf")).await;
    let admitted = store.admit(admission.clone()).await.expect("admitted");
    let Admitted::NewVersion(second) = admitted else { panic!("{admitted:?}") };
    assert_eq!((second.id, second.version, second.version_id), (first.id, 2, admission.version_id));
    assert_eq!((second.state, second.indexed_version), (DocumentState::Uploaded, Some(1)));
    assert_eq!((second.filename.as_str(), second.chunk_count), ("new name.pdf", 0));
    assert_eq!(second.metadata, first.metadata, "metadata that is not given stays");
    assert_eq!(second.create_time, first.create_time);
    assert!(second.update_time > first.update_time && second.revision > first.revision);

    let old = store.document_version(scenario.tenant, first.id, 1).await.expect("a look").expect("version 1");
    assert_eq!((old.version, old.state, old.filename), (1, DocumentState::Indexed, first.filename));
    let newest = store.document_version(scenario.tenant, first.id, 2).await.expect("a look").expect("version 2");
    assert!(newest.create_time > old.create_time, "a version has times of its own");

    let third = scenario.admit(&scenario.file("a", "one").with(metadata(&[("k", text("w"))]))).await;
    assert!(matches!(third, Admitted::NewVersion(_)), "bytes of an older version are new bytes: {third:?}");
    assert_eq!((third.document().version, &third.document().metadata), (3, &metadata(&[("k", text("w"))])));
}

pub async fn the_bytes_of_another_document_give_that_document<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let a = scenario.uploaded("a", "bytes").await;
    let other = scenario.file("b", "bytes").with(metadata(&[("k", text("v"))]));
    assert_eq!(scenario.admit(&other).await, Admitted::Duplicate(a.clone()), "unchanged, metadata included");

    let mut copy = other.clone();
    copy.header.allow_duplicate = true;
    let Admitted::Created(b) = scenario.admit(&copy).await else { panic!("created") };
    assert_ne!(b.id, a.id);
    assert_eq!(
        scenario.admit(&scenario.file("c", "bytes")).await,
        Admitted::Duplicate(a.clone()),
        "the oldest of them"
    );

    // Only a newest version counts, and only within the collection.
    scenario.uploaded("a", "newer bytes").await;
    scenario.uploaded("b", "bytes of b").await;
    assert!(matches!(scenario.admit(&scenario.file("d", "bytes")).await, Admitted::Created(_)));
    let elsewhere = CollectionId::new();
    store.create_collection(scenario.tenant, elsewhere, "elsewhere", "", "").await.expect("a collection");
    let there = scenario.file("e", "newer bytes").into_collection(elsewhere);
    assert!(matches!(scenario.admit(&there).await, Admitted::Created(_)));
    let same_name = scenario.file("a", "yet other bytes").into_collection(elsewhere);
    let Admitted::Created(same_name) = scenario.admit(&same_name).await else { panic!("created") };
    assert_ne!(same_name.id, a.id, "a name is a collection's own");
}

pub async fn a_document_that_is_being_deleted_never_matches<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let old = scenario.uploaded("a", "bytes").await;
    scenario.begin_delete(old.id).await;
    let Admitted::Created(new) = scenario.admit(&scenario.file("a", "bytes")).await else { panic!("created") };
    assert_ne!(new.id, old.id);
    assert_eq!(new.version, 1);
    scenario.begin_delete(new.id).await;
    assert!(matches!(scenario.admit(&scenario.file("b", "bytes")).await, Admitted::Created(_)));
}

pub async fn an_upload_is_admitted_once_and_not_after_its_end<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let admission = scenario.begin_upload(&scenario.file("a", "bytes")).await;
    store.admit(admission.clone()).await.expect("admitted");
    refused(store.admit(admission.clone()).await, NotFound, "UPLOAD_NOT_FOUND");

    let mut late = scenario.begin_upload(&scenario.file("b", "other bytes")).await;
    store
        .create_upload(scenario.tenant, UploadId::new(), late.version_id, late.header.clone(), false, 1)
        .await
        .map(|upload| late.upload = upload.id)
        .expect("an upload");
    pass().await;
    refused(store.admit(late.clone()).await, NotFound, "UPLOAD_NOT_FOUND");
    late.upload = UploadId::new();
    refused(store.admit(late).await, NotFound, "UPLOAD_NOT_FOUND");

    let given_up = scenario.begin_upload(&scenario.file("c", "more bytes")).await;
    let listed = store.expired_uploads(true, 10).await.expect("a look");
    assert!(listed.iter().any(|upload| upload.id == given_up.upload));
    refused(store.admit(given_up).await, NotFound, "UPLOAD_NOT_FOUND");
    let all = DocumentFilter::default();
    let listed = store.list_documents(scenario.tenant, &all, Default::default(), &PageRequest::first()).await;
    assert_eq!(listed.expect("a list").items.len(), 1, "nothing was made of them");
}

pub async fn an_upload_into_a_missing_collection_changes_nothing<S: Database>(store: Arc<S>) {
    let (a, b) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    for collection in [CollectionId::new(), b.collection] {
        let mut admission = a.begin_upload(&a.file("a", "bytes")).await;
        admission.header.collection = collection;
        refused(store.admit(admission.clone()).await, NotFound, "COLLECTION_NOT_FOUND");
        assert_eq!(store.document(a.tenant, admission.document).await.expect("a look"), None);
        assert!(store.upload(a.tenant, admission.upload).await.expect("a look").is_some(), "the upload can go on");
    }
    assert_eq!(
        store
            .claim(
                &[Stage::ProcessDocument],
                &crate::conformance::scenario::worker("w"),
                crate::conformance::scenario::LONG
            )
            .await
            .expect("a look"),
        None
    );
}

/// Admits these uploads all at once.
async fn at_once<S: Database + 'static>(
    store: &Arc<S>,
    scenario: &Scenario<'_, S>,
    files: Vec<crate::conformance::scenario::File>,
) -> Vec<Admitted> {
    let mut calls = Vec::new();
    for file in files {
        let (store, admission) = (Arc::clone(store), scenario.begin_upload(&file).await);
        calls.push(tokio::spawn(async move { store.admit(admission).await.expect("admitted") }));
    }
    let mut admitted = Vec::new();
    for call in calls {
        admitted.push(call.await.expect("no panic"));
    }
    admitted
}

pub async fn of_equal_uploads_at_once_one_makes_the_document<S: Database + 'static>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let admitted = at_once(&store, &scenario, vec![scenario.file("a", "bytes"); 8]).await;
    let created = admitted.iter().filter(|admitted| matches!(admitted, Admitted::Created(_))).count();
    let unchanged = admitted.iter().filter(|admitted| matches!(admitted, Admitted::Unchanged(_))).count();
    assert_eq!((created, unchanged), (1, 7));
    assert!(admitted.iter().all(|each| each.document().id == admitted[0].document().id));
}

pub async fn of_equal_bytes_at_once_one_makes_the_document<S: Database + 'static>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let files = (0..8).map(|i| scenario.file(&format!("name {i}"), "bytes")).collect();
    let admitted = at_once(&store, &scenario, files).await;
    let created = admitted.iter().filter(|admitted| matches!(admitted, Admitted::Created(_))).count();
    let duplicates = admitted.iter().filter(|admitted| matches!(admitted, Admitted::Duplicate(_))).count();
    assert_eq!((created, duplicates), (1, 7));
}

pub async fn different_uploads_at_once_make_a_version_each<S: Database + 'static>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let files = (0..8).map(|i| scenario.file("a", &format!("bytes {i}"))).collect();
    let admitted = at_once(&store, &scenario, files).await;
    let mut versions: Vec<u32> = admitted.iter().map(|admitted| admitted.document().version).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=8).collect::<Vec<_>>());
    assert_eq!(scenario.now(admitted[0].document().id).await.version, 8);
}
