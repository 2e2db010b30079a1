//! How many jobs a second 1, 2 and 4 processes claim and finish, with stages that do nothing, and what a job costs in
//! statements: `cargo run --release -p vectrion-store --example claims postgres://… [DOCUMENTS]`.
//!
//! The database should be empty.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{Event, Metadata, Subscriber, span};
use vectrion_core::{
    ids::TenantId,
    job::Stage,
    ports::{Directory as _, Jobs as _, jobs::NextJob},
};
use vectrion_store::{Store, StoreSettings};
use vectrion_testkit::conformance::scenario::{LONG, Scenario, TRIES, processed, worker};

/// Jobs at once in each process, by stage, as a worker on two cores has.
const LANES: usize = 2;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let url = arguments.get(1).expect("the URL of an empty PostgreSQL database");
    let settings = StoreSettings { outbox: true, ..StoreSettings::default() };
    if arguments.get(2).is_some_and(|what| what == "worker") {
        tracing::subscriber::set_global_default(Statements).expect("the first");
        let store = Arc::new(Store::connect(url, &settings).await.expect("the database"));
        let jobs = work(store).await;
        println!("{jobs} {}", COUNT.load(Ordering::Relaxed));
        return;
    }
    let documents = arguments.get(2).map_or(400, |count| count.parse().expect("a number"));
    let store = Store::connect(url, &settings).await.expect("the database");
    store.migrate().await.expect("its tables");
    for tenants in [1, 20] {
        for workers in [1, 2, 4] {
            queue(&store, tenants, documents).await;
            run(url, tenants, workers).await;
        }
    }
}

async fn queue(store: &Store, tenants: usize, documents: usize) {
    let mut scenarios = Vec::new();
    for _ in 0..tenants {
        scenarios.push(Scenario::new(store).await);
    }
    for n in 0..documents {
        scenarios[n % tenants].uploaded(&format!("{n}"), &format!("{n}")).await;
    }
}

async fn run(url: &str, tenants: usize, workers: usize) {
    let program = std::env::current_exe().expect("this program");
    let began = Instant::now();
    let processes: Vec<_> = (0..workers)
        .map(|_| {
            let mut command = Command::new(&program);
            command.args([url, "worker"]).stdout(std::process::Stdio::piped()).spawn().expect("a process")
        })
        .collect();
    let (mut jobs, mut statements) = (0, 0);
    for process in processes {
        let output = process.wait_with_output().expect("it ends");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().expect("a number"));
        jobs += numbers.next().expect("jobs");
        statements += numbers.next().expect("statements");
    }
    // Each process looks for a while before it ends.
    let took = began.elapsed().saturating_sub(IDLE);
    println!(
        "{tenants:>3} tenants, {workers} processes: {jobs} jobs in {took:.2?}, {} jobs/s, {}.{} statements a job",
        u128::from(jobs) * 1000 / took.as_millis().max(1),
        statements / jobs.max(1),
        statements * 10 / jobs.max(1) % 10,
    );
}

/// A process that finds nothing for so long ends.
const IDLE: Duration = Duration::from_millis(500);

async fn work(store: Arc<Store>) -> u64 {
    let mut lanes = tokio::task::JoinSet::new();
    for (stage, lane) in [Stage::ProcessDocument, Stage::EmbedDocument]
        .into_iter()
        .flat_map(|stage| (0..LANES).map(move |lane| (stage, lane)))
    {
        let store = Arc::clone(&store);
        let me = worker(&format!("{}-{}-{lane}", std::process::id(), stage.as_str()));
        lanes.spawn(async move {
            let (mut jobs, mut seen) = (0, Instant::now());
            while seen.elapsed() < IDLE {
                let Some(lease) = store.claim(&[stage], &me, LONG).await.expect("a claim") else {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                };
                match stage {
                    Stage::ProcessDocument => {
                        store
                            .finish_processing(&lease, processed(&lease, &["text"]), NextJob::queued(TRIES))
                            .await
                            .expect("processed");
                    }
                    _ => store.finish_embedding(&lease).await.expect("indexed"),
                }
                (jobs, seen) = (jobs + 1, Instant::now());
            }
            jobs
        });
    }
    let jobs = lanes.join_all().await.into_iter().sum();
    store.tenant(TenantId::new()).await.expect("the database is still there");
    jobs
}

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Counts the statements that the driver tells of.
struct Statements;

impl Subscriber for Statements {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        about.target() == "sqlx::query"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
