//! Connections to SQLite when something is wrong.

use std::time::Duration;

use vectrion_core::{ErrorKind, ids::TenantId, ports::Directory as _};

use super::*;
use crate::test_database::{database, url};

async fn refused(url: &str) -> Error {
    // A server that refuses connections is asked again until then.
    let settings = StoreSettings { acquire_timeout_ms: 500, ..Default::default() };
    Store::connect(url, &settings).await.expect_err(url)
}

#[tokio::test]
async fn a_wrong_url_is_refused_without_being_repeated() {
    for url in
        ["mysql://root:secret@host/db", "secret", "sqlite::memory:", "sqlite://x?mode=memory", "postgres://a:secret@[/"]
    {
        let error = refused(url).await;
        assert_eq!(error.reason(), "DATABASE_URL_INVALID", "{url}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
    let error = refused("sqlite:///no/such/directory/vectrion.db").await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "DATABASE_UNAVAILABLE"));
    let error = refused("postgres://nobody:secret@127.0.0.1:1/none").await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "DATABASE_UNAVAILABLE"));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_damaged() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("vectrion.db"), "no database ".repeat(1000)).expect("written");
    let error = refused(&url(&directory)).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::DataLoss, "DATABASE_CORRUPT"));
}

#[tokio::test]
async fn the_file_is_its_owners_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let (store, directory) = database().await;
    store.create_tenant(TenantId::new(), "a").await.expect("a tenant");
    for entry in std::fs::read_dir(directory.path()).expect("a directory") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its mode").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn settings_hold_on_every_connection() {
    let (store, _directory) = database().await;
    let pragma = async |connection: &DatabaseConnection, name: &str| -> String {
        let value = sql::across_tenants(format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"), []);
        value.scalar(connection).await.expect("a value").expect("a row")
    };
    assert_eq!(pragma(store.writer(), "journal_mode").await, "wal");
    assert_eq!(pragma(store.writer(), "synchronous").await, "2", "FULL");
    assert_eq!(pragma(store.writer(), "secure_delete").await, "1");
    assert_eq!(pragma(store.writer(), "foreign_keys").await, "1");
    assert_eq!(pragma(store.reader(), "query_only").await, "1");
    let write = sql::across_tenants("DELETE FROM workers", []).execute(store.reader()).await;
    let error = Error::from(Failure::from(write.expect_err("readers do not write")));
    assert_eq!(error.reason(), "DATABASE_READ_ONLY");
}

#[tokio::test]
async fn another_process_on_the_file_is_told_clearly() {
    let (store, directory) = database().await;
    let settings = StoreSettings { busy_timeout_ms: 50, ..Default::default() };
    let second = Store::connect(&url(&directory), &settings).await.expect("connected");
    let holding = store.begin().await.expect("a transaction");
    let error = second.create_tenant(TenantId::new(), "x").await.expect_err("locked");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "DATABASE_BUSY"));
    assert!(error.message().contains("another process"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
    drop(holding);
    second.create_tenant(TenantId::new(), "x").await.expect("it recovers by itself");
}

#[tokio::test]
async fn a_full_disk_is_told_and_recovered_from() {
    let (store, _directory) = database().await;
    let create = async |name: String| store.create_tenant(TenantId::new(), &name).await;
    for round in 0..3 {
        // The smallest that SQLite allows is the size that the file has: there is no room for another page.
        store.writer().execute_unprepared("PRAGMA max_page_count = 1").await.expect("a limit");
        let error = create(format!("{round} {}", "x".repeat(20_000))).await.expect_err("full");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::ResourceExhausted, "STORAGE_FULL"), "{error:?}");
        store.check().await.expect("reads go on");
        // SQLite has ended the transaction by itself, so the connection is not used again; the limit went with it.
        let limit: Option<i64> =
            sql::across_tenants("PRAGMA max_page_count", []).scalar(store.writer()).await.expect("a look");
        assert!(limit > Some(1_000_000), "{limit:?}");
        let tenant = create(format!("room again {round}")).await.expect("it recovers by itself");
        assert_eq!(store.tenant(tenant.id).await.expect("a look"), Some(tenant));
    }
}

#[tokio::test]
async fn a_dropped_call_changes_nothing_and_blocks_nothing() {
    let (store, _directory) = database().await;
    for i in 0..30 {
        let name = format!("tenant {i}");
        let call = store.create_tenant(TenantId::new(), &name);
        // Given up at ever later moments.
        let _ = tokio::time::timeout(Duration::from_micros(150 * i), call).await;
        store.create_tenant(TenantId::new(), &format!("next {i}")).await.expect("the next call works");
        let tenant = store.tenant_by_name(&name).await.expect("a look");
        if let Some(tenant) = tenant {
            let collection = store.collection_by_name(tenant.id, "default").await.expect("a look");
            assert!(collection.is_some(), "all of it or nothing");
        }
    }
}

#[tokio::test]
async fn callers_that_wait_too_long_for_the_writer_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = StoreSettings { acquire_timeout_ms: 1500, ..Default::default() };
    let store = Store::connect(&url(&directory), &settings).await.expect("a database");
    store.migrate().await.expect("its tables");
    let holding = store.begin().await.expect("a transaction");
    let error = store.create_tenant(TenantId::new(), "x").await.expect_err("busy");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "DATABASE_UNAVAILABLE"));
    store.check().await.expect("reads go on");
    drop(holding);
    store.create_tenant(TenantId::new(), "x").await.expect("free again");
}

#[tokio::test]
async fn a_closed_store_is_unavailable_and_its_file_is_whole() {
    let (store, directory) = database().await;
    store.create_tenant(TenantId::new(), "a").await.expect("a tenant");
    store.close().await.expect("closed");
    let error = store.check().await.expect_err("closed");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "DATABASE_UNAVAILABLE"));
    let files: Vec<_> = std::fs::read_dir(directory.path()).expect("a directory").collect();
    assert_eq!(files.len(), 1, "the log was moved into the file: {files:?}");
}
