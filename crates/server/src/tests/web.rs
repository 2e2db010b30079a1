//! gRPC-Web over HTTP/1.1, as browsers speak it.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::support::{Running, search, settings, start, start_with};
use crate::ServerSettings;

const PAGE: &str = "https://chat.example.org";

async fn web(origins: &[&str]) -> Running {
    let cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    start_with(ServerSettings { grpc_web: true, cors_origins, ..settings() }).await
}

/// Sends a request and reads to the end of the connection.
async fn exchange(server: &Running, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    let head = format!("{head}host: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", server.address, body.len());
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.write_all(body).await.expect("written");
    let mut bytes = Vec::new();
    // A connection that is refused may end in a reset, after what was said before.
    let _ = stream.read_to_end(&mut bytes).await;
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    (String::from_utf8_lossy(&bytes[..split]).to_lowercase(), bytes[split..].to_vec())
}

fn post(method: &str, more: &str) -> String {
    format!(
        "POST /vectrion.v1.QueryService/{method} HTTP/1.1\r\ncontent-type: application/grpc-web+proto\r\n\
         x-grpc-web: 1\r\norigin: {PAGE}\r\n{more}"
    )
}

fn framed(message: &impl prost::Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(body.len()).expect("small").to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_calls_and_reads_the_status() {
    let server = web(&[PAGE]).await;
    let (head, body) =
        exchange(&server, &post("Retrieve", "authorization: Bearer vk_user\r\n"), &framed(&search("x"))).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains(&format!("access-control-allow-origin: {PAGE}")), "{head}");
    assert!(head.contains("access-control-expose-headers:") && head.contains("grpc-status-details-bin"), "{head}");
    assert!(head.contains("trace-id: "), "{head}");
    assert!(String::from_utf8_lossy(&body).contains("grpc-status:0"), "{body:?}");
}

#[tokio::test]
async fn a_page_streams_an_answer() {
    let server = web(&[PAGE]).await;
    let question = super::support::ask("done");
    let (_, body) = exchange(&server, &post("Answer", "authorization: Bearer vk_user\r\n"), &framed(&question)).await;
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("script") && text.contains("grpc-status:0"), "{text}");
}

#[tokio::test]
async fn a_page_without_a_key_learns_why() {
    let server = web(&["*"]).await;
    let (head, body) = exchange(&server, &post("Retrieve", ""), &framed(&search("x"))).await;
    let whole = format!("{head}{}", String::from_utf8_lossy(&body));
    assert!(head.starts_with("http/1.1 200") && head.contains("access-control-allow-origin: *"), "{head}");
    assert!(whole.contains("grpc-status: 16") || whole.contains("grpc-status:16"), "{whole}");
}

fn preflight(origin: &str) -> String {
    format!(
        "OPTIONS /vectrion.v1.QueryService/Retrieve HTTP/1.1\r\norigin: {origin}\r\n\
         access-control-request-method: POST\r\n\
         access-control-request-headers: authorization,content-type,x-grpc-web\r\n"
    )
}

#[tokio::test]
async fn preflights_are_answered_for_allowed_origins_only_and_without_a_key() {
    let server = web(&[PAGE, "http://localhost:5173"]).await;
    for origin in [PAGE, "http://localhost:5173"] {
        let (head, _) = exchange(&server, &preflight(origin), b"").await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains(&format!("access-control-allow-origin: {origin}")), "{head}");
        assert!(head.contains("access-control-allow-headers:") && head.contains("authorization"), "{head}");
    }
    let (head, _) = exchange(&server, &preflight("https://evil.example.org"), b"").await;
    assert!(!head.contains("access-control-allow-origin"), "{head}");
}

#[tokio::test]
async fn other_http_is_not_served() {
    let server = web(&[PAGE]).await;
    let (head, _) = exchange(&server, "GET / HTTP/1.1\r\n", b"").await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
}

#[tokio::test]
async fn grpc_clients_are_served_beside_pages() {
    let server = web(&[PAGE]).await;
    server.client("user").await.query().retrieve(search("x")).await.expect("fine");
}

#[tokio::test]
async fn without_the_setting_http1_is_not_answered() {
    let server = start().await;
    let (head, _) =
        exchange(&server, &post("Retrieve", "authorization: Bearer vk_user\r\n"), &framed(&search("x"))).await;
    assert!(!head.contains("http/1.1 200"), "{head}");
}
