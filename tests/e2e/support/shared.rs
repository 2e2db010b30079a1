//! A database and a queue that several processes share: PostgreSQL and RabbitMQ, each test its own part of them.

use sqlx::{Connection as _, Executor as _, PgConnection};
use vectrion_testkit::services;

use super::database::{Database, PEPPER};

/// A database, and a prefix of queues.
pub struct Shared {
    database: Database,
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
        Some(Self { database: Database::new().await?, queue: queue.to_owned() })
    }

    /// The same, on this database server.
    pub async fn on(server: &str, queue: &str) -> Self {
        Self { database: Database::on(server).await, queue: queue.to_owned() }
    }

    /// Settings of a server on it.
    pub fn settings(&self) -> Vec<String> {
        vec![
            format!("database.url={}", self.database.url),
            format!("queue.url={}", self.queue),
            format!("queue.prefix={}", self.prefix()),
            format!("auth.pepper={PEPPER}"),
        ]
    }

    /// Beginning of the names of its queues.
    pub fn prefix(&self) -> &str {
        &self.database.name
    }

    /// A number from the database.
    pub async fn number(&self, query: &'static str) -> i64 {
        let mut connection = PgConnection::connect(&self.database.url).await.expect("the database");
        sqlx::query_scalar(query).fetch_one(&mut connection).await.expect(query)
    }

    /// Changes the database behind the servers' back.
    pub async fn execute(&self, statement: &'static str) {
        let mut connection = PgConnection::connect(&self.database.url).await.expect("the database");
        connection.execute(statement).await.expect(statement);
    }
}
