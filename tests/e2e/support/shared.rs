//! A database and a queue that several processes share: PostgreSQL and RabbitMQ, each test its own part of them.

use sqlx::{Connection as _, Executor as _, PgConnection};
use vectrion_testkit::services;

/// Key of the HMAC under which the servers of a test store API keys.
const PEPPER: &str = "a pepper that all servers of a test share";

/// A database, and a prefix of queues.
pub struct Shared {
    server: String,
    name: String,
    /// URL of the database.
    pub database: String,
    /// URL of the broker.
    pub queue: String,
}

impl Shared {
    /// A new one; none if there are no services to test on.
    pub async fn new() -> Option<Self> {
        let queue = services::address("VECTRION_TEST_AMQP_URL")?;
        Self::with_queue(&queue).await
    }

    /// The same, with the broker at this address.
    pub async fn with_queue(queue: &str) -> Option<Self> {
        let server = services::address("VECTRION_TEST_POSTGRES_URL")?;
        let name = format!("e2e_{}", uuid::Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(&server).await.expect("the database server");
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("a database");
        let (base, _) = server.rsplit_once('/').expect("a URL with a database");
        let database = format!("{base}/{name}");
        Some(Self { server: server.clone(), name, database, queue: queue.to_owned() })
    }

    /// Settings of a server on it.
    pub fn settings(&self) -> Vec<String> {
        vec![
            format!("database.url={}", self.database),
            format!("queue.url={}", self.queue),
            format!("queue.prefix={}", self.prefix()),
            format!("auth.pepper={PEPPER}"),
        ]
    }

    /// Beginning of the names of its queues.
    pub fn prefix(&self) -> &str {
        &self.name
    }

    /// A number from the database.
    pub async fn number(&self, query: &'static str) -> i64 {
        let mut connection = PgConnection::connect(&self.database).await.expect("the database");
        sqlx::query_scalar(query).fetch_one(&mut connection).await.expect(query)
    }

    /// Changes the database behind the servers' back.
    pub async fn execute(&self, statement: &'static str) {
        let mut connection = PgConnection::connect(&self.database).await.expect("the database");
        connection.execute(statement).await.expect(statement);
    }
}

impl Drop for Shared {
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
