//! TLS by certificate and key files.

use std::path::PathBuf;

use vectrion::client::{Client, Options, Tls};

use super::support::{ask, search, settings, start_with};
use crate::{ServeError, ServerSettings, connection};

const CERTIFICATE: &str = include_str!("fixtures/certificate.pem");

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/tests/fixtures").join(name)
}

fn with_files(certificate: &str, key: &str) -> ServerSettings {
    ServerSettings { tls_certificate_path: fixture(certificate), tls_key_path: fixture(key), ..settings() }
}

#[tokio::test]
async fn calls_and_streams_go_through_tls_and_strangers_are_not_trusted() {
    let server = start_with(with_files("certificate.pem", "key.pem")).await;
    let url = format!("https://localhost:{}", server.address.port());
    let trusting = Options { tls: Tls::only(CERTIFICATE), ..Options::default() };
    let client = Client::connect_with(&url, "vk_user", trusting).await.expect("connected");
    client.query().retrieve(search("x")).await.expect("fine");
    let mut stream = client.query().answer(ask("done")).await.expect("begun").into_inner();
    while stream.message().await.expect("fine").is_some() {}

    let error = Client::connect(&url, "vk_user").await.expect_err("the certificate is nobody's");
    assert_eq!(error.to_string(), "cannot connect to the server");
    let plain = Client::connect(&server.url(), "vk_user").await;
    let plain = match plain {
        Ok(client) => client.query().retrieve(search("x")).await.is_err(),
        Err(_) => true,
    };
    assert!(plain, "clear text is not answered");
    server.stop().await;
}

#[tokio::test]
async fn a_cancelled_call_and_a_lost_connection_are_told_apart_within_tls() {
    use super::support::Wire;
    use connection::Departure;

    let mut server = start_with(with_files("certificate.pem", "key.pem")).await;
    for (cut, expected) in [(false, Departure::Cancelled), (true, Departure::Lost)] {
        let wire = Wire::to(server.address).await;
        let url = format!("https://localhost:{}", wire.address.port());
        let options = Options { tls: Tls::only(CERTIFICATE), ..Options::default() };
        let client = Client::connect_with(&url, "vk_user", options).await.expect("connected");
        let mut stream = client.query().answer(ask("silent")).await.expect("begun").into_inner();
        stream.message().await.expect("fine").expect("started");
        if cut {
            wire.cut();
        } else {
            drop((stream, client));
        }
        assert_eq!(server.departure().await, expected);
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_with_their_setting() {
    let wrong = |certificate, key| async move {
        let settings = with_files(certificate, key);
        match connection::acceptor(&settings).await {
            Ok(_) => panic!("accepted"),
            Err(error) => (error.to_string(), error),
        }
    };
    let (text, error) = wrong("missing.pem", "key.pem").await;
    assert!(matches!(error, ServeError::TlsFile { key: "tls_certificate_path", .. }), "{text}");
    assert!(text.contains("missing.pem"), "{text}");
    let (text, error) = wrong("certificate.pem", "certificate.pem").await;
    assert!(matches!(error, ServeError::TlsContent { key: "tls_key_path", .. }), "{text}");
    assert!(text.contains("holds no private key"), "{text}");
    let (text, error) = wrong("key.pem", "key.pem").await;
    assert!(matches!(error, ServeError::TlsContent { key: "tls_certificate_path", .. }), "{text}");
    let (text, error) = wrong("certificate.pem", "other-key.pem").await;
    assert!(matches!(error, ServeError::TlsIdentity { .. }), "{text}");
}
