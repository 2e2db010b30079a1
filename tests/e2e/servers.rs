//! Several servers are one service: what begins on one goes on at any other.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tonic::{Code, Streaming};
use uuid::Uuid;
use vectrion::v1::{
    AnswerEvent, AnswerRequest, CancelAnswerRequest, CompleteUploadRequest, CompleteUploadResponse,
    CreateTenantRequest, CreateUploadRequest, DocumentState, FinishReason, GetUploadRequest, ResumeAnswerRequest,
    ResumeAnswerResponse, UploadChunkRequest, UploadOutcome, WatchDocumentsRequest, answer_event::Event,
    watch_documents_response,
};
use vectrion_testkit::{
    fault_proxy::FaultProxy,
    openai::{OpenAiServer, Reply, RequestEnd},
};

use crate::support::{
    Client, PATIENCE,
    client::{header, reason},
    fleet::Fleet,
};

async fn create_upload(client: &Client, filename: &str) -> String {
    let request = CreateUploadRequest { header: Some(header(filename)), request_id: String::new() };
    let created = client.ingestion.clone().create_upload(request).await.unwrap().into_inner();
    created.upload.expect("an upload").upload_id
}

async fn chunk(client: &Client, upload_id: &str, write_offset: i64, data: &str) -> Result<i64, tonic::Status> {
    let data = data.as_bytes().to_vec().into();
    let request = UploadChunkRequest { upload_id: upload_id.to_owned(), write_offset, data };
    Ok(client.ingestion.clone().upload_chunk(request).await?.into_inner().committed_size)
}

async fn complete(client: &Client, upload_id: &str) -> Result<CompleteUploadResponse, tonic::Status> {
    let upload_id = upload_id.to_owned();
    let request = CompleteUploadRequest { upload_id, ..CompleteUploadRequest::default() };
    Ok(client.ingestion.clone().complete_upload(request).await?.into_inner())
}

fn identity(completed: &CompleteUploadResponse) -> (String, i32, UploadOutcome) {
    let document = completed.document.as_ref().expect("a document");
    (document.document_id.clone(), document.version, completed.outcome())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_begun_on_one_server_is_completed_on_another() {
    let Some(fleet) = Fleet::new().await else { return };
    let (a, b) = (fleet.server(&[], "").await, fleet.server(&[], "").await);
    let (on_a, on_b) = (fleet.client(&a).await, fleet.client(&b).await);
    let upload = create_upload(&on_a, "mill.txt").await;
    assert_eq!(chunk(&on_a, &upload, 0, "The mill grinds ").await.unwrap(), 16);
    let behind = chunk(&on_b, &upload, 0, "something else").await.unwrap_err();
    assert_eq!((behind.code(), reason(&behind).as_str()), (Code::OutOfRange, "WRONG_OFFSET"));
    let seen = GetUploadRequest { upload_id: upload.clone() };
    let seen = on_b.ingestion.clone().get_upload(seen).await.unwrap().into_inner().upload.unwrap();
    assert_eq!(chunk(&on_b, &upload, seen.committed_size, "barley.").await.unwrap(), 23);

    let (first, second) = tokio::join!(complete(&on_a, &upload), complete(&on_b, &upload));
    let first = identity(&first.unwrap());
    assert_eq!((first.1, first.2), (1, UploadOutcome::Created));
    assert_eq!(identity(&second.unwrap()), first, "the same answer");
    for client in [&on_a, &on_b] {
        assert_eq!(identity(&complete(client, &upload).await.unwrap()), first, "later, too");
        assert_eq!(client.list().await.len(), 1);
    }
    assert_eq!(on_b.settled(&first.0).await.state(), DocumentState::Indexed);
    assert_eq!(on_a.search("What does the mill grind?").await.len(), 1);
    assert_eq!(fleet.shared.number("SELECT COUNT(*) FROM uploads").await, 0);
    assert_eq!(a.terminate().await.code(), Some(0));
    assert_eq!(b.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_server_dies_or_stands_still_is_completed_by_another() {
    let Some(fleet) = Fleet::new().await else { return };
    let b = fleet.server(&[], "").await;
    let on_b = fleet.client(&b).await;

    let mut a = fleet.server(&[], "upload::stored=return").await;
    let on_a = fleet.client(&a).await;
    let upload = create_upload(&on_a, "dies.txt").await;
    chunk(&on_a, &upload, 0, "The mill grinds barley.").await.unwrap();
    complete(&on_a, &upload).await.expect_err("it died");
    a.end().await;
    let began = Instant::now();
    let done = complete(&on_b, &upload).await.unwrap();
    assert_eq!(identity(&done).2, UploadOutcome::Created);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());

    let a = fleet.server(&[], "upload::stored=pause").await;
    let on_a = fleet.client(&a).await;
    let upload = create_upload(&on_a, "stands-still.txt").await;
    chunk(&on_a, &upload, 0, "The pier is closed in March.").await.unwrap();
    let late = tokio::spawn({
        let (on_a, upload) = (on_a.clone(), upload.clone());
        async move { complete(&on_a, &upload).await }
    });
    let claimed = async || fleet.shared.number("SELECT COUNT(*) FROM uploads WHERE claim_token > 0").await == 1;
    while !claimed().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    a.signal(Signal::SIGSTOP);
    let refused = chunk(&on_b, &upload, 28, " And in April.").await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "UPLOAD_CONFLICT"));
    let done = identity(&complete(&on_b, &upload).await.unwrap());
    a.signal(Signal::SIGKILL);
    let _ = late.await;

    // The same, and the first goes on afterwards.
    let a = fleet.server(&[], "upload::stored=sleep(14000)").await;
    let on_a = fleet.client(&a).await;
    let upload = create_upload(&on_a, "comes-back.txt").await;
    chunk(&on_a, &upload, 0, "The lighthouse is white.").await.unwrap();
    let (late, next) = tokio::join!(complete(&on_a, &upload), async {
        while !claimed().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        complete(&on_b, &upload).await
    });
    let next = identity(&next.unwrap());
    assert_eq!(identity(&late.unwrap()), next, "the late one gives the answer of the other");
    assert_eq!(fleet.shared.number("SELECT COUNT(*) FROM uploads").await, 0, "no upload is left");
    assert_eq!(on_b.list().await.len(), 3);
    for id in [&done.0, &next.0] {
        assert_eq!(on_b.settled(id).await.state(), DocumentState::Indexed);
    }
    assert_eq!(a.terminate().await.code(), Some(0));
    assert_eq!(b.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_good_for_one_call_on_all_servers() {
    let Some(fleet) = Fleet::new().await else { return };
    let (a, b) = (fleet.server(&[], "").await, fleet.server(&[], "").await);
    let clients = [fleet.client(&a).await, fleet.client(&b).await];
    let create = async |client: &Client, name: &str, id: Uuid| {
        let request = CreateTenantRequest { name: name.to_owned(), request_id: id.to_string() };
        client.admin.clone().create_tenant(request).await.map(|made| made.into_inner().tenant.unwrap().tenant_id)
    };
    for round in 0..10 {
        let (name, id) = (format!("tenant-{round}"), Uuid::new_v4());
        let (one, two) = tokio::join!(create(&clients[0], &name, id), create(&clients[1], &name, id));
        for outcome in [&one, &two] {
            if let Err(status) = outcome {
                assert_eq!((status.code(), reason(status).as_str()), (Code::Aborted, "REQUEST_IN_PROGRESS"));
            }
        }
        let made = one.or(two).expect("one of them makes it");
        for client in &clients {
            assert_eq!(create(client, &name, id).await.unwrap(), made, "replayed on any");
            let reused = create(client, "another", id).await.unwrap_err();
            assert_eq!((reused.code(), reason(&reused).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
        }
    }
    assert_eq!(fleet.shared.number("SELECT COUNT(*) FROM tenants").await, 11);
    assert_eq!(a.terminate().await.code(), Some(0));
    assert_eq!(b.terminate().await.code(), Some(0));
}

const MANUAL: &[u8] =
    b"# Kestrel manual\n\nThe Kestrel flies for 42 minutes on one charge. Charging takes two hours.\n";

fn question() -> AnswerRequest {
    AnswerRequest { question: "How long does the Kestrel fly on one charge?".into(), ..AnswerRequest::default() }
}

async fn resume(client: &Client, answer_id: &str, after_sequence: i64) -> Streaming<ResumeAnswerResponse> {
    let request = ResumeAnswerRequest { answer_id: answer_id.to_owned(), after_sequence };
    client.query.clone().resume_answer(request).await.unwrap().into_inner()
}

/// The events to the end of the stream.
async fn rest(mut stream: Streaming<ResumeAnswerResponse>) -> Vec<AnswerEvent> {
    let mut events = Vec::new();
    let read = async {
        while let Some(message) = stream.message().await.unwrap() {
            events.push(message.event.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the stream ends");
    events
}

fn words(events: &[AnswerEvent]) -> String {
    let word = |event: &AnswerEvent| match &event.event {
        Some(Event::Delta(delta)) => delta.text.clone(),
        _ => String::new(),
    };
    events.iter().map(word).collect()
}

fn end(events: &[AnswerEvent]) -> FinishReason {
    match events.last().and_then(|event| event.event.as_ref()) {
        Some(Event::Done(done)) => done.finish_reason(),
        other => panic!("not done: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_goes_on_at_another_server() {
    let Some(fleet) = Fleet::new().await else { return };
    let model = OpenAiServer::start().await;
    let chat = format!("models.chat={}", model.base_url());
    let settings = [
        chat.as_str(),
        "models.chat_model=scripted",
        "answer.resume_grace_s=2",
        "models.chat_inter_token_timeout_ms=60000",
    ];
    let (a, b) = (fleet.server(&settings, "").await, fleet.server(&settings, "").await);
    let (on_a, on_b) = (fleet.client(&a).await, fleet.client(&b).await);
    on_a.index("kestrel.md", MANUAL).await;

    // Each word is seen on the other server soon after it was written, though the next one is long in coming.
    let pieces: Vec<String> = (0..6).map(|n| format!("word{n} ")).collect();
    model.queue_chat([Reply::chat(pieces.clone()).delta_every(Duration::from_millis(1500))]);
    let line = FaultProxy::start(a.url.trim_start_matches("http://")).await;
    let on_line = fleet.client_at(&format!("http://{}", line.address())).await;
    let mut stream = on_line.query.clone().answer(question()).await.unwrap().into_inner();
    let mut seen = Vec::new();
    let answer_id = loop {
        let event = stream.message().await.unwrap().unwrap().event.unwrap();
        let word = matches!(event.event, Some(Event::Delta(_)));
        seen.push(event.clone());
        if word {
            break event.answer_id;
        }
    };
    let mut resumed = resume(&on_b, &answer_id, 0).await;
    for expected in &seen {
        let event = tokio::time::timeout(Duration::from_secs(1), resumed.message()).await.expect("within a second");
        assert_eq!(event.unwrap().unwrap().event.as_ref(), Some(expected));
    }
    // The connection to the first server is lost: as long as somebody follows, the answer is not given up.
    drop(line);
    stream.message().await.expect_err("the connection is cut");
    let mut events = seen.clone();
    events.extend(rest(resumed).await);
    assert_eq!(words(&events), pieces.concat());
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=i64::try_from(events.len()).unwrap()).collect::<Vec<_>>());
    assert_ne!(end(&events), FinishReason::Cancelled);
    let again = rest(resume(&on_b, &answer_id, seen.last().unwrap().sequence).await).await;
    assert_eq!(again, events[seen.len()..], "after its end, too");
    assert_eq!(a.terminate().await.code(), Some(0));
    assert_eq!(b.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_cancelled_from_another_server_within_a_second() {
    let Some(fleet) = Fleet::new().await else { return };
    let model = OpenAiServer::start().await;
    let chat = format!("models.chat={}", model.base_url());
    let settings = [chat.as_str(), "models.chat_model=scripted"];
    let (a, b) = (fleet.server(&settings, "").await, fleet.server(&settings, "").await);
    let (on_a, on_b) = (fleet.client(&a).await, fleet.client(&b).await);
    on_a.index("kestrel.md", MANUAL).await;

    // The model is silent: nothing is stored that would tell the writer.
    model.queue_chat([Reply::chat(["late"]).delta_every(Duration::from_secs(25))]);
    let mut stream = on_a.query.clone().answer(question()).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().event.unwrap();
    assert!(model.wait_until(PATIENCE, |requests| requests.iter().any(|request| request.path.contains("chat"))).await);
    let request = CancelAnswerRequest { answer_id: first.answer_id.clone(), request_id: String::new() };
    let began = Instant::now();
    on_b.query.clone().cancel_answer(request).await.unwrap();
    let mut events = vec![first];
    while let Some(message) = stream.message().await.unwrap() {
        events.push(message.event.unwrap());
    }
    assert_eq!(end(&events), FinishReason::Cancelled);
    println!("cancelled from another server after {} ms", began.elapsed().as_millis());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let left = |requests: &[vectrion_testkit::openai::Request]| {
        requests.iter().any(|request| matches!(request.end, RequestEnd::ClientLeft { .. }))
    };
    assert!(model.wait_until(Duration::from_secs(2), left).await, "the model's call was ended");

    // Who resumed it there and then ends the call stops it, too.
    model.queue_chat([Reply::chat((0..100).map(|n| format!("word{n} "))).delta_every(Duration::from_millis(200))]);
    let mut stream = on_a.query.clone().answer(question()).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().event.unwrap();
    let mut resumed = resume(&on_b, &first.answer_id, 0).await;
    resumed.message().await.unwrap().expect("an event");
    drop(resumed);
    let mut events = vec![first];
    let read = async {
        while let Some(message) = stream.message().await.unwrap() {
            events.push(message.event.unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(5), read).await.expect("it ends");
    assert_eq!(end(&events), FinishReason::Cancelled);
    assert_eq!(a.terminate().await.code(), Some(0));
    assert_eq!(b.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_server_died_ends_for_who_resumes_it_elsewhere() {
    let Some(fleet) = Fleet::new().await else { return };
    let model = OpenAiServer::start().await;
    let chat = format!("models.chat={}", model.base_url());
    let settings = [chat.as_str(), "models.chat_model=scripted", "models.chat_inter_token_timeout_ms=60000"];
    let (mut a, b) = (fleet.server(&settings, "").await, fleet.server(&settings, "").await);
    let (on_a, on_b) = (fleet.client(&a).await, fleet.client(&b).await);
    on_a.index("kestrel.md", MANUAL).await;
    model.queue_chat([Reply::chat(["one ", "two "]).delta_every(Duration::from_secs(30))]);
    let mut stream = on_a.query.clone().answer(question()).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().event.unwrap();
    let resumed = resume(&on_b, &first.answer_id, 0).await;
    a.signal(Signal::SIGKILL);
    a.end().await;
    let began = Instant::now();
    let mut resumed = resumed;
    let mut last = None;
    let read = async {
        while let Ok(Some(message)) = resumed.message().await {
            last = message.event.unwrap().event;
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("it ends");
    println!("an answer of a dead server ended after {} ms", began.elapsed().as_millis());
    match last {
        Some(Event::Error(error)) => assert_eq!(error.reason, "ANSWER_INTERRUPTED"),
        other => panic!("{other:?}"),
    }
    assert_eq!(b.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_sees_what_every_server_and_worker_changes() {
    let Some(fleet) = Fleet::new().await else { return };
    // The second server works; the first only serves.
    let (a, b) = (fleet.server(&["worker.in_process=false"], "").await, fleet.server(&[], "").await);
    let (on_a, on_b) = (fleet.client(&a).await, fleet.client(&b).await);
    let watch = async |client: &Client, after_revision: i64| {
        let request = WatchDocumentsRequest { after_revision, ..WatchDocumentsRequest::default() };
        client.ingestion.clone().watch_documents(request).await.unwrap().into_inner()
    };
    let mut watched = [watch(&on_a, 0).await, watch(&on_b, 0).await];
    let uploads = (0..24).map(|n| {
        let client = if n % 2 == 0 { on_a.clone() } else { on_b.clone() };
        async move {
            let text = format!("Lighthouse number {n} stands at mile {n} of the northern shore.\n");
            client.upload(&format!("{n}.txt"), text.as_bytes()).await.document_id
        }
    });
    let ids: std::collections::BTreeSet<String> = futures::future::join_all(uploads).await.into_iter().collect();
    assert_eq!(ids.len(), 24);
    for watched in &mut watched {
        let (mut indexed, mut revision) = (std::collections::BTreeSet::new(), 0);
        let read = async {
            while indexed != ids {
                let event = watched.message().await.unwrap().expect("the stream goes on");
                if let Some(watch_documents_response::Event::Changed(document)) = event.event {
                    assert!(event.revision > revision, "revisions grow: {revision}, then {}", event.revision);
                    revision = event.revision;
                    if document.state() == DocumentState::Indexed {
                        indexed.insert(document.document_id);
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("every document is seen to be indexed");
    }
    // Taken up on the other server, where it was on this one.
    let id = ids.first().unwrap().clone();
    let before = on_a.get(&id).await.unwrap();
    let last = fleet.shared.number("SELECT MAX(revision) FROM tenants").await;
    drop(watched);
    let mut goes_on = watch(&on_b, last).await;
    let began = Instant::now();
    on_a.upload(&before.filename, b"The lighthouse was moved.").await;
    let event = tokio::time::timeout(Duration::from_secs(5), goes_on.message()).await.expect("soon").unwrap().unwrap();
    println!("a change on one server was seen on the other after {} ms", began.elapsed().as_millis());
    match event.event {
        Some(watch_documents_response::Event::Changed(document)) => assert_eq!(document.document_id, id),
        other => panic!("{other:?}"),
    }
    on_a.settled(&id).await;
    assert_eq!(a.terminate().await.code(), Some(0));
    assert_eq!(b.terminate().await.code(), Some(0));
}
