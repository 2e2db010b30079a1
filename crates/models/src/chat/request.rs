//! The request.

use async_openai::types::chat::{
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage,
    ChatCompletionRequestUserMessage, ChatCompletionStreamOptions, CreateChatCompletionRequest,
};
use vectrion_core::{
    Error, Result,
    ports::models::{ChatMessage, ChatRequest, ChatRole},
};

use super::{ChatSettings, OutputLimit};

/// The request's body.
pub(super) fn body(settings: &ChatSettings, request: ChatRequest) -> Result<Vec<u8>> {
    let mut body = CreateChatCompletionRequest {
        model: settings.endpoint.model.clone(),
        messages: request.messages.into_iter().map(message).collect(),
        temperature: settings.temperature,
        stream: Some(true),
        stream_options: settings
            .include_usage
            .then_some(ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None }),
        ..CreateChatCompletionRequest::default()
    };
    match settings.output_limit {
        OutputLimit::MaxCompletionTokens => body.max_completion_tokens = Some(request.max_tokens),
        OutputLimit::MaxTokens => {
            #[expect(deprecated, reason = "OpenAI replaced it, and most compatible servers know nothing else")]
            {
                body.max_tokens = Some(request.max_tokens);
            }
        }
    }
    serde_json::to_vec(&body)
        .map_err(|error| Error::internal("MODEL_REQUEST", "the request cannot be written").with_source(error))
}

/// Tokens of the prompt and the longest answer together, by estimate.
pub(super) fn tokens(request: &ChatRequest) -> usize {
    const BYTES_PER_TOKEN: usize = 4;
    let prompt: usize = request.messages.iter().map(|message| message.content.len().div_ceil(BYTES_PER_TOKEN)).sum();
    prompt + request.max_tokens as usize
}

fn message(message: ChatMessage) -> ChatCompletionRequestMessage {
    match message.role {
        ChatRole::System => ChatCompletionRequestSystemMessage::from(message.content).into(),
        ChatRole::User => ChatCompletionRequestUserMessage::from(message.content).into(),
        ChatRole::Assistant => ChatCompletionRequestAssistantMessage::from(message.content).into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::openai::EndpointSettings;

    fn written(change: impl FnOnce(&mut ChatSettings)) -> Value {
        let mut settings = ChatSettings::new(EndpointSettings::new("http://localhost/v1", "m"));
        change(&mut settings);
        let said = |role, content: &str| ChatMessage { role, content: content.to_owned() };
        let messages =
            vec![said(ChatRole::System, "rules"), said(ChatRole::Assistant, "hello"), said(ChatRole::User, "why?")];
        let request = ChatRequest { messages, max_tokens: 55, deadline: None };
        serde_json::from_slice(&body(&settings, request).expect("written")).expect("JSON")
    }

    #[test]
    fn nothing_is_sent_but_what_is_meant() {
        let expected = json!({
            "model": "m",
            "messages": [
                { "role": "system", "content": "rules" },
                { "role": "assistant", "content": "hello" },
                { "role": "user", "content": "why?" },
            ],
            "temperature": 0.1, "stream": true, "stream_options": { "include_usage": true }, "max_tokens": 55,
        });
        assert_eq!(written(|_| {}), expected);
    }

    #[test]
    fn options_that_a_server_refuses_can_be_left_out() {
        let body = written(|settings| {
            settings.temperature = None;
            settings.include_usage = false;
            settings.output_limit = OutputLimit::MaxCompletionTokens;
        });
        let mut fields: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
        // Another package of the build may make serde_json keep the order of the fields.
        fields.sort_unstable();
        assert_eq!(fields, ["max_completion_tokens", "messages", "model", "stream"]);
    }
}
