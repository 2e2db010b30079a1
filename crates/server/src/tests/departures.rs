//! What a stream comes to: its end, its caller's cancelling, the loss of the connection.

use std::time::Duration;

use tonic::Code;
use vectrion::{client::Client, v1::answer_event::Event};

use super::support::{Wire, ask, event, reason, settings, start, start_with};
use crate::{ServerSettings, connection::Departure};

#[tokio::test]
async fn done_is_followed_by_ok_and_nobody_has_left() {
    let mut server = start().await;
    let client = server.client("user").await;
    for question in ["done", "more after the end"] {
        let mut stream = client.query().answer(ask(question)).await.expect("begun").into_inner();
        let first = stream.message().await.expect("fine").expect("an event").event.expect("an event");
        assert_eq!((first.sequence, first.answer_id.len()), (1, 36));
        assert!(matches!(event(stream.message().await.expect("fine").expect("an event")), Event::Done(_)));
        assert!(stream.message().await.expect("OK").is_none());
    }
    assert!(tokio::time::timeout(Duration::from_millis(200), server.departures.recv()).await.is_err());
}

#[tokio::test]
async fn an_error_is_followed_by_the_status_of_the_same_code() {
    let server = start().await;
    let mut stream = server.client("user").await.query().answer(ask("failed")).await.expect("begun").into_inner();
    stream.message().await.expect("fine").expect("started");
    assert!(matches!(event(stream.message().await.expect("fine").expect("an event")), Event::Error(_)));
    let status = stream.message().await.expect_err("the status");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "MODEL_STALLED"));
    assert_eq!(status.message(), "the model hangs");
}

#[tokio::test]
async fn a_stream_without_a_terminal_event_does_not_end_with_ok() {
    let server = start().await;
    let mut stream = server.client("user").await.query().answer(ask("truncated")).await.expect("begun").into_inner();
    stream.message().await.expect("fine").expect("started");
    let status = stream.message().await.expect_err("truncated");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "ANSWER_TRUNCATED"));
}

#[tokio::test]
async fn a_caller_who_drops_the_stream_has_cancelled() {
    let mut server = start().await;
    let client = server.client("user").await;
    for question in ["trickle", "silent", "flood"] {
        let mut stream = client.query().answer(ask(question)).await.expect("begun").into_inner();
        stream.message().await.expect("fine").expect("an event");
        drop(stream);
        assert_eq!(server.departure().await, Departure::Cancelled, "{question}");
    }
}

#[tokio::test]
async fn a_caller_who_drops_the_stream_and_the_connection_has_cancelled() {
    let mut server = start().await;
    let client = server.client("user").await;
    let mut stream = client.query().answer(ask("silent")).await.expect("begun").into_inner();
    stream.message().await.expect("fine").expect("an event");
    drop((stream, client));
    assert_eq!(server.departure().await, Departure::Cancelled);
}

#[tokio::test]
async fn a_connection_that_breaks_is_lost() {
    let mut server = start().await;
    for question in ["silent", "trickle", "flood"] {
        let wire = Wire::to(server.address).await;
        let client = Client::connect(&format!("http://{}", wire.address), "vk_user").await.expect("connected");
        let mut stream = client.query().answer(ask(question)).await.expect("begun").into_inner();
        stream.message().await.expect("fine").expect("an event");
        wire.cut();
        assert_eq!(server.departure().await, Departure::Lost, "{question}");
        while let Ok(Some(_)) = stream.message().await {}
    }
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_lost() {
    let mut server = start_with(ServerSettings {
        keepalive_interval_s: 1,
        keepalive_timeout_s: 1,
        connection_idle_s: 60,
        ..settings()
    })
    .await;
    let wire = Silent::to(server.address).await;
    let client = Client::connect(&format!("http://{}", wire.address), "vk_user").await.expect("connected");
    let mut stream = client.query().answer(ask("silent")).await.expect("begun").into_inner();
    stream.message().await.expect("fine").expect("an event");
    wire.fall_silent();
    assert_eq!(server.departure().await, Departure::Lost);
}

#[tokio::test]
async fn a_caller_who_stops_to_read_is_cut_and_may_resume() {
    let mut server = start_with(ServerSettings { stream_idle_s: 1, ..settings() }).await;
    let client = server.client("user").await;
    let mut stream = client.query().answer(ask("flood")).await.expect("begun").into_inner();
    stream.message().await.expect("fine").expect("an event");
    // The connection lives on and answers pings; only this stream's window is full.
    assert_eq!(server.departure().await, Departure::Lost);
    let status = loop {
        match stream.message().await {
            Ok(message) => assert!(message.is_some(), "ended without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "STREAM_STALLED"));
}

#[tokio::test]
async fn a_caller_who_waits_for_a_silent_source_is_not_cut() {
    let server = start_with(ServerSettings { stream_idle_s: 1, ..settings() }).await;
    let mut stream = server.client("user").await.query().answer(ask("silent")).await.expect("begun").into_inner();
    stream.message().await.expect("fine").expect("an event");
    let next = tokio::time::timeout(Duration::from_millis(2500), stream.message()).await;
    assert!(next.is_err(), "still waiting, not {next:?}");
}

/// A wire that stops to carry bytes without closing.
struct Silent {
    address: std::net::SocketAddr,
    silence: tokio_util::sync::CancellationToken,
}

impl Silent {
    async fn to(server: std::net::SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let silence = tokio_util::sync::CancellationToken::new();
        let silent = silence.clone();
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.expect("a client");
            let mut server = tokio::net::TcpStream::connect(server).await.expect("the server");
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                () = silent.cancelled() => {}
            }
            // Both ends stay open, and nothing moves.
            tokio::time::sleep(Duration::from_secs(60)).await;
        });
        Self { address, silence }
    }

    fn fall_silent(&self) {
        self.silence.cancel();
    }
}
