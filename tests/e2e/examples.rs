//! The example programs of four languages, run as their readers run them.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::support::{
    PATIENCE, TestApp,
    process::{program, run},
};

const QUESTION: &str = "What does fault code E4 of the Aquila 40 mean?";
const SOURCE: &str = "aquila-40-manual.pdf";
const TELLING: &str = "dry running";
const PAGE: u32 = 2;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Something that `make test-tools` sets up.
fn tool(path: &str) -> PathBuf {
    let cache = std::env::var_os("VECTRION_CACHE_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let caches = caches.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        caches.expect("HOME is set").join("vectrion")
    });
    let path = cache.join("examples").join(path);
    assert!(path.exists(), "{} is missing: run `make test-tools`", path.display());
    path
}

async fn check(app: &TestApp, command: &mut Command) -> String {
    command.env("VECTRION_ADDR", &app.url).env("VECTRION_API_KEY", app.operator_key()).kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, run(command)).await.expect("it ends");
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    ended.out
}

/// What the programs print behind the answer: each citation with its place.
fn assert_cites(out: &str) {
    assert!(out.contains("(FINISH_REASON_STOP)"), "{out}");
    let place = format!("  {SOURCE}, page {PAGE}: ");
    let cited = out.lines().filter_map(|line| line.strip_prefix(&place)).any(|quote| quote.contains(TELLING));
    assert!(cited, "{out}");
}

fn arguments() -> [PathBuf; 2] {
    [examples().join("documents").join(SOURCE), QUESTION.into()]
}

#[tokio::test]
async fn the_rust_example_cites_the_manual() {
    let app = TestApp::start().await;
    let out = check(&app, Command::new(program("examples/ask")).args(arguments())).await;
    assert_cites(&out);
    app.stop().await;
}

#[tokio::test]
async fn the_python_example_cites_the_manual() {
    let app = TestApp::start().await;
    let mut command = Command::new(tool("python/venv/bin/python"));
    command.arg(examples().join("python/ask.py")).args(arguments()).env("PYTHONPATH", tool("python/stubs"));
    assert_cites(&check(&app, &mut command).await);
    app.stop().await;
}

#[tokio::test]
async fn the_typescript_example_cites_the_manual() {
    let app = TestApp::start().await;
    let script = tool("typescript/dist/ask.js");
    let mut command = Command::new("node");
    command.current_dir(tool("typescript")).arg(script).args(arguments());
    assert_cites(&check(&app, &mut command).await);
    app.stop().await;
}

#[tokio::test]
async fn the_grpcurl_example_cites_the_manual() {
    let app = TestApp::start().await;
    let manual = crate::support::sample(SOURCE);
    let document = app.operator().await.index(SOURCE, &manual).await;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(tool("bin")).chain(std::env::split_paths(&path))).unwrap();
    let mut command = Command::new(examples().join("grpcurl.sh"));
    let out = check(&app, command.arg(QUESTION).env("PATH", path)).await;
    let events: Vec<serde_json::Value> =
        serde_json::Deserializer::from_str(&out).into_iter().collect::<Result<_, _>>().unwrap();
    let events: Vec<&serde_json::Value> = events.iter().map(|message| &message["event"]).collect();
    let passages = events.iter().find_map(|event| event["retrieval"]["passages"].as_array()).expect("passages");
    let cited = events.iter().map(|event| &event["citation"]).any(|citation| {
        citation["quote"].as_str().is_some_and(|quote| quote.contains(TELLING))
            && passages.iter().any(|passage| {
                passage["passageId"] == citation["passageId"]
                    && passage["documentId"].as_str() == Some(&document.document_id)
                    && passage["pageStart"] == PAGE
            })
    });
    assert!(cited, "{out}");
    assert_eq!(events.last().unwrap()["done"]["finishReason"], "FINISH_REASON_STOP");
    app.stop().await;
}
