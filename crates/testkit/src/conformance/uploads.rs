//! Conformance of [`Uploads`](vectrion_core::ports::Uploads).

#![expect(missing_docs, reason = "a case is named by the promise that it checks")]

use std::{sync::Arc, time::Duration};

use vectrion_core::{
    ErrorKind::{Aborted, NotFound},
    document::{ExternalId, Filename},
    ids::{CollectionId, TenantId, UploadId, VersionId},
    metadata::{Metadata, MetadataValue},
    ports::{
        catalog::Admission,
        uploads::{CompletedUpload, UploadHeader, UploadOutcome, UploadTurn},
    },
};

use super::scenario::{Database, Scenario, metadata, pass, refused};

const TTL_MS: i64 = 600_000;

/// Makes a test of each promise. `$make` names an async function that gives a new database and whatever keeps it alive.
#[macro_export]
macro_rules! uploads_conformance {
    ($make:path) => {
        $crate::conformance_tests!($make, uploads: [
            what_the_caller_said_comes_back,
            bytes_advance_from_where_they_are,
            of_calls_at_once_one_advances,
            an_expired_upload_is_missing,
            bytes_put_off_the_expiry,
            a_removed_upload_is_missing,
            what_a_dead_process_left_over_is_found,
            another_tenants_uploads_are_missing,
            one_call_at_a_time_ends_an_upload,
            of_claims_at_once_one_is_taken,
            a_claim_that_ran_out_is_taken_over_and_takes_no_more_bytes,
            a_late_call_neither_keeps_nor_expires_nor_admits,
            what_became_of_an_upload_is_kept_for_a_while,
        ]);
    };
}

fn header() -> UploadHeader {
    UploadHeader {
        collection: CollectionId::new(),
        external_id: ExternalId::new("/home/é/report 1.pdf").expect("an external id"),
        filename: Filename::new("report 1.pdf").expect("a file name"),
        size: Some(12_345_678_901),
        sha256: Some([200; 32]),
        metadata: Some(metadata(&[("tags", MetadataValue::List(vec![MetadataValue::Text("x".into())]))])),
        allow_duplicate: true,
    }
}

async fn begun<S: Database>(store: &S, tenant: TenantId, ttl_ms: i64) -> UploadId {
    let id = UploadId::new();
    store.create_upload(tenant, id, VersionId::new(), header(), false, ttl_ms).await.expect("an upload").id
}

pub async fn what_the_caller_said_comes_back<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let least = UploadHeader { size: None, sha256: None, metadata: None, allow_duplicate: false, ..header() };
    let emptied = UploadHeader { metadata: Some(Metadata::default()), ..header() };
    for (header, one_call) in [(header(), true), (least, false), (emptied, false)] {
        let (id, version_id) = (UploadId::new(), VersionId::new());
        let made =
            store.create_upload(tenant, id, version_id, header.clone(), one_call, TTL_MS).await.expect("an upload");
        assert_eq!((made.id, made.tenant, made.version_id), (id, tenant, version_id));
        assert_eq!((&made.header, made.committed, made.one_call), (&header, 0, one_call));
        assert_eq!(made.expire_time, made.create_time.plus(Duration::from_millis(600_000)));
        assert_eq!(store.upload(tenant, id).await.expect("a look"), Some(made));
    }
    assert_eq!(store.upload(tenant, UploadId::new()).await.expect("a look"), None);
}

pub async fn bytes_advance_from_where_they_are<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = begun(&*store, tenant, TTL_MS).await;
    store.advance_upload(tenant, id, 0, 100, TTL_MS).await.expect("advanced");
    refused(store.advance_upload(tenant, id, 0, 100, TTL_MS).await, Aborted, "UPLOAD_CONFLICT");
    refused(store.advance_upload(tenant, id, 99, 200, TTL_MS).await, Aborted, "UPLOAD_CONFLICT");
    store.advance_upload(tenant, id, 100, 8_000_000_000, TTL_MS).await.expect("advanced");
    assert_eq!(store.upload(tenant, id).await.expect("a look").expect("it").committed, 8_000_000_000);
    refused(store.advance_upload(tenant, UploadId::new(), 0, 1, TTL_MS).await, NotFound, "UPLOAD_NOT_FOUND");
}

pub async fn of_calls_at_once_one_advances<S: Database + 'static>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = begun(&*store, tenant, TTL_MS).await;
    let calls: Vec<_> = (1..=8)
        .map(|to| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.advance_upload(tenant, id, 0, to, TTL_MS).await.map(|()| to) })
        })
        .collect();
    let mut won = Vec::new();
    for call in calls {
        match call.await.expect("no panic") {
            Ok(to) => won.push(to),
            Err(error) => assert_eq!(error.reason(), "UPLOAD_CONFLICT", "{error:?}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(store.upload(tenant, id).await.expect("a look").expect("it").committed, won[0]);
}

pub async fn an_expired_upload_is_missing<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = begun(&*store, tenant, 1).await;
    let alive = begun(&*store, tenant, TTL_MS).await;
    pass().await;
    assert_eq!(store.upload(tenant, id).await.expect("a look"), None);
    refused(store.advance_upload(tenant, id, 0, 1, TTL_MS).await, NotFound, "UPLOAD_NOT_FOUND");
    // What is locked is left for the next look, and a refused call lets go of its lock when its connection is given back.
    let mut expired = Vec::new();
    for _ in 0..200 {
        expired = store.expired_uploads(false, 10).await.expect("a list");
        if !expired.is_empty() {
            break;
        }
        pass().await;
    }
    assert_eq!(expired.iter().map(|upload| upload.id).collect::<Vec<_>>(), [id], "{alive} is not");
    let expected = UploadHeader { collection: expired[0].header.collection, ..header() };
    assert_eq!((&expired[0].header, expired[0].tenant), (&expected, tenant));
    begun(&*store, tenant, 1).await;
    begun(&*store, tenant, 1).await;
    pass().await;
    assert_eq!(store.expired_uploads(false, 2).await.expect("a list").len(), 2);
    assert_eq!(store.expired_uploads(false, 10).await.expect("a list").len(), 3, "they stay until they are removed");
}

pub async fn bytes_put_off_the_expiry<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = begun(&*store, tenant, 60_000).await;
    let before = store.upload(tenant, id).await.expect("a look").expect("it").expire_time;
    store.advance_upload(tenant, id, 0, 1, TTL_MS).await.expect("advanced");
    let after = store.upload(tenant, id).await.expect("a look").expect("it").expire_time;
    assert!(after.since(before) > Duration::from_secs(500), "{before:?} {after:?}");
}

pub async fn a_removed_upload_is_missing<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = begun(&*store, tenant, TTL_MS).await;
    store.remove_upload(tenant, id).await.expect("removed");
    assert_eq!(store.upload(tenant, id).await.expect("a look"), None);
    store.remove_upload(tenant, id).await.expect("a missing one is no error");
    let expired = begun(&*store, tenant, 1).await;
    pass().await;
    store.remove_upload(tenant, expired).await.expect("removed");
    assert!(store.expired_uploads(true, 10).await.expect("a list").is_empty());
}

pub async fn what_a_dead_process_left_over_is_found<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let in_pieces = begun(&*store, tenant, TTL_MS).await;
    let one_call = UploadId::new();
    store.create_upload(tenant, one_call, VersionId::new(), header(), true, TTL_MS).await.expect("an upload");
    taken(&*store, tenant, in_pieces, CLAIM_MS).await;
    assert!(store.expired_uploads(false, 10).await.expect("a list").is_empty());
    let left_over = store.expired_uploads(true, 10).await.expect("a list");
    assert_eq!(left_over.iter().map(|upload| upload.id).collect::<Vec<_>>(), [one_call]);
    store.advance_upload(tenant, in_pieces, 0, 1, TTL_MS).await.expect("this one can go on");
    taken(&*store, tenant, in_pieces, CLAIM_MS).await;
    assert_eq!(store.upload(tenant, one_call).await.expect("a look"), None, "this one cannot");
}

pub async fn another_tenants_uploads_are_missing<S: Database>(store: Arc<S>) {
    let (mine, theirs) = (Scenario::new(&*store).await.tenant, Scenario::new(&*store).await.tenant);
    let id = begun(&*store, theirs, TTL_MS).await;
    assert_eq!(store.upload(mine, id).await.expect("a look"), None);
    refused(store.advance_upload(mine, id, 0, 1, TTL_MS).await, NotFound, "UPLOAD_NOT_FOUND");
    store.remove_upload(mine, id).await.expect("no error");
    assert_eq!(store.upload(theirs, id).await.expect("a look").expect("it").committed, 0, "nothing was changed");
}

const CLAIM_MS: i64 = 60_000;

async fn claim<S: Database>(store: &S, tenant: TenantId, id: UploadId, claim_ms: i64) -> UploadTurn {
    store.claim_upload(tenant, id, claim_ms, TTL_MS).await.expect("a turn")
}

async fn taken<S: Database>(store: &S, tenant: TenantId, id: UploadId, claim_ms: i64) -> i64 {
    match claim(store, tenant, id, claim_ms).await {
        UploadTurn::Taken { upload, token } => {
            assert_eq!(upload.id, id);
            token
        }
        other => panic!("not taken: {other:?}"),
    }
}

pub async fn one_call_at_a_time_ends_an_upload<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = begun(&*store, tenant, 60_000).await;
    store.advance_upload(tenant, id, 0, 10, 60_000).await.expect("advanced");
    let first = taken(&*store, tenant, id, CLAIM_MS).await;
    let upload = store.upload(tenant, id).await.expect("a look").expect("it");
    assert!(upload.expire_time.since(upload.create_time) > Duration::from_secs(500), "it does not expire meanwhile");
    assert_eq!(claim(&*store, tenant, id, CLAIM_MS).await, UploadTurn::Busy);
    refused(store.advance_upload(tenant, id, 10, 20, TTL_MS).await, Aborted, "UPLOAD_CONFLICT");
    store.renew_upload_claim(tenant, id, first, CLAIM_MS).await.expect("renewed");
    store.release_upload_claim(tenant, id, first).await.expect("given back");
    store.advance_upload(tenant, id, 10, 20, TTL_MS).await.expect("it goes on");
    let second = taken(&*store, tenant, id, CLAIM_MS).await;
    assert!(second > first);
    store.release_upload_claim(tenant, id, first).await.expect("a lost one is no error");
    assert_eq!(claim(&*store, tenant, id, CLAIM_MS).await, UploadTurn::Busy, "and changes nothing");

    let one_call = UploadId::new();
    store.create_upload(tenant, one_call, VersionId::new(), header(), true, TTL_MS).await.expect("an upload");
    let other = Scenario::new(&*store).await.tenant;
    for (tenant, id) in [(tenant, one_call), (tenant, UploadId::new()), (other, id)] {
        refused(store.claim_upload(tenant, id, CLAIM_MS, TTL_MS).await, NotFound, "UPLOAD_NOT_FOUND");
    }
    assert!(store.expire_upload(tenant, one_call, 0).await.expect("expired"));
    assert!(!store.expire_upload(tenant, one_call, 0).await.expect("no error"), "it has already");
}

pub async fn of_claims_at_once_one_is_taken<S: Database + 'static>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = begun(&*store, tenant, TTL_MS).await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { claim(&*store, tenant, id, CLAIM_MS).await })
        })
        .collect();
    let mut won = 0;
    for call in calls {
        match call.await.expect("no panic") {
            UploadTurn::Taken { .. } => won += 1,
            other => assert_eq!(other, UploadTurn::Busy),
        }
    }
    assert_eq!(won, 1);
}

pub async fn a_claim_that_ran_out_is_taken_over_and_takes_no_more_bytes<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = begun(&*store, tenant, TTL_MS).await;
    let late = taken(&*store, tenant, id, 1).await;
    pass().await;
    refused(store.advance_upload(tenant, id, 0, 20, TTL_MS).await, Aborted, "UPLOAD_CONFLICT");
    let next = taken(&*store, tenant, id, CLAIM_MS).await;
    assert!(next > late);
    store.release_upload_claim(tenant, id, next).await.expect("given back");
    store.advance_upload(tenant, id, 0, 20, TTL_MS).await.expect("it goes on");
}

pub async fn a_late_call_neither_keeps_nor_expires_nor_admits<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let (tenant, file) = (scenario.tenant, scenario.file("a", "1"));
    let id = begun(&*store, tenant, TTL_MS).await;
    let late = taken(&*store, tenant, id, 1).await;
    pass().await;
    store.renew_upload_claim(tenant, id, late, 1).await.expect("nobody has taken it");
    pass().await;
    let next = taken(&*store, tenant, id, CLAIM_MS).await;
    refused(store.renew_upload_claim(tenant, id, late, CLAIM_MS).await, Aborted, "UPLOAD_CLAIM_LOST");
    assert!(!store.expire_upload(tenant, id, late).await.expect("no error"));
    let version_id = store.upload(tenant, id).await.expect("a look").expect("it is still there").version_id;
    let admission = Admission { upload: id, version_id, claim: late, ..scenario.begin_upload(&file).await };
    refused(store.admit(admission.clone()).await, Aborted, "UPLOAD_CLAIM_LOST");
    assert!(store.upload(tenant, id).await.expect("a look").is_some());

    let admitted = store.admit(Admission { claim: next, ..admission.clone() }).await.expect("admitted");
    refused(store.renew_upload_claim(tenant, id, next, CLAIM_MS).await, Aborted, "UPLOAD_CLAIM_LOST");
    refused(store.admit(Admission { claim: next, ..admission }).await, NotFound, "UPLOAD_NOT_FOUND");
    let expected = CompletedUpload { document: admitted.document().id, version: 1, outcome: UploadOutcome::Created };
    assert_eq!(claim(&*store, tenant, id, CLAIM_MS).await, UploadTurn::Completed(expected));
}

pub async fn what_became_of_an_upload_is_kept_for_a_while<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let tenant = scenario.tenant;
    let document = scenario.uploaded("a", "1").await;
    let mut ids = Vec::new();
    for (name, content, version, outcome) in [
        ("a", "1", 1, UploadOutcome::Unchanged),
        ("b", "1", 1, UploadOutcome::Duplicate),
        ("a", "2", 2, UploadOutcome::NewVersion),
    ] {
        let id = begun(&*store, tenant, TTL_MS).await;
        let claim_token = taken(&*store, tenant, id, CLAIM_MS).await;
        let begun = scenario.begin_upload(&scenario.file(name, content)).await;
        let admission = Admission { upload: id, version_id: VersionId::new(), claim: claim_token, ..begun };
        store.admit(admission).await.expect("admitted");
        let completed = CompletedUpload { document: document.id, version, outcome };
        assert_eq!(claim(&*store, tenant, id, CLAIM_MS).await, UploadTurn::Completed(completed));
        ids.push(id);
    }
    let other = Scenario::new(&*store).await.tenant;
    refused(store.claim_upload(other, ids[0], CLAIM_MS, TTL_MS).await, NotFound, "UPLOAD_NOT_FOUND");
    assert_eq!(store.purge_completed_uploads(3_600_000).await.expect("purged"), 0);
    pass().await;
    assert_eq!(store.purge_completed_uploads(0).await.expect("purged"), 3);
    refused(store.claim_upload(tenant, ids[0], CLAIM_MS, TTL_MS).await, NotFound, "UPLOAD_NOT_FOUND");
}
