//! A server whose vectors are on a Qdrant server, which is a stand-in here.

use std::{path::Path, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};
use tonic::Code;
use vectrion::v1::{Document, DocumentState, RetrieveRequest, WatchDocumentsRequest, watch_documents_response::Event};

use crate::support::{PATIENCE, Process, client::reason, process::program};

/// The key that the stand-in asks for.
pub const KEY: &str = "standin-sesame";

/// A stand-in of a Qdrant server, killed when this is dropped.
pub struct StandIn {
    child: Child,
    pub address: String,
    _output: Lines<BufReader<ChildStdout>>,
}

impl StandIn {
    pub async fn start(data: &Path, address: &str) -> Self {
        let mut command = Command::new(program("qdrant-standin"));
        command.arg(data).arg(address).env("QDRANT_STANDIN_API_KEY", KEY).kill_on_drop(true);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the stand-in starts");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = tokio::time::timeout(PATIENCE, output.next_line()).await.expect("it says something");
        let line = line.expect("UTF-8").expect("a line");
        println!("{line}");
        let address = line.split("listening on ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
        Self { child, address: address.to_owned(), _output: output }
    }

    /// Stops it in its tracks, or lets it go on: its connections stay, and nobody answers.
    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().expect("it runs")).expect("an id");
        kill(Pid::from_raw(id), signal).expect("a signal");
    }

    pub async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }
}

fn warnings(document: &Document) -> Vec<String> {
    document.warnings.iter().map(|warning| warning.reason.clone()).collect()
}

#[tokio::test]
async fn a_server_works_on_a_vector_server_and_outlives_its_loss() {
    let folder = tempfile::tempdir().unwrap();
    let (data, vectors) = (folder.path().join("data"), folder.path().join("vectors"));
    let stand_in = StandIn::start(&vectors, "127.0.0.1:0").await;
    let address = stand_in.address.clone();
    let settings = [format!("vectors.url=http://{address}/e2e"), format!("vectors.api_key={KEY}")];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Process::start(&data, &settings, "").await;
    let operator = server.operator().await;
    let mill = operator.index("mill.txt", b"The mill grinds barley.").await;
    assert_eq!(warnings(&mill), Vec::<String>::new());
    assert_eq!(operator.search("What does the mill grind?").await.len(), 1);

    stand_in.signal(Signal::SIGSTOP);
    let read = tokio::time::timeout(Duration::from_secs(10), operator.get(&mill.document_id)).await;
    let read = read.expect("it is not waited for").unwrap();
    assert_eq!((read.vector_count, warnings(&read)), (0, vec!["VECTOR_COUNT_UNKNOWN".to_owned()]));
    stand_in.signal(Signal::SIGCONT);
    stand_in.kill().await;
    let ask = async || {
        let request = RetrieveRequest { query: "What does the mill grind?".to_owned(), ..RetrieveRequest::default() };
        operator.query.clone().retrieve(request).await.map(|response| response.into_inner().passages.len())
    };
    let status = tokio::time::timeout(PATIENCE, ask()).await.expect("it does not hang").expect_err("it is gone");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "VECTOR_INDEX_UNAVAILABLE"));
    let waiting = operator.upload("pier.txt", b"The pier is closed in March.").await;

    // Documents are read all the same, without their vectors counted.
    let listed = tokio::time::timeout(Duration::from_secs(10), operator.list()).await.expect("it is soon told");
    assert_eq!(listed.len(), 2);
    let read = operator.get(&mill.document_id).await.unwrap();
    assert_eq!((read.state(), read.chunk_count, read.vector_count), (DocumentState::Indexed, 1, 0));
    assert_eq!(warnings(&read), ["VECTOR_COUNT_UNKNOWN"]);
    let mut watch =
        operator.ingestion.clone().watch_documents(WatchDocumentsRequest::default()).await.unwrap().into_inner();
    let told = tokio::time::timeout(Duration::from_secs(10), watch.message()).await.expect("it is soon told").unwrap();
    assert!(matches!(told.and_then(|told| told.event), Some(Event::Changed(_))), "a watch goes on, too");

    let stand_in = StandIn::start(&vectors, &address).await;
    let back = async {
        while ask().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.expect("it is found again");
    assert_eq!(operator.search("What does the mill grind?").await.len(), 1, "what was confirmed is there");
    operator.settled(&waiting.document_id).await;
    let read = operator.get(&mill.document_id).await.unwrap();
    assert!(read.vector_count == 1 && read.warnings.is_empty(), "{read:?}");
    assert!(!operator.search("When is the pier closed?").await.is_empty(), "what was uploaded meanwhile is indexed");
    assert!(!server.log().contains(KEY), "no secret in the log");
    assert!(server.terminate().await.success());
    stand_in.kill().await;
}

#[tokio::test]
async fn a_vector_server_that_cannot_be_used_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start(&folder.path().join("vectors"), "127.0.0.1:0").await;
    let url = format!("vectors.url=http://{}", stand_in.address);
    for (number, (settings, named)) in [
        (vec!["vectors.url=http://127.0.0.1:1"], "vectors.url"),
        (vec!["vectors.url=http://h?x"], "vectors.url"),
        (vec![url.as_str()], "vectors.api_key"),
        (vec![url.as_str(), "vectors.api_key=wrong-sesame"], "vectors.api_key"),
        (vec![url.as_str(), "vectors.prefix=not-a-name"], "vectors.prefix"),
    ]
    .into_iter()
    .enumerate()
    {
        let data = folder.path().join(number.to_string());
        let started = Process::try_start(&data, &settings, "");
        let started = tokio::time::timeout(PATIENCE, started).await.expect("it does not hang");
        let Err((status, log)) = started else { panic!("it starts with {settings:?}") };
        assert!(!status.success() && log.contains(named) && !log.contains("sesame"), "{settings:?}: {status}\n{log}");
    }
}
