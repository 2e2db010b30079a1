//! On PostgreSQL.

use std::sync::Arc;

use sea_orm::{ConnectionTrait as _, Database};
use uuid::Uuid;
use vectrion_store::{Store, StoreSettings};

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

mod answers {
    vectrion_testkit::answers_conformance!(super::database);
}

mod idempotency {
    vectrion_testkit::idempotency_conformance!(super::database);
}
