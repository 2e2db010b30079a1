//! The command line against a server: what it prints, and how it ends.

use std::{
    io::pipe,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::support::{
    TestApp,
    process::{Ended, run, vectrion},
};

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

fn command(app: &TestApp, arguments: &[&str]) -> Command {
    let mut command = vectrion();
    command.env("VECTRION_ADDR", &app.url).env("VECTRION_API_KEY", app.operator_key()).args(arguments);
    command
}

async fn call(app: &TestApp, arguments: &[&str]) -> Ended {
    run(&mut command(app, arguments)).await
}

fn write(folder: &Path, name: &str, text: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn is_object_with(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "{key} of {value}");
    }
}

#[tokio::test]
async fn ingest_prints_a_document_for_each_file() {
    let app = TestApp::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tide = write(folder.path(), "a-tide.txt", b"The tide at Hollin Sound turns at four.");
    write(folder.path(), "b-lock.md", b"# Lock\n\nThe lock gate weighs eleven tonnes.\n");
    write(folder.path(), ".hidden.txt", b"Nobody sees this.");
    write(folder.path(), "photo.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");

    let at = folder.path().display().to_string();
    let ended = call(&app, &["ingest", "--wait", "--metadata", "year=2026", &at, "--json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("passed over 2 files"), "{}", ended.err);
    let documents = ended.json();
    let names: Vec<_> = documents.iter().map(|document| document["filename"].as_str().unwrap()).collect();
    assert_eq!(names, ["a-tide.txt", "b-lock.md"]);
    for document in &documents {
        is_object_with(document, &["documentId", "collectionId", "contentType", "sizeBytes", "sha256", "createTime"]);
        assert_eq!(document["state"], "DOCUMENT_STATE_INDEXED");
        assert_eq!((&document["version"], &document["pageCount"]), (&1.into(), &1.into()));
        assert!(document["chunkCount"].as_i64() > Some(0) && document["chunkCount"] == document["vectorCount"]);
        assert_eq!(document["metadata"]["year"].as_f64(), Some(2026.0));
    }
    let path = std::fs::canonicalize(&tide).unwrap();
    assert_eq!(documents[0]["externalId"].as_str(), path.to_str(), "the absolute path is the identity");

    let again = call(&app, &["ingest", &tide, "--json"]).await;
    assert_eq!((again.code, &again.json()[0]["documentId"]), (Some(0), &documents[0]["documentId"]));
    let text = call(&app, &["ingest", &tide, "--wait"]).await;
    assert!(text.out.contains("indexed") && text.out.contains("a-tide.txt"), "{}", text.out);
    let listed = call(&app, &["documents", "list", "--json"]).await;
    assert_eq!(listed.json().len(), 2);
    app.stop().await;
}

#[tokio::test]
async fn a_refused_file_is_a_failed_document() {
    let app = TestApp::start().await;
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "good.txt", b"The crane lifts forty tonnes.");
    let empty = write(folder.path(), "empty.txt", b"");
    let image: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let photo = write(folder.path(), "photo.png", image);
    let ended = call(&app, &["ingest", "--json", "--wait", &empty, &good, &photo]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let documents = ended.json();
    assert_eq!(documents[1]["state"], "DOCUMENT_STATE_INDEXED");
    for (position, name, bytes, reason) in
        [(0, "empty.txt", &b""[..], "EMPTY_FILE"), (2, "photo.png", image, "UNSUPPORTED_TYPE")]
    {
        let document = &documents[position];
        assert_eq!((&document["filename"], &document["state"]), (&name.into(), &"DOCUMENT_STATE_FAILED".into()));
        assert_eq!(document["failure"]["stage"], "upload");
        assert_eq!(document["failure"]["reason"], reason);
        assert!(document["failure"]["message"].as_str().is_some_and(|message| message.len() > 15), "{document}");
        assert_eq!(document["sha256"].as_str(), Some(hex::encode(Sha256::digest(bytes)).as_str()));
        assert!(document.get("documentId").is_none(), "{document}");
    }
    let ended = call(&app, &["ingest", &format!("{good}.missing")]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{}", ended.err);
    app.stop().await;
}

#[tokio::test]
async fn questions_print_events_and_places() {
    let app = TestApp::start().await;
    let client = app.operator().await;
    client.index("hut.md", b"# Hut\n\nThe hut at Varnpass sleeps fourteen hikers.\n").await;
    let question = "How many hikers does the hut at Varnpass sleep?";
    let ended = call(&app, &["ask", question, "--json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let events = ended.json();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence"].as_str().unwrap(), (number + 1).to_string(), "{event}");
        is_object_with(event, &["answerId"]);
    }
    assert!(events.iter().any(|event| event["citation"]["quote"].as_str().is_some_and(|it| it.contains("fourteen"))));
    assert_eq!(events.last().unwrap()["done"]["finishReason"], "FINISH_REASON_STOP");
    let text = call(&app, &["ask", question]).await;
    assert!(
        text.out.contains("fourteen hikers") && text.out.contains("[1]") && text.out.contains("hut.md"),
        "{}",
        text.out
    );

    let nothing = call(&app, &["ask", "zxqv wobblefrotz glimmerplonk?"]).await;
    assert_eq!(nothing.code, Some(0), "{}", nothing.err);
    assert!(nothing.out.contains("No relevant content"), "{}", nothing.out);
    let events = call(&app, &["--json", "ask", "zxqv wobblefrotz glimmerplonk?"]).await.json();
    assert_eq!(events.last().unwrap()["done"]["finishReason"], "FINISH_REASON_NO_RELEVANT_CONTENT");

    let lines = [["--json", "search", question], ["search", "--json", question], ["search", question, "--json"]];
    for line in lines {
        let ended = call(&app, &line).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let passages = ended.json();
        assert_eq!(passages.len(), 1);
        is_object_with(
            &passages[0],
            &["passageId", "documentId", "text", "pageStart", "score", "denseScore", "sparseScore"],
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn the_exit_status_tells_causes_apart() {
    let app = TestApp::start().await;
    let code = async |arguments: &[&str]| {
        let ended = call(&app, arguments).await;
        assert!(ended.out.is_empty(), "errors go to standard error: {}", ended.out);
        assert!(ended.err.len() > 20, "{}", ended.err);
        (ended.code.unwrap(), ended.err)
    };
    assert_eq!(code(&["ask", ""]).await.0, 2);
    assert_eq!(code(&["search", ""]).await.0, 2);
    assert_eq!(code(&["search"]).await.0, 2);
    assert_eq!(code(&["documents", "show", NOBODY]).await.0, 5);
    assert_eq!(code(&["documents", "delete", NOBODY, "--yes"]).await.0, 5);
    let (status, message) = code(&["documents", "list", "--api-key", "vk_wrong"]).await;
    assert!(status == 4 && message.contains("VECTRION_API_KEY"), "{status}: {message}");
    let (status, message) = code(&["documents", "list", "--addr", "http://127.0.0.1:1"]).await;
    assert!(status == 3 && message.contains("http://127.0.0.1:1") && message.contains("vectrion serve"), "{message}");
    app.stop().await;
}

#[tokio::test]
async fn keys_are_made_and_documents_deleted() {
    let app = TestApp::start().await;
    let ended = call(&app, &["keys", "create", "--role", "user", "--json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let lines = ended.json();
    let (id, secret) = (lines[0]["keyId"].as_str().unwrap(), lines[0]["secret"].as_str().unwrap());
    assert_eq!(lines.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "pier.txt", b"The pier is closed in March.");
    assert_eq!(call(&app, &["documents", "list", "--api-key", secret]).await.code, Some(0));
    let refused = call(&app, &["ingest", &path, "--api-key", secret]).await;
    assert_eq!(refused.code, Some(4), "{}", refused.err);
    assert!(!call(&app, &["keys", "list", "--json"]).await.out.contains(secret));
    assert_eq!(call(&app, &["keys", "revoke", id]).await.code, Some(0));

    let document = call(&app, &["ingest", "--wait", &path, "--json"]).await.json().remove(0);
    let id = document["documentId"].as_str().unwrap();
    let deleted = call(&app, &["documents", "delete", id, "--json"]).await;
    assert_eq!((deleted.code, deleted.json()[0]["state"].as_str()), (Some(0), Some("DOCUMENT_STATE_DELETING")));
    app.operator().await.gone(id).await;
    assert_eq!(call(&app, &["documents", "show", id]).await.code, Some(5));
    app.stop().await;
}

#[tokio::test]
async fn a_closed_pipe_is_no_error() {
    let app = TestApp::start().await;
    app.operator().await.index("mill.txt", b"The mill grinds barley.").await;
    let lines: [&[&str]; 4] = [
        &["documents", "list"],
        &["documents", "list", "--json"],
        &["ask", "What does the mill grind?"],
        &["check-config"],
    ];
    for line in lines {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let child = command(&app, line).stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().await.unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{line:?}: {err}");
        assert!(!err.contains("panicked") && !err.to_lowercase().contains("broken pipe"), "{line:?}: {err}");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_configuration_is_checked_and_shown_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let check = async |arguments: &[&str]| {
        let mut command = vectrion();
        command.arg("check-config").arg("--data-dir").arg(folder.path()).args(arguments);
        command.env("VECTRION_MODELS_CHAT_API_KEY", "sk-quite-secret").env("VECTRION_AUTH_PEPPER", "hush-".repeat(8));
        run(&mut command).await
    };
    let shown =
        check(&["--set", "models.chat=https://models.example.org/v1", "--set", "models.chat_model=scripted"]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    assert!(shown.out.contains("https://models.example.org/v1") && shown.out.contains("[worker]"), "{}", shown.out);
    let all = format!("{}{}", shown.out, shown.err);
    assert!(!all.contains("sk-quite-secret") && !all.contains("hush-"), "{all}");

    let file = write(folder.path(), "wrong.toml", b"[worker]\nlease_sec = 7\n");
    let wrong = check(&["--config", &file]).await;
    assert_eq!((wrong.code, wrong.out.as_str()), (Some(2), ""), "{}", wrong.err);
    assert!(wrong.err.contains("worker.lease_sec") && wrong.err.contains("`lease_s`"), "{}", wrong.err);
    let wrong = check(&["--set", "worker.lease_sec=7"]).await;
    assert_eq!((wrong.code, wrong.out.as_str()), (Some(2), ""), "{}", wrong.err);
    assert!(wrong.err.contains("worker.lease_sec") && wrong.err.contains("`lease_s`"), "{}", wrong.err);
}

#[tokio::test]
async fn shells_get_completions() {
    for (shell, sign) in
        [("bash", "complete -F _vectrion"), ("zsh", "#compdef vectrion"), ("fish", "complete -c vectrion")]
    {
        let ended = run(vectrion().args(["completions", shell])).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(ended.out.contains(sign) && ended.out.contains("dead-letters"), "{shell}");
    }
}

/// A way to the server that cuts each of the first `cuts` connections after so many bytes from the client, and then lets
/// nobody in any more unless `stays`.
async fn flaky(server: &str, cuts: usize, stays: bool) -> String {
    const BYTES: usize = 300 * 1024;
    let server = server.strip_prefix("http://").expect("a URL").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        let cut = Arc::new(AtomicUsize::new(0));
        let gone = tokio_util::sync::CancellationToken::new();
        loop {
            let (client, _) = tokio::select! {
                accepted = listener.accept() => accepted.expect("a client"),
                () = gone.cancelled() => return,
            };
            let (cut, gone, server) = (Arc::clone(&cut), gone.clone(), server.clone());
            tokio::spawn(async move {
                let server = TcpStream::connect(server).await.expect("the server");
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let (mut piece, mut carried) = (vec![0; 16 * 1024], 0);
                while let Ok(read @ 1..) = from_client.read(&mut piece).await {
                    carried += read;
                    if carried > BYTES && cut.load(Ordering::SeqCst) < cuts {
                        cut.fetch_add(1, Ordering::SeqCst);
                        back.abort();
                        if !stays {
                            gone.cancel();
                        }
                        return;
                    }
                    if to_server.write_all(&piece[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

/// Many bytes, and little to read in them.
fn long_text() -> Vec<u8> {
    let mut text = b"The log of the lightship says little.\n".to_vec();
    text.extend(b" \n".repeat(400_000));
    text
}

#[tokio::test]
async fn an_upload_whose_connection_breaks_is_repeated() {
    let app = TestApp::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "log.txt", &long_text());
    let url = flaky(&app.url, 2, true).await;
    let ended = run(command(&app, &["ingest", &file, "--json"]).env("VECTRION_ADDR", url)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let documents = ended.json();
    assert!(documents.len() == 1 && documents[0]["documentId"].is_string(), "{documents:?}");
    assert_eq!(app.operator().await.list().await.len(), 1, "stored once");
    app.stop().await;
}

#[tokio::test]
async fn a_connection_that_keeps_breaking_is_no_refusal() {
    let app = TestApp::start().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a-log.txt", &long_text());
    write(folder.path(), "b-note.txt", b"The lightship left its station in March.");
    let at = folder.path().display().to_string();

    // The server is there, and only the large file never comes through.
    let url = flaky(&app.url, usize::MAX, true).await;
    let arguments = ["ingest", &at, "--json", "--parallel", "1", "--retry-for", "1"];
    let ended = run(command(&app, &arguments).env("VECTRION_ADDR", url)).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let documents = ended.json();
    assert_eq!(documents[0]["failure"]["reason"], "CONNECTION_LOST", "{documents:?}");
    assert_eq!(documents[0]["failure"]["stage"], "upload");
    assert!(documents[1]["documentId"].is_string(), "the others are tried: {documents:?}");

    // The server is gone.
    let url = flaky(&app.url, 1, false).await;
    let ended = run(command(&app, &arguments).env("VECTRION_ADDR", url)).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(3), ""), "{}", ended.err);
    assert!(ended.err.contains("cannot be reached any more"), "{}", ended.err);
    app.stop().await;
}

#[tokio::test]
async fn a_missing_collection_ends_an_ingest() {
    let app = TestApp::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.txt", b"The lightship left its station in March.");
    let ended = call(&app, &["ingest", &file, "--collection", "nowhere", "--json"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(5), ""), "{}", ended.err);
    assert!(ended.err.contains("nowhere"), "{}", ended.err);
    app.stop().await;
}
