//! The wire: encryption, what is told without a key, pages, deadlines, sizes, metrics.

use std::path::{Path, PathBuf};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};
use vectrion::v1::RetrieveRequest;

use crate::support::{
    Process, TestApp,
    client::reason,
    process::{run, vectrion},
};

const PAGE: &str = "https://chat.example.org";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/server/src/tests/fixtures").join(name)
}

async fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn the_command_line_trusts_the_given_certificate_alone() {
    let (certificate, key) = (fixture("certificate.pem"), fixture("key.pem"));
    let settings = [
        ("server.tls_certificate_path", certificate.to_str().unwrap()),
        ("server.tls_key_path", key.to_str().unwrap()),
    ];
    let app = TestApp::start_with(&settings).await;
    assert!(app.url.starts_with("https://127.0.0.1:"), "{}", app.url);
    let list = async |url: &str, more: &[&str]| {
        let mut command = vectrion();
        command.env("VECTRION_ADDR", url).env("VECTRION_API_KEY", app.operator_key());
        run(command.args(["documents", "list"]).args(more)).await
    };
    let trusting = list(&app.url, &["--ca-cert", certificate.to_str().unwrap()]).await;
    assert_eq!(trusting.code, Some(0), "{}", trusting.err);
    assert_eq!(list(&app.url, &[]).await.code, Some(3), "the certificate is nobody's");
    assert_eq!(list(&app.url.replace("https", "http"), &[]).await.code, Some(3), "clear text is not answered");
    app.stop().await;
}

#[tokio::test]
async fn beyond_this_machine_it_listens_encrypted_or_on_request() {
    let data = tempfile::tempdir().unwrap();
    let Err((status, log)) = Process::try_start(data.path(), &["server.listen=0.0.0.0:0"], "").await else {
        panic!("it listens in clear text");
    };
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("without TLS") && log.contains("server.allow_insecure"), "{log}");
    let process = Process::start(data.path(), &["server.listen=0.0.0.0:0", "server.allow_insecure=true"], "").await;
    assert_eq!(process.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn health_is_told_to_all_and_reflection_to_callers_with_a_key() {
    let app = TestApp::start().await;
    let channel = channel(&app.url).await;
    for service in ["", "vectrion.v1.QueryService"] {
        let request = HealthCheckRequest { service: service.into() };
        let answer = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    let key = app.operator_key();
    for v1alpha in [false, true] {
        let status = services(channel.clone(), v1alpha, None).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        let names = services(channel.clone(), v1alpha, Some(&key)).await.unwrap();
        for service in ["IngestionService", "QueryService", "AdminService"] {
            assert!(names.contains(&format!("vectrion.v1.{service}")), "{names:?}");
        }
    }
    app.stop().await;
}

/// Names of the services that reflection lists.
async fn services(channel: Channel, alpha: bool, key: Option<&str>) -> Result<Vec<String>, Status> {
    macro_rules! ask {
        ($version:ident) => {{
            use $version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            };
            let message_request = Some(MessageRequest::ListServices(String::new()));
            let message = ServerReflectionRequest { host: String::new(), message_request };
            let request = with_key(tokio_stream::iter([message]), key);
            let mut stream = ServerReflectionClient::new(channel).server_reflection_info(request).await?.into_inner();
            match stream.message().await?.and_then(|message| message.message_response) {
                Some(MessageResponse::ListServicesResponse(list)) => {
                    Ok(list.service.into_iter().map(|service| service.name).collect())
                }
                other => panic!("{other:?}"),
            }
        }};
    }
    if alpha { ask!(v1alpha) } else { ask!(v1) }
}

fn with_key<T>(message: T, key: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(key) = key {
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    }
    request
}

/// Sends an HTTP/1.1 request and reads to the end of the connection: head in lower case, and body.
async fn exchange(address: &str, head: &str, body: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{head}host: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.to_lowercase(), body.to_owned())
}

/// A call as a page makes it. The message holds one text as its first field.
async fn page_calls(app: &TestApp, method: &str, text: &str, more: &str) -> (String, String) {
    let mut message = vec![10, u8::try_from(text.len()).unwrap()];
    assert!(text.len() < 128, "its length fits a byte");
    message.extend_from_slice(text.as_bytes());
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    let head = format!(
        "POST /vectrion.v1.QueryService/{method} HTTP/1.1\r\ncontent-type: application/grpc-web+proto\r\n\
         x-grpc-web: 1\r\norigin: {PAGE}\r\nauthorization: Bearer {}\r\n{more}",
        app.operator_key()
    );
    exchange(app.url.strip_prefix("http://").unwrap(), &head, &frame).await
}

async fn with_pages() -> TestApp {
    TestApp::start_with(&[("server.grpc_web", "true"), ("server.cors_origins", PAGE)]).await
}

#[tokio::test]
async fn a_page_searches_and_streams_an_answer() {
    let app = with_pages().await;
    app.operator().await.index("bridge.md", b"# Bridge\n\nThe bridge at Tarn carries twelve tonnes.\n").await;
    let preflight = format!(
        "OPTIONS /vectrion.v1.QueryService/Answer HTTP/1.1\r\norigin: {PAGE}\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: authorization,content-type,x-grpc-web\r\n"
    );
    let address = app.url.strip_prefix("http://").unwrap();
    let (head, _) = exchange(address, &preflight, b"").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains(&format!("access-control-allow-origin: {PAGE}")), "{head}");
    let (head, _) = exchange(address, &preflight.replace(PAGE, "https://evil.example.org"), b"").await;
    assert!(!head.contains("access-control-allow-origin"), "{head}");

    for method in ["Retrieve", "Answer"] {
        let (head, body) = page_calls(&app, method, "What does the bridge at Tarn carry?", "").await;
        assert!(head.starts_with("http/1.1 200") && head.contains(&format!("access-control-allow-origin: {PAGE}")));
        assert!(body.contains("twelve tonnes") && body.contains("grpc-status:0"), "{method}: {head}\n{body}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_call_out_of_time_says_so() {
    let app = with_pages().await;
    app.operator().await.index("quay.md", b"The quay is two hundred metres long.").await;
    // Not by a gRPC client: its own clock would run out first.
    for method in ["Retrieve", "Answer"] {
        let (head, body) = page_calls(&app, method, "How long is the quay?", "grpc-timeout: 1m\r\n").await;
        let told = format!("{head}\n{body}").to_lowercase().replace("grpc-status: ", "grpc-status:");
        assert!(told.contains("grpc-status:4"), "{method}: {told}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_and_the_connection_lives() {
    let app = TestApp::start().await;
    let client = app.operator().await;
    let request = RetrieveRequest { query: "x".repeat(2 << 20), ..RetrieveRequest::default() };
    let status = client.query.clone().retrieve(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::ResourceExhausted | Code::OutOfRange), "{status:?}");
    assert_eq!(reason(&status), "MESSAGE_TOO_LARGE");
    assert!(client.search("x").await.is_empty());
    app.stop().await;
}

#[tokio::test]
async fn metrics_count_calls_and_documents() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path(), &["log.format=json"], "").await;
    let client = process.operator().await;
    client.index("gate.txt", b"The gate is green.").await;
    let log = process.log();
    let line = log.lines().find(|line| line.contains("metrics and health by http")).expect("the log names the address");
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let address = line["address"].as_str().unwrap();
    let (head, _) = exchange(address, "GET /healthz HTTP/1.1\r\n", b"").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let (head, body) = exchange(address, "GET /metrics HTTP/1.1\r\n", b"").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let counted = |start: &str, label: &str| body.lines().any(|line| line.starts_with(start) && line.contains(label));
    assert!(counted("vectrion_rpc_duration_seconds_bucket{", "method=\"UploadDocument\""), "{body}");
    assert!(counted("vectrion_rpc_duration_seconds_count{", "method=\"GetDocument\""), "{body}");
    assert!(body.lines().any(|line| line == "vectrion_documents{state=\"indexed\"} 1"), "{body}");
    assert_eq!(process.terminate().await.code(), Some(0));
}
