//! A database of its own for a test, on SQLite.

use tempfile::TempDir;

use crate::{Store, StoreSettings};

/// The URL of a database in this directory.
pub(crate) fn url(directory: &TempDir) -> String {
    format!("sqlite://{}/vectrion.db", directory.path().display())
}

/// Connected, without tables.
pub(crate) async fn connected(directory: &TempDir) -> Store {
    Store::connect(&url(directory), &StoreSettings::default()).await.expect("a database")
}

/// With its tables, in a directory that goes with the test.
pub(crate) async fn database() -> (Store, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = connected(&directory).await;
    store.migrate().await.expect("its tables");
    (store, directory)
}
