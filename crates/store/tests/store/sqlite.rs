//! On SQLite.

use std::sync::Arc;

use tempfile::TempDir;
use vectrion_store::{Store, StoreSettings};

/// A new database in a directory of its own.
pub(crate) async fn database() -> (Arc<Store>, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite://{}/vectrion.db", directory.path().display());
    let store = Store::connect(&url, &StoreSettings::default()).await.expect("a database");
    store.migrate().await.expect("its tables");
    (Arc::new(store), directory)
}

/// The same, with the outbox on.
async fn announcing() -> (Arc<Store>, TempDir) {
    let (store, directory) = database().await;
    store.close().await.expect("closed");
    let url = format!("sqlite://{}/vectrion.db", directory.path().display());
    let settings = StoreSettings { outbox: true, ..StoreSettings::default() };
    (Arc::new(Store::connect(&url, &settings).await.expect("a database")), directory)
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
