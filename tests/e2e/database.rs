//! A shared database that stands still, or is restarted under load.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tonic::{Code, Request, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use vectrion::v1::{CreateTenantRequest, DocumentState, ListDocumentsRequest, ListTenantsRequest, RetrieveRequest};
use vectrion_testkit::services::{self, Service};

use crate::support::{
    Client, PATIENCE, Process,
    client::{header, reason},
    process::{run, vectrion},
    shared::Shared,
};

/// A server on a database of its own, and the database.
async fn start() -> Option<(Arc<Service>, Shared, TempDir, Process)> {
    services::address("VECTRION_TEST_POSTGRES_URL")?;
    let database = tokio::task::spawn_blocking(|| Service::start("postgres")).await.unwrap();
    let shared = Shared::on(database.url(), "db:").await;
    let data = tempfile::tempdir().unwrap();
    let mut settings = shared.settings();
    settings.push("server.readiness_interval_s=1".to_owned());
    settings.push("worker.lease_s=2".to_owned());
    let mut command = vectrion();
    command.arg("migrate");
    for setting in &settings {
        command.args(["--set", setting]);
    }
    let migrated = run(&mut command).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.err);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let process = Process::start(data.path(), &settings, "").await;
    Some((Arc::new(database), shared, data, process))
}

/// The database stands still as long as this is there: a test that fails meanwhile must not leave it so.
struct Standing(Arc<Service>);

impl Standing {
    fn begin(database: &Arc<Service>) -> Self {
        database.signal(Signal::SIGSTOP);
        Self(Arc::clone(database))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGCONT);
    }
}

async fn serves(process: &Process) -> bool {
    let Ok(channel) = tonic::transport::Endpoint::from_shared(process.url.clone()).unwrap().connect().await else {
        return false;
    };
    let request = HealthCheckRequest { service: String::new() };
    let response = HealthClient::new(channel).check(request).await.unwrap().into_inner();
    response.status() == ServingStatus::Serving
}

async fn until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(within, wait).await.unwrap_or_else(|_| panic!("not within {within:?}: {what}"));
    began.elapsed()
}

/// One of several kinds of calls, which has so long.
async fn call(client: &Client, n: usize, time: Duration) -> Result<(), Status> {
    fn timed<T>(message: T, time: Duration) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(time);
        request
    }
    match n % 4 {
        0 => client.ingestion.clone().list_documents(timed(ListDocumentsRequest::default(), time)).await.map(drop),
        1 => {
            let query = format!("What stands at mile {n}?");
            let request = RetrieveRequest { query, ..RetrieveRequest::default() };
            client.query.clone().retrieve(timed(request, time)).await.map(drop)
        }
        2 => {
            let request = CreateTenantRequest {
                name: format!("tenant-{}", uuid::Uuid::new_v4().simple()),
                request_id: String::new(),
            };
            client.admin.clone().create_tenant(timed(request, time)).await.map(drop)
        }
        _ => client.admin.clone().list_tenants(timed(ListTenantsRequest::default(), time)).await.map(drop),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stands_still_holds_no_call_beyond_its_deadline() {
    let Some((database, shared, _data, process)) = start().await else { return };
    let client = process.operator().await;
    let before = client.index("before.txt", b"The mill grinds barley.").await;
    let standing = Standing::begin(&database);
    let stopped = Instant::now();
    let time = Duration::from_secs(2);
    // More than there are connections, in waves.
    for _ in 0..4 {
        let calls = (0..24).map(|n| {
            let client = client.clone();
            async move {
                let began = Instant::now();
                (call(&client, n, time).await, began.elapsed())
            }
        });
        for (outcome, took) in futures::future::join_all(calls).await {
            let status = outcome.expect_err("the database stands still");
            // On a busy machine the client's own timer may be first; it calls that cancelled.
            let timers = status.code() == Code::Cancelled && status.message() == "Timeout expired";
            assert!(timers || matches!(status.code(), Code::DeadlineExceeded | Code::Unavailable), "{status:?}");
            assert!(took < time + Duration::from_secs(1), "{took:?}");
        }
    }
    let unready = until("it is not ready", Duration::from_secs(20), async || !serves(&process).await).await;
    // Without a deadline of the caller's, the server's own holds: what the database may take for a call.
    let began = Instant::now();
    let status = client.get(&before.document_id).await.expect_err("it stands still");
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Unavailable), "{status:?}");
    let own = began.elapsed();
    assert!(own < Duration::from_secs(31), "{own:?}");
    while stopped.elapsed() < Duration::from_secs(30) {
        let _ = call(&client, 3, time).await;
    }
    drop(standing);
    let healed = until("it is ready again", Duration::from_secs(15), async || serves(&process).await).await;
    println!(
        "not ready {unready:?} after the last wave; a call without a deadline took {own:?}; healed after {healed:?}"
    );
    for n in 0..24 {
        call(&client, n, PATIENCE).await.expect("all is as before");
    }
    assert_eq!(client.index("after.txt", b"The pier is closed in March.").await.state(), DocumentState::Indexed);
    let sessions = shared.number("SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'vectrion'").await;
    assert!(sessions <= 8, "{sessions} sessions");
    assert_eq!(process.terminate().await.code(), Some(0));
    drop(shared);
    tokio::task::spawn_blocking(move || drop(database)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_restarted_under_load_loses_nothing() {
    let Some((database, shared, _data, process)) = start().await else { return };
    let client = process.operator().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let load: Vec<_> = (0..3)
        .map(|lane| {
            let (client, stop) = (client.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut accepted, mut refused, mut n) = (Vec::new(), 0, 0);
                while !stop.is_cancelled() {
                    n += 1;
                    let text = format!("Lighthouse {n} of lane {lane} stands at mile {n} of shore {lane}.\n");
                    match client.try_upload(header(&format!("{lane}-{n}.txt")), text.as_bytes()).await {
                        Ok(uploaded) => accepted.push(uploaded.document.unwrap().document_id),
                        Err(status) => {
                            let retryable = [Code::Unavailable, Code::DeadlineExceeded, Code::Aborted];
                            assert!(retryable.contains(&status.code()), "{status:?}");
                            assert!(!reason(&status).is_empty());
                            refused += 1;
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                (accepted, refused)
            })
        })
        .collect();
    for round in 0..2 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        database.kill();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let again = Arc::clone(&database);
        tokio::task::spawn_blocking(move || again.start_again()).await.unwrap();
        let healed = until("it is ready again", Duration::from_secs(15), async || serves(&process).await).await;
        println!("round {round}: ready {healed:?} after the database was back");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.cancel();
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for lane in load {
        let (ids, errors) = lane.await.unwrap();
        accepted.extend(ids);
        refused += errors;
    }
    println!("{} uploads accepted, {refused} refused", accepted.len());
    assert!(accepted.len() > 10 && refused > 0);
    for id in &accepted {
        assert_eq!(client.settled(id).await.state(), DocumentState::Indexed);
    }
    let halves = "SELECT COUNT(*) FROM documents d WHERE NOT EXISTS (SELECT 1 FROM jobs j WHERE j.document_id = d.id)";
    assert_eq!(shared.number(halves).await, 0, "no document without its job");
    assert_eq!(process.terminate().await.code(), Some(0));
    drop(shared);
    tokio::task::spawn_blocking(move || drop(database)).await.unwrap();
}
