//! TLS.

use std::{path::Path, process::Command};

use super::{server::Process, *};

/// Makes a certificate for `localhost` that signs itself.
fn certificate(directory: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .expect("openssl is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (certificate, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_tls_with_a_server_that_is_trusted() {
    // As every program of ours does first. Another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(dir.path());
    let server = Process::start(&dir.path().join("data"), None, "sesame", Some((&certificate, &key)));
    let open = |scheme: &str, host: &str, ca_file: Option<&Path>| {
        let settings = QdrantSettings { ca_file: ca_file.map(Path::to_owned), ..QdrantSettings::default() };
        QdrantIndex::open(&format!("{scheme}://{host}:{}", server.port), &"sesame".into(), &settings)
    };
    let trusted = open("https", "localhost", Some(&certificate)).unwrap();
    trusted.check().await.unwrap();
    trusted.upsert(&scope(), vec![point(1, &[1.0], "word")]).await.unwrap();

    for (host, ca_file) in [("localhost", None), ("127.0.0.1", Some(&*certificate))] {
        let error = open("https", host, ca_file).unwrap().check().await.expect_err("not trusted");
        let told = (error.kind(), error.reason());
        assert_eq!(told, (ErrorKind::FailedPrecondition, "VECTOR_INDEX_INSECURE"), "{host}: {error:?}");
        assert!(error.message().contains("vectors.ca_file"), "{error}");
    }
    open("http", "localhost", None).unwrap().check().await.expect_err("the server speaks TLS alone");
    let error = open("https", "localhost", Some(Path::new("/not/there.pem"))).expect_err("no such file");
    assert_eq!(error.violations()[0].field, "vectors.ca_file");

    let plain = Process::start(&dir.path().join("plain"), None, "", None);
    let url = format!("https://localhost:{}", plain.port);
    let settings = QdrantSettings { ca_file: Some(certificate.clone()), ..QdrantSettings::default() };
    let error = QdrantIndex::open(&url, &"".into(), &settings).unwrap().check().await.expect_err("no TLS there");
    assert_eq!(error.reason(), "VECTOR_INDEX_INSECURE", "{error:?}");
}
