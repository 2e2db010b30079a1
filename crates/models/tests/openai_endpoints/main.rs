//! The OpenAI-compatible chat model and embedder against a scripted server.

mod chat_cancel;
mod chat_faults;
mod chat_retries;
mod chat_stream;
mod embeddings;
mod proxies;
mod rates;
mod secrecy;

use std::time::Duration;

use futures::StreamExt as _;
use vectrion_core::{
    Error, Result,
    ports::models::{ChatEvent, ChatFinish, ChatMessage, ChatModel as _, ChatRequest, ChatRole},
};
use vectrion_models::{
    chat::{ChatSettings, OpenAiChatModel},
    openai::EndpointSettings,
};
use vectrion_testkit::openai::OpenAiServer;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(20);

/// Settings whose timeouts never fire and whose retries are quick.
fn patient(base_url: String) -> ChatSettings {
    secrecy::logs();
    let mut endpoint = EndpointSettings::new(base_url, "test-model");
    endpoint.retries.first_delay = Duration::from_millis(2);
    let mut settings = ChatSettings::new(endpoint);
    settings.first_token_timeout = LONG;
    settings.inter_token_timeout = LONG;
    settings.total_timeout = LONG;
    settings
}

fn model(settings: ChatSettings) -> OpenAiChatModel {
    OpenAiChatModel::new(settings, 42).expect("the settings are right")
}

fn patient_model(server: &OpenAiServer) -> OpenAiChatModel {
    model(patient(server.base_url()))
}

fn question() -> ChatRequest {
    let said = |role, content: &str| ChatMessage { role, content: content.to_owned() };
    ChatRequest {
        messages: vec![said(ChatRole::System, "answer from the passages"), said(ChatRole::User, "what is it?")],
        max_tokens: 100,
        deadline: None,
    }
}

/// All that a call yields: its events, and the error that ended it.
async fn ask(model: &OpenAiChatModel) -> (Vec<ChatEvent>, Option<Error>) {
    match model.stream(question()).await {
        Err(error) => (Vec::new(), Some(error)),
        Ok(mut stream) => {
            let mut events = Vec::new();
            while let Some(event) = stream.next().await {
                match event {
                    Ok(event) => events.push(event),
                    Err(error) => {
                        assert!(stream.next().await.is_none(), "nothing comes after an error");
                        return (events, Some(error));
                    }
                }
            }
            (events, None)
        }
    }
}

/// The error of a call that yields no text.
async fn refused(model: &OpenAiChatModel) -> Error {
    match ask(model).await {
        (events, Some(error)) if events.is_empty() => error,
        other => panic!("expected an error before any text, got {other:?}"),
    }
}

/// The text of a call that ends as it should.
async fn answer(model: &OpenAiChatModel) -> String {
    let (events, error) = ask(model).await;
    assert!(error.is_none(), "{error:?} after {events:?}");
    assert!(matches!(events.last(), Some(ChatEvent::Finished(ChatFinish::Stop))), "{events:?}");
    text(&events)
}

fn text(events: &[ChatEvent]) -> String {
    let delta = |event: &ChatEvent| match event {
        ChatEvent::Delta(text) => Some(text.clone()),
        ChatEvent::Usage { .. } | ChatEvent::Finished(_) => None,
    };
    events.iter().filter_map(delta).collect()
}

/// The reasons in a list of results, `OK` for a success.
fn reasons<T>(results: &[Result<T>]) -> Vec<&'static str> {
    results.iter().map(|result| result.as_ref().err().map_or("OK", Error::reason)).collect()
}
