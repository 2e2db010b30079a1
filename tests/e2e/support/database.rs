//! A database of one test on the PostgreSQL server of `VECTRION_TEST_POSTGRES_URL`.

use sqlx::{Connection as _, Executor as _, PgConnection};
use vectrion_testkit::services;

/// Key of the HMAC under which the servers of a test store API keys.
pub const PEPPER: &str = "a pepper that all servers of a test share";

/// A database, dropped with this.
pub struct Database {
    server: String,
    /// Its name, which is nobody else's.
    pub name: String,
    pub url: String,
}

impl Database {
    /// A new one; none if there is no server.
    pub async fn new() -> Option<Self> {
        let server = services::address("VECTRION_TEST_POSTGRES_URL")?;
        let name = format!("e2e_{}", uuid::Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(&server).await.expect("the database server");
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("a database");
        let (base, _) = server.rsplit_once('/').expect("a URL with a database");
        let url = format!("{base}/{name}");
        Some(Self { server, name, url })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // On a thread of its own: a test's runtime may be ending.
        let (server, name) = (self.server.clone(), self.name.clone());
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let mut connection = PgConnection::connect(&server).await.expect("the database server");
                let drop = format!("DROP DATABASE {name} WITH (FORCE)");
                connection.execute(sqlx::AssertSqlSafe(drop)).await.expect("dropped");
            });
        });
        let removed = removal.join();
        assert!(removed.is_ok() || std::thread::panicking(), "the database is dropped");
    }
}
