//! The handlers.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use async_stream::stream;
use axum::{
    Extension, Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header::CONTENT_TYPE},
    response::Response,
    routing::post,
};
use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    Answers, End, Reply, Request, RequestEnd, Shared, Step,
    connection::{ResetSwitch, ScriptedListener},
    hash_embedding, lock,
    record::InFlight,
    reply::{Before, Content},
};

/// Which script answers.
#[derive(Clone, Copy)]
enum Route {
    Chat,
    Embeddings,
    Unknown,
}

pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let listener = ScriptedListener { listener, accepted: Arc::clone(&shared.accepted) };
    let app = Router::new()
        .route("/v1/chat/completions", post(answer).layer(Extension(Route::Chat)))
        .route("/v1/embeddings", post(answer).layer(Extension(Route::Embeddings)))
        .fallback_service(post(answer).get(answer).layer(Extension(Route::Unknown)).with_state(Arc::clone(&shared)))
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(shared);
    let app = app.into_make_service_with_connect_info::<ResetSwitch>();
    axum::serve(listener, app).await.expect("the loopback listener never fails for good");
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Extension(route): Extension<Route>,
    ConnectInfo(switch): ConnectInfo<ResetSwitch>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Request {
        path: uri.to_string(),
        headers: readable(&headers),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        received: Instant::now(),
        end: RequestEnd::Open,
    };
    let in_flight = shared.records.begin(request.clone());
    let reply = if key_is_wrong(&shared, &request) {
        Reply::error(401, "invalid_api_key")
    } else {
        match route {
            Route::Chat => Shared::next_reply(&shared.chat, &request),
            Route::Embeddings => Shared::next_reply(&shared.embeddings, &request),
            Route::Unknown => Reply::error(404, "unknown_url"),
        }
    };
    match reply.before_headers {
        Before::Wait(wait) => tokio::time::sleep(wait).await,
        Before::Hang => std::future::pending().await,
    }
    let (content_type, steps) = render(&reply.content, &request, shared.dimension);
    let mut response = Response::new(Body::from_stream(play(steps, reply.end, switch, in_flight)));
    *response.status_mut() = StatusCode::from_u16(reply.status).expect("the script's status is valid");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in reply.headers {
        let name = HeaderName::try_from(name).expect("the script's header name is valid");
        response.headers_mut().insert(name, HeaderValue::try_from(value).expect("the script's header value is valid"));
    }
    response
}

fn readable(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

fn key_is_wrong(shared: &Shared, request: &Request) -> bool {
    lock(&shared.required_key)
        .as_ref()
        .is_some_and(|key| request.headers.get("authorization") != Some(&format!("Bearer {key}")))
}

/// Sends the steps. Dropped before its end, it leaves `in_flight` to say that the client is gone.
fn play(
    steps: Vec<Step>,
    end: End,
    switch: ResetSwitch,
    in_flight: InFlight,
) -> impl futures::Stream<Item = io::Result<Bytes>> {
    stream! {
        for step in steps {
            match step {
                Step::Raw(bytes) => yield Ok(bytes),
                Step::Repeat(bytes, times) => {
                    for _ in 0..times {
                        yield Ok(bytes.clone());
                    }
                }
                Step::Pause(pause) => tokio::time::sleep(pause).await,
                Step::Hang => std::future::pending().await,
                rendered_before => unreachable!("{rendered_before:?} is rendered before it is played"),
            }
        }
        match end {
            End::Complete => in_flight.end(RequestEnd::Answered),
            End::Cut | End::Reset => {
                // What was sent must have left the buffers, for a reset discards it.
                tokio::time::sleep(Duration::from_millis(20)).await;
                in_flight.end(RequestEnd::Cut);
                if end == End::Reset {
                    switch.reset_at_end();
                }
                yield Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the script ends here"));
            }
        }
    }
}

/// Turns what depends on the request into bytes.
fn render(content: &Content, request: &Request, dimension: usize) -> (&'static str, Vec<Step>) {
    match content {
        Content::Body { content_type, steps } => (content_type, steps.clone()),
        Content::Embeddings(answers) => {
            ("application/json", vec![Step::raw(embeddings(*answers, &request.body, dimension).to_string())])
        }
        Content::Chat(steps) if request.body["stream"] == true => {
            ("text/event-stream", steps.iter().filter_map(|step| event(step, &request.body)).collect())
        }
        Content::Chat(steps) => ("application/json", whole(steps, &request.body)),
    }
}

/// One step of a stream.
fn event(step: &Step, request: &Value) -> Option<Step> {
    let choice = |delta: Value, finish: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        chunk("chat.completion.chunk", request, &choices, &Value::Null)
    };
    let data = match step {
        Step::Role => choice(json!({ "role": "assistant", "content": "" }), Value::Null).to_string(),
        Step::Delta(text) => choice(json!({ "content": text }), Value::Null).to_string(),
        Step::DeltaObject(delta) => choice(delta.clone(), Value::Null).to_string(),
        Step::Finish(reason) => choice(json!({}), json!(reason)).to_string(),
        Step::Usage if request["stream_options"]["include_usage"] != true => return None,
        Step::Usage => chunk("chat.completion.chunk", request, &json!([]), &usage(request)).to_string(),
        Step::Done => "[DONE]".to_owned(),
        Step::Event(data) => data.clone(),
        Step::Raw(_) | Step::Repeat(..) | Step::Pause(_) | Step::Hang => return Some(step.clone()),
    };
    Some(Step::raw(format!("data: {data}\n\n")))
}

/// The whole answer as one object, after the pauses of the script.
fn whole(steps: &[Step], request: &Value) -> Vec<Step> {
    let (mut text, mut finish, mut played) = (String::new(), Value::Null, Vec::new());
    for step in steps {
        match step {
            Step::Delta(delta) => text.push_str(delta),
            Step::Finish(reason) => finish = json!(reason),
            Step::Raw(_) | Step::Repeat(..) | Step::Pause(_) | Step::Hang => played.push(step.clone()),
            Step::Role | Step::DeltaObject(_) | Step::Usage | Step::Done | Step::Event(_) => {}
        }
    }
    let message = json!({ "role": "assistant", "content": text });
    let choices = json!([{ "index": 0, "message": message, "finish_reason": finish }]);
    played.push(Step::raw(chunk("chat.completion", request, &choices, &usage(request)).to_string()));
    played
}

fn chunk(object: &str, request: &Value, choices: &Value, usage: &Value) -> Value {
    json!({
        "id": "chatcmpl-scripted", "object": object, "created": 1_700_000_000, "model": request["model"],
        "system_fingerprint": null, "choices": choices, "usage": usage,
    })
}

/// One token for each word of the prompt, seven for the answer.
fn usage(request: &Value) -> Value {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let words = |message: &Value| message["content"].as_str().map_or(0, |text| text.split_whitespace().count());
    let prompt: usize = messages.iter().map(words).sum();
    json!({ "prompt_tokens": prompt, "completion_tokens": 7, "total_tokens": prompt + 7 })
}

fn embeddings(answers: Answers, request: &Value, dimension: usize) -> Value {
    let inputs: Vec<&str> = match &request["input"] {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let asked = request["dimensions"].as_u64().and_then(|asked| usize::try_from(asked).ok()).unwrap_or(dimension);
    let length = if let Answers::Dimension(length) = answers { length } else { asked };
    let scale = if let Answers::Scaled(scale) = answers { scale } else { 1.0 };
    let base64 = request["encoding_format"] == "base64" && answers != Answers::FloatsOnly;
    let mut data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector: Vec<f32> = hash_embedding(text, length).into_iter().map(|x| x * scale).collect();
            let embedding = if base64 { encoded(&vector) } else { json!(vector) };
            match answers {
                Answers::WithoutIndex => json!({ "object": "embedding", "embedding": embedding }),
                Answers::SameIndex => json!({ "object": "embedding", "index": 0, "embedding": embedding }),
                _ => json!({ "object": "embedding", "index": index, "embedding": embedding }),
            }
        })
        .collect();
    match answers {
        Answers::Reversed => data.reverse(),
        Answers::OneMissing => drop(data.pop()),
        _ => {}
    }
    let words: usize = inputs.iter().map(|text| text.split_whitespace().count()).sum();
    json!({
        "object": "list", "model": request["model"], "data": data,
        "usage": { "prompt_tokens": words, "total_tokens": words },
    })
}

/// Little-endian floats in base64, as OpenAI sends them.
fn encoded(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    Value::String(base64::engine::general_purpose::STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;
    use crate::openai::OpenAiServer;

    /// The response to a body, without a client that could hide anything.
    async fn post(server: &OpenAiServer, path: &str, body: &Value) -> String {
        let address = server.base_url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
        let mut connection = TcpStream::connect(&address).await.expect("it listens");
        let body = body.to_string();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}");
        connection.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.expect("it reads");
        let mut response = String::new();
        connection.read_to_string(&mut response).await.expect("it answers");
        response
    }

    #[tokio::test]
    async fn a_chat_is_answered_whole_or_in_pieces_as_asked() {
        let server = OpenAiServer::start().await;
        let whole = post(&server, "/v1/chat/completions", &json!({ "model": "m" })).await;
        assert!(whole.starts_with("HTTP/1.1 200"), "{whole}");
        assert!(whole.contains(r#""content":"This is an answer.""#) && !whole.contains("data:"), "{whole}");
        let pieces = post(&server, "/v1/chat/completions", &json!({ "model": "m", "stream": true })).await;
        assert_eq!(pieces.matches("data: {").count(), 6, "role, four pieces, the reason: {pieces}");
        assert!(pieces.contains("data: [DONE]\n\n") && !pieces.contains("prompt_tokens"), "{pieces}");
        assert!(server.requests().iter().all(|request| request.end == RequestEnd::Answered));
    }

    #[tokio::test]
    async fn what_is_unknown_or_without_its_key_is_refused_and_recorded() {
        let server = OpenAiServer::start().await;
        assert!(post(&server, "/v1/models", &json!({})).await.starts_with("HTTP/1.1 404"));
        server.require_key("sk");
        assert!(post(&server, "/v1/embeddings", &json!({ "input": "a" })).await.starts_with("HTTP/1.1 401"));
        let paths: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
        assert_eq!(paths, ["/v1/models", "/v1/embeddings"]);
    }
}
