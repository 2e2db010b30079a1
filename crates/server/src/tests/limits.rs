//! What is too much is refused, with a reason.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, IntoRequest as _, client::Grpc, transport::Endpoint};

use super::support::{Running, ask, reason, search, settings, start, start_with};
use crate::ServerSettings;

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let server = start_with(ServerSettings { max_query_request_bytes: 64 * 1024, ..settings() }).await;
    let client = server.client("user").await;
    client.query().retrieve(search(&"x".repeat(60 * 1024))).await.expect("within the limit");
    let status = client.query().retrieve(search(&"x".repeat(70 * 1024))).await.expect_err("too large");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    #[derive(Clone, Copy, Default)]
    struct Raw;
    impl tonic::codec::Codec for Raw {
        type Encode = Bytes;
        type Decode = ();
        type Encoder = Self;
        type Decoder = tonic_prost::ProstDecoder<()>;
        fn encoder(&mut self) -> Self {
            Self
        }
        fn decoder(&mut self) -> Self::Decoder {
            tonic_prost::ProstDecoder::new(tonic::codec::BufferSettings::default())
        }
    }
    impl tonic::codec::Encoder for Raw {
        type Item = Bytes;
        type Error = tonic::Status;
        fn encode(&mut self, item: Bytes, buffer: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), tonic::Status> {
            use bytes::BufMut as _;
            buffer.put(item);
            Ok(())
        }
    }
    let server = start().await;
    let channel = Endpoint::from_shared(server.url()).expect("a URL").connect().await.expect("connected");
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.expect("ready");
    let mut request = Bytes::from_static(&[0xff; 20]).into_request();
    request.metadata_mut().insert("authorization", "Bearer vk_user".parse().expect("ascii"));
    let path = "/vectrion.v1.QueryService/Retrieve".parse().expect("a path");
    let status = grpc.unary(request, path, Raw).await.expect_err("malformed");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "MALFORMED_MESSAGE"));
}

#[tokio::test]
async fn metadata_that_is_too_large_is_refused_and_the_server_lives() {
    let server = start().await;
    let client = server.client("user").await;
    let mut request = search("x").into_request();
    request.metadata_mut().insert("x-large", "x".repeat(20_000).parse().expect("ascii"));
    assert!(client.query().retrieve(request).await.is_err());
    server.client("user").await.query().retrieve(search("x")).await.expect("fine");
}

#[tokio::test]
async fn more_streams_than_allowed_on_a_connection_wait() {
    let server = start_with(ServerSettings { max_streams_per_connection: 2, ..settings() }).await;
    let client = server.client("user").await;
    client.query().retrieve(search("x")).await.expect("the limit is known to the client");
    let first = client.query().answer(ask("silent")).await.expect("begun");
    let _second = client.query().answer(ask("silent")).await.expect("begun");
    let mut query = client.query();
    let third = query.retrieve(search("x"));
    tokio::pin!(third);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut third).await.is_err(), "waits");
    drop(first);
    third.await.expect("now there is room");
}

#[tokio::test]
async fn more_calls_than_allowed_in_all_are_refused() {
    let server = start_with(ServerSettings { max_calls: 1, ..settings() }).await;
    let (one, other) = (server.client("user").await, server.client("user").await);
    let stream = one.query().answer(ask("silent")).await.expect("begun");
    let status = other.query().retrieve(search("x")).await.expect_err("no room");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "TOO_MANY_CALLS"));
    assert!(vectrion::error::details(&status).expect("details").retry_after.is_some());
    drop(stream);
    let again = async {
        while other.query().retrieve(search("x")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), again).await.expect("the place is free again");
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed() {
    let server = start_with(ServerSettings { max_connections: 1, ..settings() }).await;
    let client = server.client("user").await;
    client.query().retrieve(search("x")).await.expect("the first is served");
    let mut second = tokio::net::TcpStream::connect(server.address).await.expect("accepted by the kernel");
    let read = tokio::time::timeout(Duration::from_secs(5), second.read(&mut [0; 16])).await.expect("closed at once");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    drop(client);
    let again = async {
        loop {
            if let Ok(client) = vectrion::client::Client::connect(&server.url(), "vk_user").await
                && client.query().retrieve(search("x")).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), again).await.expect("the place is free again");
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_closed() {
    let server = start_with(ServerSettings { keepalive_interval_s: 1, connection_idle_s: 2, ..settings() }).await;
    for first in [&b""[..], b"PRI * HT"] {
        let mut idle = tokio::net::TcpStream::connect(server.address).await.expect("connected");
        idle.write_all(first).await.expect("written");
        let closed = tokio::time::timeout(Duration::from_secs(8), async {
            while !matches!(idle.read(&mut [0; 256]).await, Ok(0) | Err(_)) {}
        });
        closed.await.expect("closed");
    }
}

#[tokio::test]
async fn an_idle_client_that_answers_pings_stays() {
    let server = start_with(ServerSettings { keepalive_interval_s: 1, connection_idle_s: 2, ..settings() }).await;
    let client = server.client("user").await;
    let mut stream = client.query().answer(ask("silent")).await.expect("begun").into_inner();
    stream.message().await.expect("fine").expect("an event");
    tokio::time::sleep(Duration::from_millis(3500)).await;
    let next = tokio::time::timeout(Duration::from_millis(100), stream.message()).await;
    assert!(next.is_err(), "still connected, not {next:?}");
}

#[tokio::test]
async fn a_handler_that_panics_costs_one_call() {
    let server = start().await;
    let client = server.client("user").await;
    let status = client.query().retrieve(search("panic")).await.expect_err("a panic");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "PANIC"));
    assert!(!status.message().contains("scripted"), "{}", status.message());

    let mut stream = client.query().answer(ask("panic")).await.expect("begun").into_inner();
    stream.message().await.expect("fine").expect("started");
    let status = stream.message().await.expect_err("a panic");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "PANIC"));
    client.query().retrieve(search("x")).await.expect("the connection lives");
}

/// Opens so many streams on a connection of its own and resets each at once. Whether the server closes it.
async fn resets(server: &Running, many: u32) -> bool {
    let mut raw = tokio::net::TcpStream::connect(server.address).await.expect("connected");
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    for n in 0..many {
        let stream = (2 * n + 1).to_be_bytes();
        // HEADERS with END_HEADERS: `:method: POST`, `:scheme: http`, `:path: /` from the static table; then RST_STREAM.
        bytes.extend_from_slice(&[0, 0, 3, 1, 4]);
        bytes.extend_from_slice(&stream);
        bytes.extend_from_slice(&[0x83, 0x86, 0x84]);
        bytes.extend_from_slice(&[0, 0, 4, 3, 0]);
        bytes.extend_from_slice(&stream);
        bytes.extend_from_slice(&[0, 0, 0, 8]);
    }
    let _ = raw.write_all(&bytes).await;
    let closed = async { while !matches!(raw.read(&mut [0; 4096]).await, Ok(0) | Err(_)) {} };
    tokio::time::timeout(Duration::from_secs(1), closed).await.is_ok()
}

#[tokio::test]
async fn a_client_that_resets_streams_rapidly_loses_its_connection_and_nobody_else() {
    let server = start_with(ServerSettings { max_pending_resets: 20, ..settings() }).await;
    assert!(!resets(&server, 10).await, "a few are fine");
    assert!(resets(&server, 5000).await, "thousands are not");
    server.client("user").await.query().retrieve(search("x")).await.expect("others are served");
}
