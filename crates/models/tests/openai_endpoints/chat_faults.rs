//! Servers that hang, trickle, break and lie.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use vectrion_core::{
    Error, ErrorKind,
    ports::models::{ChatEvent, ChatModel as _},
};
use vectrion_models::chat::ChatSettings;
use vectrion_testkit::openai::{End, OpenAiServer, Reply, Step};

use super::{LONG, ask, model, patient, patient_model, question, refused, text};

const SHORT: Duration = Duration::from_millis(80);

/// The error of one scripted call, and the text before it. No fault in here may be answered by a second request once
/// there was text.
async fn fault(reply: Reply, change: impl FnOnce(&mut ChatSettings)) -> (String, Error) {
    let server = OpenAiServer::start().await;
    server.answer_chat(move |_| reply.clone());
    let mut settings = patient(server.base_url());
    settings.endpoint.retries.max_retries = 1;
    change(&mut settings);
    let (events, error) = ask(&model(settings)).await;
    let error = error.unwrap_or_else(|| panic!("expected an error after {events:?}"));
    assert!(!events.iter().any(|event| matches!(event, ChatEvent::Finished(_))), "an error is no end: {events:?}");
    let text = text(&events);
    if !text.is_empty() {
        assert_eq!(server.attempts(), 1, "no second request after the first text");
    }
    (text, error)
}

fn assert_is(error: &Error, kind: ErrorKind, reason: &str) {
    assert_eq!((error.kind(), error.reason()), (kind, reason), "{error:?}");
}

fn after_text(steps: impl IntoIterator<Item = Step>) -> Reply {
    Reply::script([Step::Role, Step::delta("so ")].into_iter().chain(steps))
}

#[tokio::test]
async fn a_model_that_never_begins_runs_into_the_first_token_timeout() {
    for reply in [
        Reply::hang(),
        Reply::script([Step::Hang]),
        Reply::script([Step::Role, Step::Hang]),
        Reply::script(vec![[Step::Role, Step::Pause(Duration::from_millis(5))]; 2_000].concat()),
        Reply::body("text/event-stream", vec![[Step::raw(": ping\n\n"), Step::Pause(SHORT / 8)]; 2_000].concat()),
        Reply::body("application/json", [Step::raw("{"), Step::Hang]),
    ] {
        let (_, error) = fault(reply, |settings| settings.first_token_timeout = SHORT).await;
        assert_is(&error, ErrorKind::DeadlineExceeded, "MODEL_FIRST_TOKEN_TIMEOUT");
    }
}

#[tokio::test]
async fn reasoning_counts_as_the_first_token_and_its_pauses_as_stalls() {
    let thought = || Step::DeltaObject(json!({ "reasoning_content": "hm" }));
    let think = || [thought(), Step::Pause(Duration::from_millis(50))];
    let server = OpenAiServer::start().await;
    let mut steps: Vec<Step> = (0..10).flat_map(|_| think()).collect();
    steps.extend([Step::delta("42"), Step::Finish("stop"), Step::Done]);
    server.queue_chat([Reply::script(steps)]);
    let mut settings = patient(server.base_url());
    settings.first_token_timeout = Duration::from_millis(400);
    let (events, error) = ask(&model(settings)).await;
    assert!(error.is_none(), "half a second of thoughts is no silence: {error:?}");
    assert_eq!(text(&events), "42");

    let (_, error) = fault(Reply::script([thought(), Step::Hang]), |settings| {
        settings.inter_token_timeout = SHORT;
    })
    .await;
    assert_is(&error, ErrorKind::DeadlineExceeded, "MODEL_STALLED");
}

#[tokio::test]
async fn a_model_that_trickles_runs_into_the_inter_token_timeout() {
    for steps in [
        vec![Step::Hang],
        vec![Step::Pause(LONG), Step::delta("late")],
        vec![[Step::raw(": ping\n\n"), Step::Pause(SHORT / 8)]; 2_000].concat(),
        vec![[Step::Role, Step::Pause(SHORT / 8)]; 2_000].concat(),
        vec![Step::Finish("stop"), Step::Hang],
    ] {
        let (text, error) = fault(after_text(steps), |settings| settings.inter_token_timeout = SHORT).await;
        assert_eq!(text, "so ");
        assert_is(&error, ErrorKind::DeadlineExceeded, "MODEL_STALLED");
    }
}

#[tokio::test]
async fn a_model_that_never_ends_runs_into_the_total_timeout() {
    let endless = vec![[Step::delta("and "), Step::Pause(Duration::from_millis(10))]; 2_000].concat();
    let (text, error) =
        fault(after_text(endless), |settings| settings.total_timeout = Duration::from_millis(1500)).await;
    assert!(text.starts_with("so and and "), "{text}");
    assert_is(&error, ErrorKind::DeadlineExceeded, "MODEL_TIMEOUT");
}

#[tokio::test]
async fn the_callers_deadline_holds_before_and_within_the_answer() {
    let server = OpenAiServer::start().await;
    for (reply, deadline, reason) in [
        (Reply::hang(), Duration::from_millis(50), "MODEL_TIMEOUT"),
        (Reply::rate_limited(60), Duration::from_secs(2), "MODEL_RATE_LIMITED"),
        (after_text([Step::Hang]), Duration::from_secs(1), "MODEL_TIMEOUT"),
        (Reply::hang(), Duration::ZERO, "MODEL_TIMEOUT"),
    ] {
        // Each with its own: one that was told to wait would.
        let model = patient_model(&server);
        server.queue_chat([reply]);
        let mut request = question();
        let began = Instant::now();
        request.deadline = Some(began + deadline);
        let error = match model.stream(request).await {
            Err(error) => error,
            Ok(stream) => {
                let results: Vec<_> = futures::StreamExt::collect(stream).await;
                assert_eq!(super::reasons(&results), ["OK", "MODEL_TIMEOUT"]);
                results.into_iter().find_map(Result::err).expect("an error")
            }
        };
        assert_eq!(error.reason(), reason);
        assert!(began.elapsed() < deadline + Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_stream_that_breaks_yields_its_text_and_then_the_error() {
    let error_object = json!({ "error": { "message": Reply::CANARY, "type": "server_error", "code": 500 } });
    for reply in [
        after_text([]).ending(End::Cut),
        after_text([]).ending(End::Reset),
        after_text([]),
        after_text([Step::Finish("stop")]),
        after_text([Step::Done]),
        after_text([Step::Event("{\"choices\": [{\"delta\": {\"conte".to_owned())]),
        after_text([Step::Event("<html>".to_owned()), Step::Finish("stop"), Step::Done]),
        after_text([Step::event(&json!({ "choices": "none" })), Step::Finish("stop"), Step::Done]),
        after_text([Step::event(&error_object), Step::Finish("stop"), Step::Done]),
        after_text([Step::raw(&b"data: \xff\xfe\n\n"[..]), Step::Finish("stop"), Step::Done]),
    ] {
        let description = format!("{reply:?}");
        let (text, error) = fault(reply, |_| {}).await;
        assert_eq!(text, "so ", "{description}");
        assert_eq!(
            (error.kind(), error.reason()),
            (ErrorKind::Unavailable, "MODEL_STREAM_BROKEN"),
            "{error:?} of {description}"
        );
    }
}

#[tokio::test]
async fn a_server_cannot_fill_the_memory() {
    let megabyte = bytes::Bytes::from(vec![b'a'; 1 << 20]);
    let line = || vec![Step::raw("data: "), Step::Repeat(megabyte.clone(), 200)];
    let lines =
        vec![Step::Repeat(bytes::Bytes::from_static(b"data: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"), 100_000)];
    for reply in [
        after_text(line()),
        after_text(lines),
        Reply::body("text/event-stream", line()),
        Reply::body("application/json", vec![Step::Repeat(megabyte.clone(), 200)]),
        // Empty lines are no event, but still bytes.
        Reply::body("text/event-stream", vec![Step::Repeat(bytes::Bytes::from(vec![b'\n'; 1 << 16]), 10_000)]),
    ] {
        let (_, error) = fault(reply, |settings| settings.endpoint.max_response_bytes = 2 << 20).await;
        assert_is(&error, ErrorKind::Unavailable, "MODEL_STREAM_BROKEN");
    }
}

#[tokio::test]
async fn one_event_is_bounded_apart_from_the_response() {
    let long = || after_text([Step::delta("x".repeat(4_000)), Step::Finish("stop"), Step::Done]);
    let (text, error) = fault(long(), |settings| settings.max_event_bytes = 4_000).await;
    assert_eq!(text, "so ");
    assert_is(&error, ErrorKind::Unavailable, "MODEL_STREAM_BROKEN");
    let server = OpenAiServer::start().await;
    server.queue_chat([long()]);
    let mut settings = patient(server.base_url());
    settings.max_event_bytes = 5_000;
    assert_eq!(super::answer(&model(settings)).await.len(), 4_003);
}

#[tokio::test]
async fn what_is_refused_is_said_once_and_not_tried_again() {
    for (reply, part) in [
        (Reply::error(401, "invalid_api_key"), "API key"),
        (Reply::error(403, "forbidden"), "API key"),
        (Reply::error(404, "model_not_found"), "base URL"),
        (Reply::error(400, "context_length_exceeded"), "shorten"),
        (Reply::error(422, "x"), "status 422"),
        (Reply::script([Step::event(&json!({ "error": { "code": "invalid_api_key" } }))]), "API key"),
    ] {
        let server = OpenAiServer::start().await;
        server.answer_chat(move |_| reply.clone());
        let error = refused(&patient_model(&server)).await;
        assert_is(&error, ErrorKind::FailedPrecondition, "MODEL_REFUSED");
        assert!(error.message().contains(part), "{error}");
        assert_eq!(server.attempts(), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = OpenAiServer::start().await;
    let server = OpenAiServer::start().await;
    server.require_key("sk");
    let location = format!("{}/chat/completions", elsewhere.base_url());
    server.queue_chat([Reply::script([]).status(307).header("location", location)]);
    let mut settings = patient(server.base_url());
    settings.endpoint.api_key = Some("sk".into());
    assert_is(&refused(&model(settings)).await, ErrorKind::FailedPrecondition, "MODEL_REFUSED");
    assert_eq!((server.attempts(), elsewhere.attempts()), (1, 0));
}

#[tokio::test]
async fn a_request_beyond_the_bound_is_not_sent() {
    let server = OpenAiServer::start().await;
    let mut settings = patient(server.base_url());
    settings.endpoint.max_request_bytes = 100;
    assert_is(&refused(&model(settings)).await, ErrorKind::FailedPrecondition, "MODEL_REFUSED");
    assert_eq!(server.attempts(), 0);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let error = refused(&model(patient(OpenAiServer::refusing_url().await))).await;
    assert_is(&error, ErrorKind::Unavailable, "MODEL_UNAVAILABLE");
}

#[tokio::test]
async fn a_server_that_accepts_no_connection_runs_into_the_connect_timeout() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("an address");
    // Nobody accepts: when the backlog is full, handshakes are not answered any more.
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        waiting.push(stream.expect("the backlog takes it"));
        assert!(waiting.len() < 100, "the backlog is bounded");
    }
    let mut settings = patient(format!("http://{address}/v1"));
    settings.endpoint.connect_timeout = SHORT;
    let began = Instant::now();
    assert_is(&refused(&model(settings)).await, ErrorKind::Unavailable, "MODEL_UNAVAILABLE");
    assert!(began.elapsed() < LONG / 2);
}
