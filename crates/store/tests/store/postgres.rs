//! On PostgreSQL.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait as _, Database, DatabaseTransaction, TransactionTrait as _};
use uuid::Uuid;
use vectrion_core::{
    Error,
    answer::{AnswerEvent, AnswerEventKind},
    document::Progress,
    ids::{AnswerId, DocumentId, KeyId, TenantId, UploadId},
    job::{JobState, Stage},
    ports::{Answers as _, Directory as _, Idempotency as _, Jobs as _, Upkeep as _, Uploads as _, answers::NewAnswer},
};
use vectrion_store::{SchemaStatus, Store, StoreSettings};
use vectrion_testkit::conformance::{
    answers::passage,
    scenario::{LONG, Scenario},
};

/// Removes a schema when a test is over.
pub(crate) struct Schema {
    name: String,
    url: String,
}

impl Drop for Schema {
    fn drop(&mut self) {
        // On a thread of its own: a test's runtime may be ending.
        let (name, url) = (self.name.clone(), self.url.clone());
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let connection = Database::connect(url).await.expect("the test's database");
                connection.execute_unprepared(&format!("DROP SCHEMA {name} CASCADE")).await.expect("dropped");
            });
        });
        removal.join().expect("the schema is dropped");
    }
}

/// A new, empty schema of the server to test on, and a URL that leads into it. None without a server.
pub(crate) async fn schema() -> Option<(String, Schema)> {
    let url = vectrion_testkit::services::address("VECTRION_TEST_POSTGRES_URL")?;
    let name = format!("test_{}", Uuid::new_v4().simple());
    let connection = Database::connect(&url).await.expect("the test's database");
    connection.execute_unprepared(&format!("CREATE SCHEMA {name}")).await.expect("a schema");
    connection.close().await.expect("closed");
    let separator = if url.contains('?') { '&' } else { '?' };
    Some((format!("{url}{separator}options=-csearch_path%3D{name}"), Schema { name, url }))
}

/// A new database. None without a server.
async fn database() -> Option<(Arc<Store>, Schema)> {
    let (url, schema) = schema().await?;
    let store = Store::connect(&url, &StoreSettings::default()).await.expect("a database");
    store.migrate().await.expect("its tables");
    Some((Arc::new(store), schema))
}

/// The same, with the outbox on.
async fn announcing() -> Option<(Arc<Store>, Schema)> {
    let (url, schema) = schema().await?;
    let settings = StoreSettings { outbox: true, ..StoreSettings::default() };
    let store = Store::connect(&url, &settings).await.expect("a database");
    store.migrate().await.expect("its tables");
    Some((Arc::new(store), schema))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_at_once_wait_for_each_other_and_all_succeed() {
    let Some((url, _schema)) = schema().await else { return };
    let migrating: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let store = Store::connect(&url, &StoreSettings::default()).await.expect("a database");
                store.migrate().await.expect("migrated").applied.len()
            })
        })
        .collect();
    let mut applied = Vec::new();
    for migration in migrating {
        applied.push(migration.await.expect("no panic"));
    }
    applied.sort_unstable();
    assert_eq!(applied[..3], [0, 0, 0], "one does it: {applied:?}");
    assert!(applied[3] > 1, "all of it: {applied:?}");
    let store = Store::connect(&url, &StoreSettings::default()).await.expect("a database");
    assert_eq!(store.schema_status().await.expect("a look"), SchemaStatus::UpToDate);
}

mod directory {
    vectrion_testkit::directory_conformance!(super::database);
}

mod catalog {
    vectrion_testkit::catalog_conformance!(super::database);
}

mod jobs {
    vectrion_testkit::jobs_conformance!(super::database);
}

mod uploads {
    vectrion_testkit::uploads_conformance!(super::database);
}

mod upkeep {
    vectrion_testkit::upkeep_conformance!(super::database);
}

mod answers {
    vectrion_testkit::answers_conformance!(super::database);
}

mod idempotency {
    vectrion_testkit::idempotency_conformance!(super::database);
}

mod outbox {
    vectrion_testkit::outbox_conformance!(super::announcing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_against_another_transaction_is_tried_again_in_its_time() {
    let Some((url, _schema)) = schema().await else { return };
    let settings = StoreSettings { lock_timeout_ms: 100, call_timeout_ms: 2_000, ..StoreSettings::default() };
    let store = Store::connect(&url, &settings).await.expect("a database");
    store.migrate().await.expect("its tables");
    let tenant = store.create_tenant(TenantId::new(), "before").await.expect("a tenant").id;
    let other = Database::connect(&url).await.expect("another client");
    let lock = async || {
        let tx = other.begin().await.expect("a transaction");
        tx.execute_unprepared("SELECT 1 FROM tenants FOR UPDATE").await.expect("locked");
        tx
    };
    let release_after = async |tx: DatabaseTransaction, time: u64| {
        tokio::time::sleep(Duration::from_millis(time)).await;
        tx.rollback().await.expect("over");
    };
    let tx = lock().await;
    let (renamed, ()) = tokio::join!(store.rename_tenant(tenant, "after"), release_after(tx, 300));
    assert_eq!(renamed.expect("it waits and tries again").name, "after");
    let tx = lock().await;
    let began = Instant::now();
    let error = store.rename_tenant(tenant, "never").await.expect_err("it takes too long");
    assert!(["TRANSACTION_CONFLICT", "DATABASE_UNAVAILABLE"].contains(&error.reason()), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    release_after(tx, 0).await;
    assert_eq!(store.rename_tenant(tenant, "again").await.expect("free").name, "again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_dropped_half_way_leaves_its_connection_to_others() {
    let Some((url, _schema)) = schema().await else { return };
    let settings = StoreSettings { max_connections: 2, acquire_timeout_ms: 5_000, ..StoreSettings::default() };
    let store = Arc::new(Store::connect(&url, &settings).await.expect("a database"));
    store.migrate().await.expect("its tables");
    let tenant = store.create_tenant(TenantId::new(), "a").await.expect("a tenant").id;
    let other = Database::connect(&url).await.expect("another client");
    let tx = other.begin().await.expect("a transaction");
    tx.execute_unprepared("SELECT 1 FROM tenants FOR UPDATE").await.expect("locked");
    for _ in 0..4 {
        let call = store.rename_tenant(tenant, "b");
        tokio::time::timeout(Duration::from_millis(100), call).await.expect_err("it waits for the lock");
    }
    // Though what was dropped still waits on the server.
    store.tenant(tenant).await.expect("a connection is free").expect("the tenant");
    tx.rollback().await.expect("over");
    assert_eq!(store.rename_tenant(tenant, "c").await.expect("free").name, "c");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upkeep_uploads_and_request_ids_do_not_wait_for_ever() {
    let Some((url, _schema)) = schema().await else { return };
    let settings = StoreSettings {
        lock_timeout_ms: 60_000,
        statement_timeout_ms: 60_000,
        call_timeout_ms: 300,
        ..StoreSettings::default()
    };
    let store = Store::connect(&url, &settings).await.expect("a database");
    store.migrate().await.expect("its tables");
    let other = Database::connect(&url).await.expect("another client");
    let tx = other.begin().await.expect("a transaction");
    tx.execute_unprepared("LOCK TABLE chores, deletions, uploads, requests IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("locked");
    let (tenant, hold_for) = (TenantId::new(), Duration::from_secs(60));
    let calls = async {
        tokio::join!(
            async { store.hold_chore("sweep", "me", hold_for).await.map(drop) },
            async { store.deletion_receipt(tenant, DocumentId::new()).await.map(drop) },
            async { store.upload(tenant, UploadId::new()).await.map(drop) },
            async { store.remove_upload(tenant, UploadId::new()).await },
            async { store.forget_request(tenant, Uuid::new_v4(), 1).await },
            async { store.renew_request(tenant, Uuid::new_v4(), 1, 1).await.map(drop) },
            async { store.purge_requests(1).await.map(drop) },
        )
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), calls).await.expect("they end");
    let ended: [Result<(), Error>; 7] = ended.into();
    for outcome in ended {
        assert_eq!(outcome.expect_err("no answer").reason(), "DATABASE_UNAVAILABLE");
    }
    tx.rollback().await.expect("over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_given_passages_while_the_document_goes_loses_them() {
    let Some((url, _schema)) = schema().await else { return };
    let settings = StoreSettings { lock_timeout_ms: 10_000, ..StoreSettings::default() };
    let store = Arc::new(Store::connect(&url, &settings).await.expect("a database"));
    store.migrate().await.expect("its tables");
    let scenario = Scenario::new(&*store).await;
    let tenant = scenario.tenant;
    let document = scenario.indexed("a", "1", &["The code is zebra."]).await;
    let id = AnswerId::new();
    let answer = NewAnswer {
        id,
        tenant,
        key: KeyId::new(),
        question: "What is the code?".to_owned(),
        history: Vec::new(),
        model: "m".to_owned(),
        prompt_version: "p1".to_owned(),
    };
    store.create_answer(answer).await.expect("an answer");
    scenario.begin_delete(document.id).await;
    let lease = scenario.claim(Stage::DeleteDocument).await;

    // Keeps the deletion from taking the document's row, and not who writes the answer.
    let other = Database::connect(&url).await.expect("another client");
    let tx = other.begin().await.expect("a transaction");
    tx.execute_unprepared("SELECT 1 FROM documents FOR KEY SHARE").await.expect("held");
    let deleting = tokio::spawn({
        let (store, lease) = (Arc::clone(&store), lease.clone());
        async move { store.finish_deletion(&lease).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let kind = AnswerEventKind::Retrieval { passages: vec![passage(&document, "The code is zebra.")] };
    store.append_events(tenant, id, vec![AnswerEvent { sequence: 1, kind }]).await.expect("events");
    tx.rollback().await.expect("over");
    deleting.await.expect("no panic").expect("deleted");

    let answer = store.answer(tenant, id).await.expect("a look").expect("the answer");
    assert!(!format!("{answer:?}").contains("zebra"), "{answer:?}");
    let receipt = store.deletion_receipt(tenant, document.id).await.expect("a look").expect("a receipt");
    assert_eq!(store.rows_left(&receipt).await.expect("a look"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_or_a_document_that_somebody_holds_keeps_no_other_from_being_taken_back() {
    for table in ["jobs", "documents"] {
        let Some((url, _schema)) = schema().await else { return };
        let settings = StoreSettings { lock_timeout_ms: 100, call_timeout_ms: 5_000, ..StoreSettings::default() };
        let store = Store::connect(&url, &settings).await.expect("a database");
        store.migrate().await.expect("its tables");
        let (held, free) = (Scenario::new(&store).await, Scenario::new(&store).await);
        held.uploaded("held", "1").await;
        held.expired(Stage::ProcessDocument).await;
        free.uploaded("free", "2").await;
        let dead = free.expired(Stage::ProcessDocument).await;
        let other = Database::connect(&url).await.expect("another client");
        let tx = other.begin().await.expect("a transaction");
        let lock = format!("SELECT 1 FROM {table} WHERE tenant_id = '{}' FOR UPDATE", held.tenant);
        tx.execute_unprepared(&lock).await.expect("locked");
        let outcome = store.reap(50).await;
        if table == "jobs" {
            assert_eq!(outcome.expect("whoever has it goes on"), 1);
        } else {
            assert_eq!(outcome.expect_err("it is told").reason(), "TRANSACTION_CONFLICT");
        }
        let job = store.job(free.tenant, dead.job.id).await.expect("a look").expect("the job");
        assert_eq!(job.state, JobState::Pending, "{table}");
        tx.rollback().await.expect("over");
        assert_eq!(store.reap(50).await.expect("it is free"), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_goes_on_while_somebody_holds_the_document_or_the_tenant() {
    for table in ["documents", "tenants"] {
        a_lease_goes_on_while_somebody_holds_a_row_of(table).await;
    }
}

async fn a_lease_goes_on_while_somebody_holds_a_row_of(table: &str) {
    let Some((url, _schema)) = schema().await else { return };
    let settings = StoreSettings { lock_timeout_ms: 60_000, call_timeout_ms: 2_000, ..StoreSettings::default() };
    let store = Store::connect(&url, &settings).await.expect("a database");
    store.migrate().await.expect("its tables");
    let scenario = Scenario::new(&store).await;
    let document = scenario.uploaded("a", "1").await.id;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    let progress = async || scenario.now(document).await.progress.pages_done;
    let beat = async |pages_done| {
        let progress = Progress { pages_total: 9, pages_done, ..Progress::default() };
        store.heartbeat(&lease, LONG * 2, Some(progress)).await.expect("the lease goes on");
    };
    let other = Database::connect(&url).await.expect("another client");
    let tx = other.begin().await.expect("a transaction");
    tx.execute_unprepared(&format!("SELECT 1 FROM {table} FOR UPDATE")).await.expect("locked");
    beat(1).await;
    let job = store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job");
    assert!(job.lease_expire_time > lease.job.lease_expire_time);
    assert_eq!(progress().await, 0, "not noted this time");
    tx.rollback().await.expect("over");
    beat(2).await;
    assert_eq!(progress().await, 2);
}
