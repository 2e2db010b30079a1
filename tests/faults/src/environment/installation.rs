//! Two servers and two workers on their own part of the services, which they reach through proxies.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use vectrion_testkit::{
    fault_proxy::FaultProxy,
    openai::{OpenAiServer, Reply},
};

use super::{
    Services,
    process::{Kind, Process, program},
};

/// Servers and workers of an installation.
pub const SERVERS: usize = 2;
pub const WORKERS: usize = 2;
/// Numbers of a vector: few, because it is not the model that is tested.
const DIMENSION: usize = 64;
/// Key of the HMAC under which the servers store API keys.
const PEPPER: &str = "a pepper that all servers of a run share";

/// The proxies between the processes and the services.
pub struct Proxies {
    pub database: FaultProxy,
    pub broker: FaultProxy,
    pub cache: FaultProxy,
    pub objects: FaultProxy,
    pub index: FaultProxy,
}

impl Proxies {
    pub fn heal(&self) {
        for proxy in [&self.database, &self.broker, &self.cache, &self.objects, &self.index] {
            proxy.heal();
        }
    }
}

/// An installation. Its processes end when it is dropped.
pub struct Installation {
    pub name: String,
    pub services: Arc<Services>,
    pub proxies: Proxies,
    pub model: OpenAiServer,
    pub servers: Vec<Process>,
    pub workers: Vec<Process>,
    /// Settings of all processes.
    pub settings: Vec<String>,
    pub directory: TempDir,
    /// Address of its database, past the proxy.
    pub database: String,
}

impl Installation {
    /// Makes its database and starts its processes.
    pub async fn start(services: &Arc<Services>) -> Result<Self> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("faults_{}", &id[..12]);
        let mut connection = PgConnection::connect(services.postgres.url()).await?;
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        let (base, _) = services.postgres.url().rsplit_once('/').context("a URL with a database")?;
        let database = format!("{base}/{name}");

        let (index, index_key) = services.index();
        let (proxies, model) = (
            Proxies {
                database: proxy(services.postgres.url()).await?,
                broker: proxy(services.rabbitmq.url()).await?,
                cache: proxy(services.redis.url()).await?,
                objects: proxy(services.s3.url()).await?,
                index: proxy(index).await?,
            },
            OpenAiServer::start_with_dimension(DIMENSION).await,
        );
        model.answer_embeddings(|_| Reply::embeddings());
        let (access_key, secret) = user(services.s3.url())?;
        let settings = vec![
            format!("database.url={}", through(&database, &proxies.database)?),
            format!("queue.url={}", through(services.rabbitmq.url(), &proxies.broker)?),
            format!("queue.prefix={name}"),
            "queue.heartbeat_s=2".to_owned(),
            "queue.connect_timeout_ms=2000".to_owned(),
            format!("cache.url={}?prefix={name}", through(services.redis.url(), &proxies.cache)?),
            format!("objects.url=s3://vectrion/{name}"),
            format!("objects.endpoint=http://{}", proxies.objects.address()),
            format!("objects.access_key_id={access_key}"),
            format!("objects.secret_access_key={secret}"),
            "objects.allow_http=true".to_owned(),
            format!("vectors.url=http://{}/{name}", proxies.index.address()),
            format!("vectors.api_key={index_key}"),
            format!("auth.pepper={PEPPER}"),
            format!("models.embed={}", model.base_url()),
            "models.embed_model=stub".to_owned(),
            format!("models.embed_dimension={DIMENSION}"),
            format!("models.chat={}", model.base_url()),
            "models.chat_model=stub".to_owned(),
            "worker.in_process=false".to_owned(),
            // What a dead process held comes back soon.
            "worker.lease_s=2".to_owned(),
            "worker.poll_ms=500".to_owned(),
            "ingest.retry_base_ms=100".to_owned(),
            "ingest.retry_max_ms=2000".to_owned(),
            "documents.pdf_timeout_s=12".to_owned(),
            "server.readiness_interval_s=1".to_owned(),
            format!("server.unary_timeout_s={}", crate::load::UNARY_DEADLINE.as_secs()),
            format!("server.upload_timeout_s={}", crate::load::UPLOAD_DEADLINE.as_secs()),
            "disk.min_free_mib=64".to_owned(),
            "log.format=text".to_owned(),
        ];
        let directory = tempfile::tempdir()?;
        let mut installation = Self {
            name,
            services: Arc::clone(services),
            proxies,
            model,
            servers: processes(Kind::Server, SERVERS, directory.path())?,
            workers: processes(Kind::Worker, WORKERS, directory.path())?,
            settings,
            directory,
            database,
        };
        installation.migrate()?;
        // The first one makes the operator's key.
        let settings = installation.settings.clone();
        installation.servers[0].start(&settings).await?;
        installation.start_missing().await?;
        Ok(installation)
    }

    fn migrate(&self) -> Result<()> {
        let mut command = program("vectrion", &["migrate"])?;
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        let output = tokio::task::block_in_place(|| command.output())?;
        if !output.status.success() {
            bail!("vectrion migrate: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    pub fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        self.servers.iter_mut().chain(&mut self.workers)
    }

    /// Starts those processes that do not run, and waits until all are ready.
    pub async fn start_missing(&mut self) -> Result<()> {
        let settings = self.settings.clone();
        for process in self.servers.iter_mut().chain(&mut self.workers) {
            if !process.is_running() {
                process.spawn(&settings, "", &[])?;
            }
        }
        self.wait_ready(Duration::from_secs(60)).await.map(drop)
    }

    /// Waits until every process is ready, and tells how long that took.
    pub async fn wait_ready(&mut self, within: Duration) -> Result<Duration> {
        let start = std::time::Instant::now();
        for process in self.servers.iter_mut().chain(&mut self.workers) {
            process.wait_ready(within.saturating_sub(start.elapsed())).await?;
        }
        Ok(start.elapsed())
    }

    /// Ends a process as an operator does and starts it with these failpoints.
    pub async fn arm(&mut self, kind: Kind, at: usize, failpoints: &str) -> Result<()> {
        let settings = self.settings.clone();
        let process = self.process(kind, at);
        if process.is_running() {
            process.terminate(Duration::from_secs(30)).await?;
        }
        process.spawn(&settings, failpoints, &[])?;
        process.wait_ready(Duration::from_secs(60)).await.map(drop)
    }

    pub fn process(&mut self, kind: Kind, at: usize) -> &mut Process {
        match kind {
            Kind::Server => &mut self.servers[at],
            Kind::Worker => &mut self.workers[at],
        }
    }

    /// A connection to its database, past the proxy.
    pub async fn sql(&self) -> Result<PgConnection> {
        PgConnection::connect(&self.database).await.context("the database")
    }

    /// A number from its database.
    pub async fn number(&self, query: &'static str) -> Result<i64> {
        let mut connection = self.sql().await?;
        Ok(sqlx::query_scalar(query).fetch_one(&mut connection).await?)
    }

    /// The directory of its objects.
    pub fn objects(&self) -> std::path::PathBuf {
        self.services.bucket().join(&self.name)
    }

    /// Undoes what a fault may have left, and starts what does not run.
    pub async fn mend(&mut self) -> Result<()> {
        self.proxies.heal();
        self.model.answer_embeddings(|_| Reply::embeddings());
        self.services.mend().await?;
        for process in self.servers.iter_mut().chain(&mut self.workers) {
            if process.is_running() {
                process.signal(nix::sys::signal::Signal::SIGCONT)?;
            }
        }
        self.start_missing().await
    }

    /// The ends of all logs.
    pub fn logs(&self) -> String {
        self.servers
            .iter()
            .chain(&self.workers)
            .map(|process| format!("--- {}\n{}\n", process.name, process.log_tail()))
            .collect()
    }
}

fn processes(kind: Kind, count: usize, directory: &Path) -> Result<Vec<Process>> {
    let name = match kind {
        Kind::Server => "server",
        Kind::Worker => "worker",
    };
    (1..=count).map(|n| Process::new(kind, &format!("{name}-{n}"), directory)).collect()
}

async fn proxy(url: &str) -> Result<FaultProxy> {
    Ok(FaultProxy::start(authority(url)?).await)
}

/// `HOST:PORT` of a URL.
fn authority(url: &str) -> Result<&str> {
    let (_, rest) = url.split_once("://").context("a URL")?;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    Ok(rest.split(['/', '?']).next().unwrap_or(rest))
}

/// User and password of a URL.
fn user(url: &str) -> Result<(&str, &str)> {
    let (_, rest) = url.split_once("://").context("a URL")?;
    rest.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).context("a URL with a user")
}

/// The URL with the proxy in place of the service.
fn through(url: &str, proxy: &FaultProxy) -> Result<String> {
    Ok(url.replacen(authority(url)?, &proxy.address().to_string(), 1))
}
