//! Kills a process at every step of ingestion, twice, in one installation, and lets every step fail once; then checks that
//! nothing that was acknowledged is lost, stuck, doubled or orphaned.
//!
//! Without a harness, because the process to be killed is this program itself, started again.

mod model;
#[path = "../world/mod.rs"]
#[expect(dead_code, reason = "the other tests use more of it")]
mod world;

use std::{
    env,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use vectrion_core::document::DocumentState;
use vectrion_pipeline::{faults, settings::IngestSettings};

use self::{
    model::Model,
    world::{World, ingest_settings, paragraphs, sha256, spec},
};

/// Where the process to be killed works, and the name of its round.
const DIRECTORY: &str = "KILL_TEST_DIRECTORY";
const ROUND: &str = "KILL_TEST_ROUND";
const SIGABRT: i32 = 6;
/// An upload in pieces that a killed client never ended is given up after this time.
const UPLOAD_TTL_S: u64 = 5;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match (env::var_os(DIRECTORY), env::var(ROUND)) {
        (Some(directory), Ok(round)) => {
            assert!(faults::arm(), "the steps are compiled in");
            runtime.block_on(victim(Path::new(&directory), &round));
        }
        _ => runtime.block_on(killer()),
    }
}

fn settings() -> IngestSettings {
    IngestSettings { upload_ttl_s: UPLOAD_TTL_S, ..ingest_settings() }
}

async fn killer() {
    let began = Instant::now();
    let directory = vectrion_testkit::temporary_directory();
    let mut model = Model::default();
    let mut kills = 0;
    for action in ["return", "1*off->return"] {
        for point in faults::FAILPOINTS {
            kills += 1;
            let round = format!("r{kills}");
            let status = start(directory.path(), &round, &format!("{point}={action}"), &mut model);
            assert_eq!(status.signal(), Some(SIGABRT), "{point}={action} was not reached: {status}");
        }
    }
    // The same steps fail instead, once each: the next try of the job makes up for it.
    for point in faults::FAILPOINTS.iter().filter(|point| !point.starts_with("upload::")) {
        let failpoints = format!("{point}=1*return(transient)");
        let status = start(directory.path(), &point.replace("::", "-"), &failpoints, &mut model);
        assert!(status.success(), "{failpoints}: {status}");
    }
    let status = start(directory.path(), "last", "", &mut model);
    assert!(status.success(), "an undisturbed run after {kills} kills: {status}");

    let world = World::open_with(directory.path(), 0, settings()).await;
    // Uploads in pieces whose client was killed are found when they expire.
    tokio::time::sleep(Duration::from_secs(UPLOAD_TTL_S)).await;
    world.housekeeping.sweep().await.expect("swept");
    world.assert_consistent().await;
    let documents = world.documents(world.tenant).await;
    for document in &documents {
        assert_eq!(document.state, DocumentState::Indexed, "{}: {:?}", document.filename, document.failure);
    }
    world.close().await;
    model.assert_holds(documents.iter().map(|document| (document.external_id.as_str(), document.sha256.as_str())));
    println!("{kills} kills, {} documents, {:.1} s", documents.len(), began.elapsed().as_secs_f64());
}

/// Runs a round in a process of its own, and notes what it says.
fn start(directory: &Path, round: &str, failpoints: &str, model: &mut Model) -> std::process::ExitStatus {
    let output = Command::new(env::current_exe().expect("this program"))
        .current_dir(directory)
        .env(DIRECTORY, directory)
        .env(ROUND, round)
        .env("FAILPOINTS", failpoints)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("a process");
    for line in String::from_utf8(output.stdout).expect("UTF-8").lines() {
        model.hear(line);
    }
    output.status
}

/// A start after the last kill, then one round of a client: documents in one call and in pieces, doubles, a new version, a
/// deletion.
async fn victim(directory: &Path, round: &str) {
    let world = World::open_with(directory, 0, settings()).await;
    world.housekeeping.recover().await.expect("recovered");
    let name = |what: &str| format!("{round}-{what}.txt");
    let text = |what: &str, count| format!("{round} {what}\n\n{}", paragraphs(count));

    upload(&world, &name("a"), &text("a", 11)).await;
    in_pieces(&world, &name("b"), &text("b", 5)).await;
    in_pieces(&world, &name("c"), &text("c", 2)).await;
    world.upload(&name("double"), &text("a", 11)).await.expect("the document that is there");
    world.work().await;
    upload(&world, &name("a"), &text("new a", 7)).await;
    delete(&world, &name("b")).await;
    world.work().await;
    world.close().await;
}

async fn upload(world: &World, name: &str, text: &str) {
    let sum = hex::encode(sha256(text.as_bytes()));
    println!("try {name} {sum}");
    world.upload(name, text).await.expect("an upload");
    println!("ack {name} {sum}");
}

async fn in_pieces(world: &World, name: &str, text: &str) {
    let sum = hex::encode(sha256(text.as_bytes()));
    println!("try {name} {sum}");
    let context = world.context();
    let upload = world.ingestion.create_upload(&context, spec(name)).await.expect("an upload");
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    let half = bytes.len() / 2;
    world.ingestion.upload_chunk(&context, upload.id, 0, bytes.slice(..half)).await.expect("bytes");
    world.ingestion.upload_chunk(&context, upload.id, half as u64, bytes.slice(half..)).await.expect("bytes");
    world.ingestion.complete_upload(&context, upload.id, None).await.expect("a document");
    println!("ack {name} {sum}");
}

async fn delete(world: &World, name: &str) {
    let documents = world.documents(world.tenant).await;
    let document = documents.iter().find(|document| document.external_id == name).expect("the document");
    println!("try {name} gone");
    world.ingestion.delete_document(&world.context(), document.id).await.expect("a deletion");
    println!("ack {name} gone");
}
