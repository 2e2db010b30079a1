//! Chat model behind an OpenAI-compatible `/v1/chat/completions`.

mod chunk;
mod reader;
mod request;

use std::{sync::Arc, time::Duration};

use async_stream::try_stream;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::time::Instant;
use vectrion_core::{
    Error, Result,
    ports::models::{ChatEvent, ChatModel, ChatRequest},
};

use self::reader::{Reader, Step};
use crate::openai::{
    Accept, Break, Endpoint, EndpointSettings, Failure, Health, Limit, Model, Pass, Urgency, from_now,
};

/// Settings of [`OpenAiChatModel`].
#[derive(Clone, Debug)]
pub struct ChatSettings {
    /// The endpoint.
    pub endpoint: EndpointSettings,
    /// Tokens of prompt and answer together.
    pub context_tokens: u32,
    /// Sampling temperature, 0 to 2; the model's own if not given, which some models insist on.
    pub temperature: Option<f32>,
    /// In which field the limit of the answer's tokens is sent.
    pub output_limit: OutputLimit,
    /// Asks for the tokens used. Servers that do not know the option ignore it; for those that refuse it, switch it off.
    pub include_usage: bool,
    /// From the call to the first piece of text, or of reasoning; all tries together.
    pub first_token_timeout: Duration,
    /// From one piece to the next.
    pub inter_token_timeout: Duration,
    /// From the call to the end of the answer.
    pub total_timeout: Duration,
    /// Bytes of one event at the most.
    pub max_event_bytes: usize,
}

impl ChatSettings {
    /// Defaults for this endpoint.
    #[must_use]
    pub fn new(endpoint: EndpointSettings) -> Self {
        Self {
            endpoint,
            context_tokens: 8_192,
            temperature: Some(0.1),
            output_limit: OutputLimit::MaxTokens,
            include_usage: true,
            first_token_timeout: Duration::from_secs(30),
            inter_token_timeout: Duration::from_secs(15),
            total_timeout: Duration::from_secs(180),
            max_event_bytes: 256 << 10,
        }
    }
}

/// The field for the limit of the answer's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputLimit {
    /// `max_tokens`, which nearly all compatible servers know.
    MaxTokens,
    /// `max_completion_tokens`, which OpenAI's reasoning models want.
    MaxCompletionTokens,
}

/// Chat model behind an OpenAI-compatible endpoint.
///
/// [`ChatModel::stream`] returns when the first piece of text is there, so that all that is tried again lies within it.
/// A stream counts as complete only with a finish reason and `[DONE]`. Dropping the call or the stream closes the
/// connection, or resets the HTTP/2 stream, so that the model stops.
#[derive(Clone, Debug)]
pub struct OpenAiChatModel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    settings: ChatSettings,
}

/// An answer whose first text is there.
struct Begun {
    reader: Reader,
    /// Its place among the calls under way, until its end.
    pass: Pass,
    /// None if the answer is complete without any text.
    first: Option<String>,
}

impl OpenAiChatModel {
    /// A model with these settings. `seed` is for the jitter of retries.
    ///
    /// # Errors
    /// `INVALID_FIELD` naming the setting that is wrong; `MODEL_CLIENT_FAILED` if the system has no certificates.
    pub fn new(settings: ChatSettings, seed: u64) -> Result<Self> {
        if settings.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
            return Err(Error::invalid_field("temperature", "must be between 0 and 2"));
        }
        if settings.context_tokens == 0 {
            return Err(Error::invalid_field("context_tokens", "must be at least 1"));
        }
        let endpoint = Endpoint::new(&settings.endpoint, &["chat", "completions"], seed)?;
        Ok(Self { inner: Arc::new(Inner { endpoint, settings }) })
    }
}

#[async_trait]
impl ChatModel for OpenAiChatModel {
    fn name(&self) -> &str {
        &self.inner.settings.endpoint.model
    }

    fn context_tokens(&self) -> u32 {
        self.inner.settings.context_tokens
    }

    async fn stream(&self, request: ChatRequest) -> Result<BoxStream<'static, Result<ChatEvent>>> {
        let own = from_now(self.inner.settings.total_timeout);
        let total = request.deadline.map_or(own, |deadline| own.min(Instant::from_std(deadline)));
        let first = Limit::first(from_now(self.inner.settings.first_token_timeout), total);
        let tokens = request::tokens(&request);
        let body = Bytes::from(request::body(&self.inner.settings, request)?);
        let attempt = || self.inner.begin(body.clone(), tokens, first, total);
        let begun = self.inner.endpoint.calls.run(first.at(), Health::Begun, attempt).await;
        let begun = begun.map_err(|failure| failure.into_error(&Model::CHAT))?;
        Ok(Box::pin(answer(Arc::clone(&self.inner), begun, total)))
    }
}

impl Inner {
    /// One attempt, up to the first piece of text.
    async fn begin(&self, body: Bytes, tokens: usize, first: Limit, total: Instant) -> Result<Begun, Failure> {
        let mut limit = first;
        let pass = self.endpoint.gate.enter(Urgency::Question, tokens, Some(first.at())).await?;
        let response = limit.hold(self.endpoint.post(Accept::Events, body)).await?;
        let open = Reader::open(response, self.settings.max_event_bytes, self.endpoint.max_response_bytes);
        let mut reader = limit.hold(open).await.map_err(before_text)?;
        loop {
            match limit.hold(reader.next()).await.map_err(before_text)? {
                Step::Text(text) => return Ok(Begun { reader, pass, first: Some(text) }),
                Step::Done => return Ok(Begun { reader, pass, first: None }),
                // A model that reasons is alive although it says nothing yet.
                Step::Progress => limit = Limit::next(self.settings.inter_token_timeout, total),
                Step::Nothing => {}
            }
        }
    }

    /// The next piece of text, or none at the end.
    async fn next_text(&self, reader: &mut Reader, total: Instant) -> Result<Option<String>, Failure> {
        let limit = || Limit::next(self.settings.inter_token_timeout, total);
        // Counts from now, not from the last piece: meanwhile the caller, not the model, may have been slow.
        let mut waiting = limit();
        loop {
            match waiting.hold(reader.next()).await? {
                Step::Text(text) => return Ok(Some(text)),
                Step::Done => return Ok(None),
                Step::Progress => waiting = limit(),
                Step::Nothing => {}
            }
        }
    }
}

/// An error within the stream before any text is the same as one instead of the stream.
fn before_text(failure: Failure) -> Failure {
    match failure {
        Failure::Broken(Break::ErrorObject(upstream)) => match upstream.as_status() {
            Some(status) => Failure::from_status(status, upstream, None),
            None => Failure::Broken(Break::ErrorObject(upstream)),
        },
        other => other,
    }
}

/// The events of an answer that has begun.
fn answer(
    model: Arc<Inner>,
    begun: Begun,
    total: Instant,
) -> impl futures::Stream<Item = Result<ChatEvent>> + Send + 'static {
    let Begun { mut reader, pass, first } = begun;
    try_stream! {
        if let Some(text) = first {
            yield ChatEvent::Delta(text);
            loop {
                match model.next_text(&mut reader, total).await {
                    Ok(Some(text)) => yield ChatEvent::Delta(text),
                    Ok(None) => break,
                    Err(failure) => {
                        model.endpoint.calls.ended(failure.health());
                        Err(failure.into_error(&Model::CHAT))?;
                    }
                }
            }
        }
        model.endpoint.calls.ended(Health::Alive);
        if let Some(usage) = reader.usage() {
            yield usage;
        }
        let finish = reader.finish().expect("a reader is done only with a finish reason");
        yield ChatEvent::Finished(finish);
        reader.release().await;
        drop(pass);
    }
}
