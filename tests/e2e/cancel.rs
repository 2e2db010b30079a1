//! Calling off the work on a document, on both profiles, and what is left of it.

use std::time::{Duration, Instant};

use vectrion::v1::{CancelDocumentRequest, Document, DocumentState, ListDeadLettersRequest, RetryDocumentRequest};
use vectrion_testkit::{
    openai::{OpenAiServer, Reply},
    pdf::endless_document,
};

use crate::support::{
    Client, PATIENCE,
    client::reason,
    installation::Installation,
    process::{run, vectrion},
};

/// From the call to the end of the work: a look every 400 ms, and time for a busy machine.
const SOON: Duration = Duration::from_secs(8);

async fn cancel(client: &Client, id: &str) -> Result<Document, tonic::Status> {
    let request = CancelDocumentRequest { document_id: id.into(), request_id: String::new() };
    Ok(client.ingestion.clone().cancel_document(request).await?.into_inner().document.unwrap())
}

async fn retry(client: &Client, id: &str) -> Document {
    let request = RetryDocumentRequest { document_id: id.into(), request_id: String::new() };
    client.ingestion.clone().retry_document(request).await.unwrap().into_inner().document.unwrap()
}

async fn reaches(client: &Client, id: &str, what: &str, holds: impl Fn(&Document) -> bool) -> Document {
    let look = async {
        loop {
            let document = client.get(id).await.unwrap();
            if holds(&document) {
                return document;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("never {what}"))
}

/// It failed with reason `CANCELLED`, and no chunk, vector or dead letter is left.
async fn is_cancelled(client: &Client, id: &str) {
    let document = client.settled(id).await;
    let failure = document.failure.clone().unwrap();
    assert_eq!((document.state(), failure.reason.as_str()), (DocumentState::Failed, "CANCELLED"));
    reaches(client, id, "cleared away", |document| document.chunk_count == 0 && document.vector_count == 0).await;
    let letters = client.admin.clone().list_dead_letters(ListDeadLettersRequest::default()).await.unwrap();
    assert_eq!(letters.into_inner().dead_letters, []);
}

/// A model whose answers to some texts do not come.
async fn stalling_model() -> OpenAiServer {
    let model = OpenAiServer::start().await;
    model.answer_embeddings(|request| {
        if request.body.to_string().contains("tarpit") { Reply::hang() } else { Reply::embeddings() }
    });
    model
}

fn with_model(model: &OpenAiServer) -> Vec<String> {
    vec![format!("models.embed={}", model.base_url()), "models.embed_model=stub".to_owned()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_waits_for_a_model_is_cancelled_and_taken_up_again() {
    let model = stalling_model().await;
    for installation in Installation::of_each_profile(&with_model(&model)).await {
        let client = installation.operator().await;
        // Enough that some of it is in the index when the model stops.
        let paragraph = |n: usize| format!("Buoy number {n} of the outer channel is painted green and white.\n\n");
        let mut text: String = (0..400).map(paragraph).collect();
        let first = client.index("a.txt", text.as_bytes()).await;
        assert!(first.chunk_count > 10, "{}: {first:?}", installation.profile);
        text.push_str("The tarpit is at the end.\n");
        let second = client.upload("a.txt", text.as_bytes()).await;
        assert_eq!((second.document_id.as_str(), second.version), (first.document_id.as_str(), 2));
        let id = second.document_id;
        reaches(&client, &id, "embedding", |document| document.state() == DocumentState::Embedding).await;

        let called = Instant::now();
        let shown = cancel(&client, &id).await.unwrap();
        assert!(matches!(shown.state(), DocumentState::Embedding | DocumentState::Failed), "{shown:?}");
        is_cancelled(&client, &id).await;
        assert!(called.elapsed() < SOON, "{:?}", called.elapsed());
        let found = client.search("Which buoy is painted green?").await;
        assert!(!found.is_empty() && found.iter().all(|passage| passage.version == 1), "version 1 stays: {found:?}");
        let status = cancel(&client, &id).await.expect_err("it has failed");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (tonic::Code::FailedPrecondition, "DOCUMENT_NOT_UNDER_WAY")
        );

        model.answer_embeddings(|_| Reply::embeddings());
        assert_eq!(retry(&client, &id).await.state(), DocumentState::Uploaded);
        let document = client.settled(&id).await;
        assert_eq!((document.state(), document.version), (DocumentState::Indexed, 2), "{:?}", document.failure);
        assert!(document.chunk_count > 0 && document.chunk_count == document.vector_count, "{document:?}");
        let status = cancel(&client, &id).await.expect_err("it is indexed");
        assert_eq!(reason(&status), "DOCUMENT_NOT_UNDER_WAY");
        model.answer_embeddings(|request| {
            if request.body.to_string().contains("tarpit") { Reply::hang() } else { Reply::embeddings() }
        });
        installation.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_ends_the_process_that_reads_the_file() {
    for installation in Installation::of_each_profile(&[]).await {
        let client = installation.operator().await;
        let document = client.upload("endless.pdf", &endless_document()).await;
        let id = document.document_id;
        let reading = async {
            while readers(&installation).is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("a process reads it");
        let reader = readers(&installation);
        // It is at work, not only about to be.
        tokio::time::sleep(Duration::from_millis(300)).await;

        let called = Instant::now();
        let ended = run(vectrion()
            .args(["documents", "cancel", &id, "--json"])
            .env("VECTRION_ADDR", &installation.server.url)
            .env("VECTRION_API_KEY", installation.server.operator_key()))
        .await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let shown = ended.json().remove(0);
        assert_eq!(
            (&shown["state"], &shown["failure"]["reason"]),
            (&"DOCUMENT_STATE_FAILED".into(), &"CANCELLED".into())
        );
        let gone = async {
            while readers(&installation).iter().any(|pid| reader.contains(pid)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, gone).await.expect("the process that read it is killed");
        assert!(called.elapsed() < SOON, "{:?}", called.elapsed());
        is_cancelled(&client, &id).await;
        client.index("next.txt", b"The next document is not held up.").await;

        let twice = run(vectrion()
            .args(["documents", "cancel", &id])
            .env("VECTRION_ADDR", &installation.server.url)
            .env("VECTRION_API_KEY", installation.server.operator_key()))
        .await;
        assert!(twice.code == Some(1) && twice.err.contains("it is failed"), "{}", twice.err);
        installation.end().await;
    }
}

/// Processes that read files for the installation.
fn readers(installation: &Installation) -> Vec<u32> {
    let parents = installation.workers();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((name, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next(), fields.next().and_then(|parent| parent.parse::<u32>().ok()));
        if name.contains("vectrion-extrac")
            && state != Some("Z")
            && parent.is_some_and(|parent| parents.contains(&parent))
        {
            found.push(pid);
        }
    }
    found
}
