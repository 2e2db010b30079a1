//! Who leaves takes the model's call along.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use vectrion_core::ports::models::{ChatEvent, ChatModel as _};
use vectrion_testkit::openai::{OpenAiServer, Reply, Request, RequestEnd, Step};

use super::{LONG, answer, ask, model, patient, patient_model, question, text};

/// The longest time from the end of a call here to its end at the server.
const AT_ONCE: Duration = Duration::from_secs(1);

fn client_left(requests: &[Request]) -> bool {
    matches!(requests, [Request { end: RequestEnd::ClientLeft { .. }, .. }])
}

#[tokio::test]
async fn dropping_the_stream_aborts_the_call() {
    let server = OpenAiServer::start().await;
    server.queue_chat([Reply::script([Step::delta("so "), Step::delta("it "), Step::Hang])]);
    let mut stream = patient_model(&server).stream(question()).await.expect("it begins");
    assert_eq!(stream.next().await.expect("text").expect("text"), ChatEvent::Delta("so ".to_owned()));
    assert_eq!(server.requests()[0].end, RequestEnd::Open);
    drop(stream);
    assert!(server.wait_until(AT_ONCE, client_left).await, "{:?}", server.requests());
}

#[tokio::test]
async fn dropping_a_stream_that_is_being_polled_aborts_the_call() {
    let server = OpenAiServer::start().await;
    server.queue_chat([Reply::script([Step::delta("so "), Step::Hang])]);
    let model = patient_model(&server);
    let task = tokio::spawn(async move { ask(&model).await });
    assert!(server.wait_until(LONG, |requests| requests.len() == 1).await);
    tokio::time::sleep(Duration::from_millis(30)).await;
    task.abort();
    assert!(server.wait_until(AT_ONCE, client_left).await, "{:?}", server.requests());
}

#[tokio::test]
async fn dropping_the_call_before_the_first_text_aborts_it() {
    for reply in [Reply::hang(), Reply::script([Step::Role, Step::Hang])] {
        let server = OpenAiServer::start().await;
        server.queue_chat([reply]);
        let model = patient_model(&server);
        let task = tokio::spawn(async move { model.stream(question()).await.map(drop) });
        assert!(server.wait_until(LONG, |requests| requests.len() == 1).await);
        task.abort();
        assert!(server.wait_until(AT_ONCE, client_left).await, "{:?}", server.requests());
    }
}

#[tokio::test]
async fn timeouts_abort_the_call_too() {
    let server = OpenAiServer::start().await;
    server.queue_chat([Reply::hang()]);
    let mut settings = patient(server.base_url());
    settings.first_token_timeout = Duration::from_millis(50);
    super::refused(&model(settings)).await;
    assert!(server.wait_until(AT_ONCE, client_left).await, "{:?}", server.requests());
}

#[tokio::test]
async fn a_caller_that_leaves_between_two_tries_makes_no_more() {
    let server = OpenAiServer::start().await;
    server.answer_chat(|_| Reply::error(500, "x"));
    let mut settings = patient(server.base_url());
    settings.endpoint.retries.first_delay = Duration::from_millis(300);
    let model = model(settings);
    let left = tokio::time::timeout(Duration::from_millis(100), model.stream(question())).await;
    assert!(left.is_err());
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(server.attempts(), 1);
}

#[tokio::test]
async fn a_caller_that_does_not_read_holds_the_server_back() {
    let server = OpenAiServer::start().await;
    let delta = "data: {\"choices\":[{\"delta\":{\"content\":\"0123456789\"}}]}\n\n".repeat(1_000);
    let sent = delta.len() * 1_200;
    assert!(sent > 64 << 20, "more than all buffers on the way");
    server.queue_chat([Reply::script([Step::Repeat(Bytes::from(delta), 1_200), Step::Finish("stop"), Step::Done])]);
    let mut settings = patient(server.base_url());
    settings.endpoint.max_response_bytes = usize::MAX;
    let mut stream = model(settings).stream(question()).await.expect("it begins");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.requests()[0].end, RequestEnd::Open, "most of it is still there");
    assert!(stream.next().await.expect("text").is_ok());
    drop(stream);
    assert!(server.wait_until(AT_ONCE, client_left).await, "{:?}", server.requests());
}

#[tokio::test]
async fn the_time_a_caller_takes_is_not_held_against_the_model() {
    let server = OpenAiServer::start().await;
    server.queue_chat([Reply::chat(["so ", "it ", "is"])]);
    let mut settings = patient(server.base_url());
    settings.inter_token_timeout = Duration::from_millis(200);
    let mut stream = model(settings).stream(question()).await.expect("it begins");
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event.expect("no timeout"));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(text(&events), "so it is");
}

#[tokio::test]
async fn one_call_that_leaves_does_not_disturb_the_others() {
    let server = OpenAiServer::start().await;
    server.answer_chat(|_| Reply::chat(vec!["word "; 20]).delta_every(Duration::from_millis(5)));
    let model = patient_model(&server);
    let (left, complete) = futures::join!(
        async {
            let mut stream = model.stream(question()).await.expect("it begins");
            stream.next().await.is_some_and(|event| event.is_ok())
        },
        answer(&model)
    );
    assert!(left);
    assert_eq!(complete, "word ".repeat(20));
}
