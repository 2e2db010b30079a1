//! The outbox, the broker and the shared database, with servers as processes.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use tempfile::TempDir;
use vectrion::v1::{Document, DocumentState, ListJobsRequest};
use vectrion_backends::wakeups::amqp::{AmqpSettings, AmqpWakeups};
use vectrion_core::{
    ids::OutboxId,
    job::Stage,
    ports::{Wakeups as _, wakeups::Announcement},
};
use vectrion_runtime::relay;
use vectrion_testkit::services::{self, Service};

use crate::support::{
    Client, PATIENCE, Process,
    process::{Ended, program, run, vectrion},
    shared::Shared,
};

const SIGABRT: i32 = 6;

fn set(settings: &[String]) -> Vec<&str> {
    settings.iter().map(String::as_str).collect()
}

async fn migrate(shared: &Shared) -> Ended {
    let mut command = vectrion();
    command.arg("migrate");
    for setting in shared.settings() {
        command.args(["--set", &setting]);
    }
    run(&mut command).await
}

async fn serve(shared: &Shared, data: &TempDir, more: &[&str], failpoints: &str) -> Process {
    let settings = shared.settings();
    // What a killed process held comes back soon: on a shared database nobody knows that it is dead.
    let short = "worker.lease_s=2";
    let all: Vec<&str> = set(&settings).into_iter().chain([short]).chain(more.iter().copied()).collect();
    Process::start(data.path(), &all, failpoints).await
}

fn text(n: usize) -> Vec<u8> {
    format!("Lighthouse number {n} stands at mile {n} of the northern shore.\n").into_bytes()
}

async fn indexed(client: &Client, id: &str) -> Document {
    let document = client.settled(id).await;
    assert_eq!(document.state(), DocumentState::Indexed, "{:?}", document.failure);
    assert!(document.chunk_count > 0 && document.chunk_count == document.vector_count, "{document:?}");
    document
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn outbox_is_empty(shared: &Shared) {
    eventually("the outbox is empty", async || shared.number("SELECT COUNT(*) FROM outbox").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_database_is_brought_up_to_date_by_command_only() {
    let Some(shared) = Shared::new().await else { return };
    let data = tempfile::tempdir().unwrap();
    let settings = shared.settings();
    let Err((status, log)) = Process::try_start(data.path(), &set(&settings), "").await else {
        panic!("it serves without tables")
    };
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("vectrion migrate") && log.contains("database"), "{log}");

    let (first, second) = tokio::join!(migrate(&shared), migrate(&shared));
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{}{}", first.err, second.err);
    let both = format!("{}{}", first.out, second.out);
    assert_eq!(both.matches("applied m20261121_000002_outbox").count(), 1, "one of the two did it: {both}");
    let again = migrate(&shared).await;
    assert_eq!((again.code, again.out.trim()), (Some(0), "the database is up to date"));

    let process = Process::start(data.path(), &set(&settings), "").await;
    assert_eq!(process.terminate().await.code(), Some(0));

    shared.execute("INSERT INTO schema_migrations (version, applied_at) VALUES ('m20990101_000001_later', 0)").await;
    let Err((status, log)) = Process::try_start(data.path(), &set(&settings), "").await else {
        panic!("it serves on newer tables")
    };
    assert!(!status.success() && log.contains("newer version") && log.contains("vectrion migrate"), "{log}");
    let refused = migrate(&shared).await;
    assert_eq!(refused.code, Some(1), "{}", refused.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_refuses_is_named_at_the_start() {
    let Some(mut shared) = Shared::new().await else { return };
    assert_eq!(migrate(&shared).await.code, Some(0));
    let (before, _) = shared.queue.rsplit_once('/').unwrap();
    shared.queue = format!("{before}/there-is-none");
    let data = tempfile::tempdir().unwrap();
    let Err((status, log)) = Process::try_start(data.path(), &set(&shared.settings()), "").await else {
        panic!("it serves without a virtual host")
    };
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("queue.url") && log.contains("virtual host"), "{log}");
    let password = shared.queue.split(['/', ':', '@']).nth(4).unwrap();
    assert!(password.len() > 8 && !log.contains(password), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_step_of_the_relay_publishes_again_with_one_effect() {
    let Some(shared) = Shared::new().await else { return };
    assert_eq!(migrate(&shared).await.code, Some(0));
    let data = tempfile::tempdir().unwrap();
    for (round, point) in relay::FAILPOINTS.iter().enumerate() {
        let mut process = serve(&shared, &data, &[], &format!("{point}=return")).await;
        let client = process.operator().await;
        let name = format!("{round}.txt");
        // The process may die before it answers.
        let _ = client.try_upload(crate::support::client::header(&name), &text(round)).await;
        let status = process.end().await;
        assert_eq!(status.signal(), Some(SIGABRT), "{point}: {status}\n{}", process.log());

        let process = serve(&shared, &data, &[], "").await;
        let client = process.operator().await;
        let document = client.upload(&name, &text(round)).await;
        let document = indexed(&client, &document.document_id).await;
        assert_eq!(document.version, 1, "{point}");
        assert_eq!(client.list().await.len(), round + 1, "{point}");
        outbox_is_empty(&shared).await;
        assert_eq!(process.terminate().await.code(), Some(0));
    }
    let tries = shared.number("SELECT MAX(attempts)::bigint FROM jobs").await;
    assert_eq!(tries, 1, "what was published twice was done once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_message_ten_times_at_once_has_one_effect() {
    let Some(shared) = Shared::new().await else { return };
    assert_eq!(migrate(&shared).await.code, Some(0));
    let data = tempfile::tempdir().unwrap();
    let process = serve(&shared, &data, &["worker.process_concurrency=4"], "process::begun=1*sleep(800)").await;
    let client = process.operator().await;
    let document = client.upload("a.txt", &text(1)).await;
    let jobs = async || {
        let request = ListJobsRequest { document_id: document.document_id.clone(), ..ListJobsRequest::default() };
        client.admin.clone().list_jobs(request).await.unwrap().into_inner().jobs
    };
    let first = jobs().await.remove(0);

    let settings = AmqpSettings { prefix: shared.prefix().to_owned(), ..AmqpSettings::default() };
    let queue = AmqpWakeups::open(&shared.queue, &settings).await.unwrap();
    let announcement = Announcement {
        id: OutboxId::new(),
        job: first.job_id.parse().unwrap(),
        stage: Stage::ProcessDocument,
        trace_id: String::new(),
    };
    let batch = vec![announcement; 10];
    assert_eq!(queue.announce(&batch).await.unwrap().len(), 10);

    indexed(&client, &document.document_id).await;
    let jobs = jobs().await;
    assert_eq!(jobs.len(), 2, "one that processed, one that embedded: {jobs:?}");
    assert!(jobs.iter().all(|job| job.attempts == 1), "{jobs:?}");
    assert_eq!(client.search("Which lighthouse stands at mile 1?").await.len(), 1);
    outbox_is_empty(&shared).await;
    assert_eq!(process.terminate().await.code(), Some(0));
    // Nothing is left that somebody else would have to look into.
    assert!(queue.wait(Stage::ProcessDocument, Duration::from_secs(1)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_under_load_is_missed_and_delays_nothing_for_long() {
    if services::address("VECTRION_TEST_AMQP_URL").is_none() {
        return;
    }
    let broker = tokio::task::spawn_blocking(|| Service::start("rabbitmq")).await.unwrap();
    let Some(shared) = Shared::with_queue(broker.url()).await else { return };
    assert_eq!(migrate(&shared).await.code, Some(0));
    let data = tempfile::tempdir().unwrap();
    let process = serve(&shared, &data, &["metrics.listen=127.0.0.1:0", "queue.heartbeat_s=2"], "").await;
    let client = process.operator().await;
    let mut uploaded = Vec::new();
    for n in 0..10 {
        uploaded.push(client.upload(&format!("{n}.txt"), &text(n)).await.document_id);
    }
    // A broker that dies within a moment of making its first queues comes back without their contents, and with their
    // names taken: they must have been on its disk once.
    outbox_is_empty(&shared).await;
    eventually("the broker is in use", async || health(&process).await == "ok\n").await;
    uploaded.push(client.upload("last.txt", &text(1000)).await.document_id);
    broker.kill();
    // Uploads go on, into the outbox, and workers look for themselves.
    for n in 10..20 {
        uploaded.push(client.upload(&format!("{n}.txt"), &text(n)).await.document_id);
    }
    for id in &uploaded {
        indexed(&client, id).await;
    }
    assert!(health(&process).await.contains("degraded: queue: QUEUE_UNAVAILABLE"));
    assert!(shared.number("SELECT COUNT(*) FROM outbox").await > 0, "what could not be published waits");

    let broker = tokio::task::spawn_blocking(move || {
        broker.start_again();
        broker
    });
    let broker = broker.await.unwrap();
    let healed = async {
        while health(&process).await != "ok\n" || shared.number("SELECT COUNT(*) FROM outbox").await > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    // Within 30 s, as the faults measure it; here other tests may keep the machine busy.
    if tokio::time::timeout(PATIENCE, healed).await.is_err() {
        let waiting = shared.number("SELECT COUNT(*) FROM outbox").await;
        panic!("not healed: {}, {waiting} in the outbox\n{}", health(&process).await, process.log());
    }
    let late = client.upload("late.txt", &text(99)).await;
    indexed(&client, &late.document_id).await;
    outbox_is_empty(&shared).await;
    assert_eq!(process.terminate().await.code(), Some(0));
    drop(shared);
    tokio::task::spawn_blocking(move || drop(broker)).await.unwrap();
}

/// What `/healthz` says; the log says where.
async fn health(process: &Process) -> String {
    let log = process.log();
    let address = log
        .lines()
        .filter(|line| line.contains("metrics and health by http"))
        .find_map(|line| line.split("127.0.0.1:").nth(1))
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>())
        .unwrap_or_else(|| panic!("no port in the log\n{log}"));
    http_get(&format!("127.0.0.1:{address}"), "/healthz").await
}

/// The body of a response.
async fn http_get(address: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response.split_once("\r\n\r\n").expect("a response").1.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_start_at_once_on_a_new_database_are_one_installation() {
    let Some(shared) = Shared::new().await else { return };
    assert_eq!(migrate(&shared).await.code, Some(0));
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = tokio::join!(serve(&shared, &here, &[], ""), serve(&shared, &there, &[], ""));
    let mut keys = Vec::new();
    for data in [&here, &there] {
        keys.extend(vectrion_runtime::data_dir::read_admin_key(data.path()));
    }
    assert!(!keys.is_empty(), "somebody has the first key");
    // Every key that a server kept is good on both.
    for key in &keys {
        for process in [&first, &second] {
            assert!(Client::connect(&process.url, key).await.list().await.is_empty());
        }
    }
    assert_eq!(shared.number("SELECT COUNT(*) FROM tenants").await, 1);
    assert_eq!(first.terminate().await.code(), Some(0));
    assert_eq!(second.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_separate_worker_is_refused_what_belongs_to_one_process() {
    let data = tempfile::tempdir().unwrap();
    let mut worker = tokio::process::Command::new(program("vectrion-worker"));
    worker.env_clear().env("HOME", data.path());
    let ended = run(worker.args(["--check-config", "--data-dir"]).arg(data.path())).await;
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("`database.url`") && ended.err.contains("`sqlite:`"), "{}", ended.err);
    let ended = run(vectrion().args(["check-config", "--set", "worker.in_process=false"])).await;
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("`database.url`"), "{}", ended.err);
}
