//! On PostgreSQL.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait as _, Database, DatabaseTransaction, TransactionTrait as _};
use uuid::Uuid;
use vectrion_core::{ids::TenantId, ports::Directory as _};
use vectrion_store::{SchemaStatus, Store, StoreSettings};

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
    let url = std::env::var("VECTRION_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty())?;
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
