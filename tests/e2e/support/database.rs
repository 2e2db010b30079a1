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
        Some(Self::on(&server).await)
    }

    /// A new one on this server.
    pub async fn on(server: &str) -> Self {
        let server = server.to_owned();
        let name = format!("e2e_{}", uuid::Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(&server).await.expect("the database server");
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("a database");
        let (base, _) = server.rsplit_once('/').expect("a URL with a database");
        let url = format!("{base}/{name}");
        Self { server, name, url }
    }

    /// Copies it, as a dump does. Nobody may be connected.
    pub async fn dump(&self) {
        let mut connection = PgConnection::connect(&self.server).await.expect("the database server");
        let rest =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()";
        sqlx::query(rest).bind(&self.name).execute(&mut connection).await.expect("nobody is connected");
        for statement in [
            format!("DROP DATABASE IF EXISTS {0}_dump WITH (FORCE)", self.name),
            format!("CREATE DATABASE {0}_dump TEMPLATE {0}", self.name),
        ] {
            connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("a copy");
        }
    }

    /// Puts it back to what it was. Nobody may be connected.
    pub async fn restore(&self) {
        let mut connection = PgConnection::connect(&self.server).await.expect("the database server");
        for statement in [
            format!("DROP DATABASE {0} WITH (FORCE)", self.name),
            format!("CREATE DATABASE {0} TEMPLATE {0}_dump", self.name),
        ] {
            connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("the copy");
        }
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
                let drop = format!("DROP DATABASE IF EXISTS {name}_dump WITH (FORCE)");
                connection.execute(sqlx::AssertSqlSafe(drop)).await.expect("dropped");
                let drop = format!("DROP DATABASE {name} WITH (FORCE)");
                connection.execute(sqlx::AssertSqlSafe(drop)).await.expect("dropped");
            });
        });
        let removed = removal.join();
        assert!(removed.is_ok() || std::thread::panicking(), "the database is dropped");
    }
}
