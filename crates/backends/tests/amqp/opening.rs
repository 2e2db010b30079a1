//! What an operator is told who got something wrong.

use std::time::{Duration, Instant};

use lapin::{options::QueueDeclareOptions, types::FieldTable};
use tokio::net::TcpListener;
use vectrion_backends::wakeups::amqp::{AmqpSettings, AmqpWakeups};
use vectrion_core::{Error, ErrorKind};

use crate::{beside, broker, remove, settings};

async fn refused(url: &str, settings: &AmqpSettings) -> Error {
    let begin = Instant::now();
    let error = AmqpWakeups::open(url, settings).await.expect_err(url);
    assert!(begin.elapsed() < Duration::from_secs(8), "it took {:?}", begin.elapsed());
    assert!(error.message().contains("queue.url"), "it names the setting: {error}");
    error
}

/// `scheme://user:password@host:port/vhost` in parts.
fn parts(url: &str) -> (&str, &str, &str, &str) {
    let (user_info, rest) = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).unwrap();
    let (user, password) = user_info.split_once(':').unwrap();
    let (host, vhost) = rest.split_once('/').unwrap();
    (user, password, host, vhost)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_refused_by_name() {
    let Some(url) = broker() else { return };
    let (user, _, host, vhost) = parts(&url);
    let error = refused(&format!("amqp://{user}:wrong-password@{host}/{vhost}"), &settings()).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::FailedPrecondition, "QUEUE_LOGIN_REFUSED"), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("wrong-password"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_virtual_host_is_refused_by_name() {
    let Some(url) = broker() else { return };
    let (user, password, host, _) = parts(&url);
    let error = refused(&format!("amqp://{user}:{password}@{host}/there-is-none"), &settings()).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::FailedPrecondition, "QUEUE_VHOST_REFUSED"), "{error:?}");
    assert!(!format!("{error} {error:?}").contains(password), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_at_the_address_is_said_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    for host in [address.to_string(), "no-such-host.invalid".to_owned()] {
        let error = refused(&format!("amqp://user:secret@{host}/v"), &settings()).await;
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "QUEUE_UNAVAILABLE"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_is_given_up_and_leaves_no_thread() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://user:secret@{}/v", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            kept.push(listener.accept().await.unwrap());
        }
    });
    let settings = AmqpSettings { connect_timeout_ms: 300, ..settings() };
    for _ in 0..5 {
        let error = refused(&url, &settings).await;
        assert_eq!(error.reason(), "QUEUE_UNAVAILABLE", "{error:?}");
    }
    // Other tests of this process have connections too, and close them.
    let gone = async {
        while threads() > 4 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(30), gone).await;
    assert!(gone.is_ok(), "{} threads are left", threads());
    silent.abort();
}

/// Threads of connections in this process.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |path: std::path::PathBuf| std::fs::read_to_string(path.join("comm")).unwrap_or_default();
    tasks.filter(|task| name(task.as_ref().unwrap().path()).starts_with("lapin-io")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_to_a_broker_without_it_fails_by_name() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(url) = broker() else { return };
    let error = refused(&url.replacen("amqp://", "amqps://", 1), &settings()).await;
    assert!(matches!(error.reason(), "QUEUE_TLS_FAILED" | "QUEUE_UNAVAILABLE"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_another_kind_is_a_conflict() {
    let Some(url) = broker() else { return };
    let settings = settings();
    let (_connection, channel) = beside(&url).await;
    let name = format!("{}.process_document", settings.prefix);
    channel.queue_declare(name.into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
    let error = refused(&url, &settings).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::FailedPrecondition, "QUEUE_CONFLICT"), "{error:?}");
    assert!(error.message().contains("queue.prefix"), "{error}");
    remove(&url, &settings).await;
}
