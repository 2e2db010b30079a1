//! An installation on the profile of this run, whose stores can be put back to what they were.

use std::{path::Path, sync::Arc};

use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use vectrion_core::{
    ids::TenantId,
    ports::{upkeep::VersionRecord, vectors::VectorScope},
};
use vectrion_pipeline::Ports;

use super::{
    Client, Home, PATIENCE, TestApp,
    process::{Ended, run, vectrion},
};
use crate::vector_server::{KEY, StandIn};

/// Database, vectors and objects of one installation, whether a server runs on them or not.
pub struct Restorable {
    home: Option<Home>,
    app: Option<TestApp>,
    /// On the distributed profile, a vector server of its own.
    vectors: Option<Vectors>,
    /// Copies of the stores.
    copies: TempDir,
}

/// A vector server and its files.
struct Vectors {
    server: Option<StandIn>,
    address: String,
    directory: TempDir,
}

impl Restorable {
    pub async fn new() -> Self {
        let home = Home::new().await;
        let vectors = if home.is_distributed() {
            let directory = tempfile::tempdir().expect("a directory");
            let server = StandIn::start(&directory.path().join("points"), "127.0.0.1:0").await;
            Some(Vectors { address: server.address.clone(), server: Some(server), directory })
        } else {
            None
        };
        Self { home: Some(home), app: None, vectors, copies: tempfile::tempdir().expect("a directory") }
    }

    /// Starts a server, and jobs.
    pub async fn start(&mut self, more: &[(&str, &str)]) -> Client {
        let url = self.vectors.as_ref().map(|vectors| format!("http://{}/e2e", vectors.address));
        let mut settings: Vec<(&str, &str)> = Vec::new();
        if let Some(url) = &url {
            settings.extend([("vectors.url", url.as_str()), ("vectors.api_key", KEY)]);
        }
        settings.extend(more);
        let app = TestApp::start_in(self.home.take().expect("no server runs"), &settings).await;
        let client = app.operator().await;
        self.app = Some(app);
        client
    }

    /// Stops it when nothing is left to do.
    pub async fn stop(&mut self) {
        let app = self.app.take().expect("a server runs");
        self.home = Some(app.stop().await);
    }

    /// Waits until no job is left.
    pub async fn idle(&self) {
        let idle = async {
            loop {
                let depths = self.ports().jobs.queue_depths().await.expect("the queues");
                if depths.iter().all(|depth| depth.ready + depth.delayed + depth.running == 0) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, idle).await.expect("no job is left");
    }

    /// The running server.
    pub fn app(&self) -> &TestApp {
        self.app.as_ref().expect("a server runs")
    }

    /// What its use cases stand on.
    pub fn ports(&self) -> &Arc<Ports> {
        &self.app().app.ports
    }

    /// The tenant `default`.
    pub async fn tenant(&self) -> TenantId {
        self.ports().directory.tenant_by_name("default").await.expect("a look").expect("the tenant").id
    }

    /// Its vectors.
    pub async fn scope(&self) -> VectorScope {
        self.ports().vector_scope(self.tenant().await)
    }

    /// The newest version of a document, as the database has it.
    pub async fn version(&self, document: &str) -> VersionRecord {
        let records = self.ports().upkeep.walk_versions(self.tenant().await, None, None, 1000).await.expect("a walk");
        let of_document = records.into_iter().filter(|record| record.document.to_string() == document);
        of_document.max_by_key(|record| record.number).expect("a version")
    }

    /// Runs the command line against the server.
    pub async fn call(&self, arguments: &[&str]) -> Ended {
        let mut command = vectrion();
        command.env("VECTRION_ADDR", &self.app().url).env("VECTRION_API_KEY", self.app().operator_key());
        run(command.args(arguments)).await
    }

    /// Changes the database behind the server's back. `{id}` is replaced by an id, in words of the database.
    pub async fn execute(&self, statement: &str, id: &str) {
        match self.app().home().database() {
            Some(database) => {
                let mut connection = PgConnection::connect(&database.url).await.expect("the database");
                let statement = statement.replace("{id}", &format!("'{id}'"));
                connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("changed");
            }
            None => {
                let options = SqliteConnectOptions::new().filename(self.app().home().path().join("vectrion.db"));
                let mut connection = SqliteConnection::connect_with(&options).await.expect("the database");
                let statement = statement.replace("{id}", &format!("x'{}'", id.replace('-', "")));
                connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("changed");
                connection.close().await.expect("closed");
            }
        }
    }

    fn at_rest(&self) -> &Home {
        self.home.as_ref().expect("no server runs")
    }

    /// Copies the database, as a dump does. No server may run.
    pub async fn dump_database(&self) {
        match self.at_rest().database() {
            Some(database) => database.dump().await,
            None => {
                for file in ["vectrion.db", "vectrion.db-wal"] {
                    copy(&self.at_rest().path().join(file), &self.copies.path().join(file));
                }
            }
        }
    }

    /// Puts the database back to what it was. No server may run.
    pub async fn restore_database(&self) {
        match self.at_rest().database() {
            Some(database) => database.restore().await,
            None => {
                for file in ["vectrion.db", "vectrion.db-wal", "vectrion.db-shm"] {
                    let _ = std::fs::remove_file(self.at_rest().path().join(file));
                    copy(&self.copies.path().join(file), &self.at_rest().path().join(file));
                }
            }
        }
    }

    /// Copies the vectors, as a snapshot does. No server may run.
    pub async fn snapshot_vectors(&mut self) {
        self.with_vectors_at_rest(copy_directory).await;
    }

    /// Puts the vectors back to what they were. No server may run.
    pub async fn restore_vectors(&mut self) {
        self.with_vectors_at_rest(|vectors, copy| {
            std::fs::remove_dir_all(vectors).expect("removed");
            copy_directory(copy, vectors);
        })
        .await;
    }

    async fn with_vectors_at_rest(&mut self, work: impl FnOnce(&Path, &Path)) {
        let embedded = self.at_rest().path().join("vectors");
        let copy = self.copies.path().join("vectors");
        match &mut self.vectors {
            Some(vectors) => {
                vectors.server.take().expect("it runs").kill().await;
                let directory = vectors.directory.path().join("points");
                work(&directory, &copy);
                vectors.server = Some(StandIn::start(&directory, &vectors.address).await);
            }
            None => work(&embedded, &copy),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    if from.exists() {
        std::fs::copy(from, to).expect("copied");
    }
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("copied");
        }
    }
}
