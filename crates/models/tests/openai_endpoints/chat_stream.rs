//! What streams look like when nothing is wrong, in all their dialects.

use serde_json::json;
use vectrion_core::ports::models::{ChatEvent, ChatFinish, ChatModel as _};
use vectrion_testkit::openai::{OpenAiServer, Reply, RequestEnd, Step};

use super::{LONG, answer, ask, patient, patient_model, text};

fn delta(text: &str) -> ChatEvent {
    ChatEvent::Delta(text.to_owned())
}

async fn events_of(reply: Reply) -> Vec<ChatEvent> {
    let server = OpenAiServer::start().await;
    server.queue_chat([reply]);
    let (events, error) = ask(&patient_model(&server)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(server.attempts(), 1);
    events
}

#[tokio::test]
async fn an_answer_arrives_as_it_was_written_with_its_tokens_and_its_end() {
    let events = events_of(Reply::chat(["Hel", "lo ", "wörld"])).await;
    let usage = ChatEvent::Usage { prompt_tokens: 7, completion_tokens: 7 };
    assert_eq!(events, [delta("Hel"), delta("lo "), delta("wörld"), usage, ChatEvent::Finished(ChatFinish::Stop)]);
}

#[tokio::test]
async fn the_request_is_what_the_settings_say() {
    let server = OpenAiServer::start().await;
    server.require_key("sk-right");
    let mut settings = patient(server.base_url());
    settings.endpoint.api_key = Some("sk-right".into());
    settings.endpoint.headers = vec![("x-team".to_owned(), "search".into())];
    settings.context_tokens = 4_096;
    let model = super::model(settings);
    assert_eq!((model.name(), model.context_tokens()), ("test-model", 4_096));
    answer(&model).await;
    let request = &server.requests()[0];
    assert_eq!(request.path, "/v1/chat/completions");
    assert_eq!(request.headers["x-team"], "search");
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.body["stream_options"], json!({ "include_usage": true }));
    assert_eq!(request.body["messages"][1], json!({ "role": "user", "content": "what is it?" }));
    assert_eq!(request.body["max_tokens"], 100);
}

#[tokio::test]
async fn deltas_of_other_kinds_are_passed_over() {
    let events = events_of(Reply::script([
        Step::raw(": keep alive\n\n"),
        Step::Role,
        Step::event(&json!({ "choices": [] })),
        Step::DeltaObject(json!({ "content": null, "reasoning_content": "let me think" })),
        Step::DeltaObject(json!({ "role": "", "content": "", "tool_calls": null })),
        Step::delta("yes"),
        Step::event(&json!({ "choices": [{ "index": 1, "delta": { "content": "another choice" } }] })),
        Step::event(&json!({ "id": 7, "unknown": [], "choices": [{ "delta": { "content": "!" } }], "error": null })),
        Step::Finish("tool_calls"),
        Step::event(&json!({ "usage": { "prompt_tokens": 3, "completion_tokens": 2 } })),
        Step::Done,
    ]))
    .await;
    let usage = ChatEvent::Usage { prompt_tokens: 3, completion_tokens: 2 };
    assert_eq!(events, [delta("yes"), delta("!"), usage, ChatEvent::Finished(ChatFinish::Stop)]);
}

#[tokio::test]
async fn a_server_that_counts_no_tokens_yields_no_usage() {
    let script = [Step::delta("a"), Step::Finish("length"), Step::Done];
    assert_eq!(events_of(Reply::script(script)).await, [delta("a"), ChatEvent::Finished(ChatFinish::Length)]);
    let filtered = [Step::Role, Step::Finish("content_filter"), Step::Done];
    assert_eq!(events_of(Reply::script(filtered)).await, [ChatEvent::Finished(ChatFinish::Filtered)]);
}

#[tokio::test]
async fn the_same_bytes_cut_anywhere_are_the_same_answer() {
    let body = concat!(
        "\u{feff}data: {\"choices\":[{\"delta\":{\"content\":\"ünï\"}}]}\r\n\r\n",
        "data:{\"choices\":[{\"delta\":{\"content\":\"cödé\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: [DONE]",
    );
    let bytes = body.as_bytes().iter().map(|byte| Step::raw(vec![*byte]));
    assert_eq!(text(&events_of(Reply::body("text/event-stream; charset=utf-8", bytes)).await), "ünïcödé");
    let whole = Reply::body("text/event-stream", [Step::raw(body)]);
    assert_eq!(text(&events_of(whole).await), "ünïcödé");
}

#[tokio::test]
async fn a_server_that_answers_whole_is_understood() {
    let server = OpenAiServer::start().await;
    let whole = json!({
        "object": "chat.completion",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "all at once" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3 },
    });
    server.queue_chat([Reply::body("application/json; charset=utf-8", [Step::raw(whole.to_string())])]);
    assert_eq!(answer(&patient_model(&server)).await, "all at once");
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_complete_answer() {
    let server = OpenAiServer::start().await;
    let model = patient_model(&server);
    for _ in 0..3 {
        answer(&model).await;
    }
    let all_answered = |requests: &[vectrion_testkit::openai::Request]| {
        requests.len() == 3 && requests.iter().all(|request| request.end == RequestEnd::Answered)
    };
    assert!(server.wait_until(LONG, all_answered).await, "{:?}", server.requests());
    assert_eq!(server.connections(), 1);
}
