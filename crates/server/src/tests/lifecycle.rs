//! Health and the way down.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tokio::net::TcpStream;
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use vectrion::v1::answer_event::Event;

use super::support::{Running, ask, event, reason, search, settings, start, start_with};
use crate::{ServeError, Server, ServerSettings, connection::Departure};

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

async fn health(server: &Running) -> HealthClient<tonic::transport::Channel> {
    HealthClient::new(Endpoint::from_shared(server.url()).expect("a URL").connect().await.expect("connected"))
}

fn whole() -> HealthCheckRequest {
    HealthCheckRequest { service: String::new() }
}

#[tokio::test]
async fn health_follows_what_the_server_depends_on() {
    let server = start().await;
    let mut watch = health(&server).await.watch(whole()).await.expect("health").into_inner();
    assert_eq!(watch.message().await.expect("fine").expect("a state").status, SERVING);
    server.database_down.store(true, Ordering::SeqCst);
    assert_eq!(watch.message().await.expect("fine").expect("a state").status, NOT_SERVING);
    server.database_down.store(false, Ordering::SeqCst);
    assert_eq!(watch.message().await.expect("fine").expect("a state").status, SERVING);
}

#[tokio::test]
async fn on_the_way_down_calls_end_in_peace_watches_end_and_nothing_new_comes_in() {
    let server = start_with(ServerSettings { shutdown_pause_ms: 300, shutdown_drain_s: 5, ..settings() }).await;
    let client = server.client("user").await;
    let mut watch = health(&server).await.watch(whole()).await.expect("health").into_inner();
    assert_eq!(watch.message().await.expect("fine").expect("a state").status, SERVING);

    server.shutdown.cancel();
    assert_eq!(watch.message().await.expect("fine").expect("a state").status, NOT_SERVING);
    // The pause: who has not noticed yet is still served.
    let mut stream = client.query().answer(ask("slowly done")).await.expect("still served").into_inner();
    server.client("user").await.query().retrieve(search("x")).await.expect("still accepted");

    let status = watch.message().await.expect_err("watches end");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SERVER_SHUTTING_DOWN"));
    assert!(TcpStream::connect(server.address).await.is_err(), "the port is closed");

    stream.message().await.expect("fine").expect("started");
    assert!(matches!(event(stream.message().await.expect("fine").expect("an event")), Event::Done(_)));
    assert!(stream.message().await.expect("OK").is_none());
    let begun = Instant::now();
    server.serving.await.expect("no panic").expect("no error");
    assert!(begun.elapsed() < Duration::from_secs(2), "ends with its last call, not with the limit");
}

#[tokio::test]
async fn calls_that_do_not_end_are_cut_after_their_time() {
    let mut server = start().await; // one second
    let mut stream = server.client("user").await.query().answer(ask("silent")).await.expect("begun").into_inner();
    stream.message().await.expect("fine").expect("started");
    let begun = Instant::now();
    server.shutdown.cancel();
    assert!(stream.message().await.is_err());
    assert_eq!(server.departure().await, Departure::Lost, "nobody cancelled: it may be resumed after the restart");
    server.serving.await.expect("no panic").expect("no error");
    assert!(begun.elapsed() >= Duration::from_millis(900) && begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let server = start_with(ServerSettings { shutdown_drain_s: 30, ..settings() }).await;
    let client = server.client("user").await;
    client.query().retrieve(search("x")).await.expect("fine");
    let begun = Instant::now();
    server.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn an_aged_connection_is_replaced_and_its_streams_live_on() {
    let server = start_with(ServerSettings { connection_age_s: 1, ..settings() }).await;
    let client = server.client("user").await;
    let mut stream = client.query().answer(ask("trickle")).await.expect("begun").into_inner();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        stream.message().await.expect("the stream lives on").expect("an event");
    }
    // A client of tonic makes the next connection when the last stream of this one has ended.
    drop(stream);
    let again = async { while client.query().retrieve(search("x")).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(5), again).await.expect("a new connection is made");
}

async fn refused(settings: ServerSettings) -> ServeError {
    let probe = std::sync::Arc::new(|| -> futures::future::BoxFuture<'static, crate::Readiness> { unreachable!() });
    let authenticate: crate::call::Authenticate = std::sync::Arc::new(|_| unreachable!());
    match Server::assemble(settings, tonic::service::Routes::default(), authenticate, probe).await {
        Ok(server) => panic!("listens on {}", server.local_addr()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn beyond_loopback_takes_tls_or_a_word() {
    let open = || ServerSettings { listen: "0.0.0.0:0".into(), ..settings() };
    assert!(matches!(refused(open()).await, ServeError::Insecure { .. }));
    let server = start_with(ServerSettings { allow_insecure: true, ..open() }).await;
    server.stop().await;
}

#[tokio::test]
async fn addresses_that_cannot_be_used_are_named() {
    let bad = ServerSettings { listen: "nonsense".into(), ..settings() };
    assert!(matches!(refused(bad).await, ServeError::Address { listen, .. } if listen == "nonsense"));
    let server = start().await;
    let taken = ServerSettings { listen: server.address.to_string(), ..settings() };
    assert!(matches!(refused(taken).await, ServeError::Bind { address, .. } if address == server.address));
    let zero = ServerSettings { max_calls: 0, ..settings() };
    assert!(matches!(refused(zero).await, ServeError::Setting { key: "max_calls", .. }));
}
