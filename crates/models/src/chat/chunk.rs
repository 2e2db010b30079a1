//! A chunk of a stream, as loosely as servers write it.

use serde::Deserialize;
use serde_json::Value;
use vectrion_core::ports::models::{ChatEvent, ChatFinish};

use crate::openai::{Break, UpstreamError};

/// The fields in use. All may be missing or null, and unknown values of the others do no harm.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<Value>,
    object: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    index: Option<u32>,
    /// `message` if the server answers whole although a stream was asked for.
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta {
    content: Option<Content>,
    refusal: Option<String>,
    reasoning_content: Option<Value>,
    reasoning: Option<Value>,
    tool_calls: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    /// Text and thoughts, as reasoning models of some servers send them.
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    text: Option<String>,
}

impl Chunk {
    /// A chunk from its JSON, or the error that some servers put in its place.
    pub(super) fn parse(json: &[u8]) -> Result<Self, Break> {
        let not_json = |error: serde_json::Error| Break::NotJson(error.classify());
        let chunk: Self = serde_json::from_slice(json).map_err(not_json)?;
        if let Some(error) = &chunk.error {
            return Err(Break::ErrorObject(UpstreamError::from_value(error)));
        }
        if chunk.object.as_ref().is_some_and(|object| object == "error") {
            return Err(Break::ErrorObject(UpstreamError::from_body(json)));
        }
        Ok(chunk)
    }

    /// Text of the first choice, a refusal included: it is what the model says to the person.
    pub(super) fn take_text(&mut self) -> String {
        let Some(delta) = self.first_choice().and_then(|choice| choice.delta.as_mut()) else {
            return String::new();
        };
        let mut text = match delta.content.take() {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts.into_iter().filter_map(|part| part.text).collect(),
            None => String::new(),
        };
        text.push_str(&delta.refusal.take().unwrap_or_default());
        text
    }

    /// Whether it shows that the model works although it has no text: thoughts, calls of tools, or the end.
    pub(super) fn shows_progress(&mut self) -> bool {
        let is_something = |value: &Option<Value>| match value {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(_) => true,
        };
        self.first_choice().is_some_and(|choice| {
            choice.finish_reason.is_some()
                || choice.delta.as_ref().is_some_and(|delta| {
                    matches!(&delta.content, Some(Content::Parts(parts)) if !parts.is_empty())
                        || [&delta.reasoning_content, &delta.reasoning, &delta.tool_calls].into_iter().any(is_something)
                })
        })
    }

    /// Why the model is done. No tool is ever offered, so that a model that calls one has said what it has to say;
    /// reasons of a server's own, such as `eos`, mean the same.
    pub(super) fn finish(&mut self) -> Option<ChatFinish> {
        Some(match self.first_choice()?.finish_reason.as_deref()? {
            "" => return None,
            "length" | "max_tokens" | "max_length" => ChatFinish::Length,
            "content_filter" | "safety" | "SAFETY" => ChatFinish::Filtered,
            _ => ChatFinish::Stop,
        })
    }

    /// Tokens, if it counts them.
    pub(super) fn usage(&self) -> Option<ChatEvent> {
        let usage = self.usage.as_ref()?;
        let tokens = |name: &str| Some(u32::try_from(usage.get(name)?.as_u64()?).unwrap_or(u32::MAX));
        let (prompt_tokens, completion_tokens) = (tokens("prompt_tokens")?, tokens("completion_tokens")?);
        Some(ChatEvent::Usage { prompt_tokens, completion_tokens })
    }

    fn first_choice(&mut self) -> Option<&mut Choice> {
        self.choices.as_mut()?.iter_mut().find(|choice| choice.index.unwrap_or(0) == 0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chunk(value: Value) -> Chunk {
        Chunk::parse(value.to_string().as_bytes()).expect("a chunk")
    }

    fn delta(delta: Value) -> Chunk {
        chunk(json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] }))
    }

    #[test]
    fn text_is_found_in_every_form() {
        assert_eq!(delta(json!({ "role": "assistant", "content": "a" })).take_text(), "a");
        assert_eq!(delta(json!({ "refusal": "I cannot" })).take_text(), "I cannot");
        let parts = json!([{ "type": "thinking", "thinking": [{}] }, { "type": "text", "text": "b" }]);
        assert_eq!(delta(json!({ "content": parts })).take_text(), "b");
        let whole = json!({ "choices": [{ "message": { "role": "assistant", "content": "c" } }] });
        assert_eq!(chunk(whole).take_text(), "c");
        let other = json!({ "choices": [{ "index": 1, "delta": { "content": "second choice" } }] });
        assert_eq!(chunk(other).take_text(), "");
    }

    #[test]
    fn chunks_without_text_are_no_errors() {
        for (value, progress) in [
            (json!({}), false),
            (json!({ "choices": null, "usage": null, "error": null }), false),
            (json!({ "choices": [] }), false),
            (json!({ "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "" } }] }), false),
            (json!({ "choices": [{ "delta": { "content": null, "tool_calls": null } }] }), false),
            (json!({ "choices": [{ "delta": { "reasoning_content": "" } }] }), false),
            (json!({ "choices": [{ "delta": { "reasoning_content": "hm" } }] }), true),
            (json!({ "choices": [{ "delta": { "reasoning": "hm", "role": "" } }] }), true),
            (json!({ "choices": [{ "delta": { "tool_calls": [{ "index": 0 }] } }] }), true),
            (json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] }), true),
        ] {
            let mut read = chunk(value.clone());
            assert_eq!((read.shows_progress(), read.take_text().as_str()), (progress, ""), "{value}");
        }
    }

    #[test]
    fn errors_in_place_of_chunks_are_found() {
        for error in [
            json!({ "error": { "message": "secret", "code": 503 } }),
            json!({ "object": "error", "message": "secret", "type": "InternalServerError", "code": 503 }),
        ] {
            match Chunk::parse(error.to_string().as_bytes()) {
                Err(Break::ErrorObject(upstream)) => assert_eq!(upstream.as_status(), Some(503), "{error}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(Chunk::parse(b"{\"choices\": 7}"), Err(Break::NotJson(_))));
    }

    #[test]
    fn finish_reasons_of_all_servers_are_understood() {
        for (reason, finish) in [
            ("stop", Some(ChatFinish::Stop)),
            ("length", Some(ChatFinish::Length)),
            ("content_filter", Some(ChatFinish::Filtered)),
            ("tool_calls", Some(ChatFinish::Stop)),
            ("eos", Some(ChatFinish::Stop)),
            ("", None),
        ] {
            assert_eq!(chunk(json!({ "choices": [{ "finish_reason": reason }] })).finish(), finish, "{reason}");
        }
    }

    #[test]
    fn tokens_are_counted_only_if_both_are_there() {
        let usage = |usage: Value| chunk(json!({ "choices": [], "usage": usage })).usage();
        let full = json!({ "prompt_tokens": 3, "completion_tokens": 4, "completion_tokens_details": null });
        assert_eq!(usage(full), Some(ChatEvent::Usage { prompt_tokens: 3, completion_tokens: 4 }));
        assert_eq!(usage(json!({ "total_tokens": 3 })), None);
        assert_eq!(usage(json!(null)), None);
    }
}
