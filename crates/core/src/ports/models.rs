//! Models: tokenizer, embedder, chat model.

use std::{ops::Range, time::Instant};

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::Result;

/// Tokens of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Ids in the model's vocabulary, without special tokens.
    pub ids: Vec<u32>,
    /// UTF-8 byte range of each token in the text; ranges do not go back.
    pub offsets: Vec<Range<usize>>,
}

/// The embedding model's own tokenizer. Calls compute for as long as the text is long: run them off the async threads.
pub trait Tokenizer: Send + Sync {
    /// Tokens of a text of any length; nothing is cut off, no special token is added.
    fn encode(&self, text: &str) -> Result<Tokens>;

    /// Tokens that the model takes at once, without special tokens.
    fn max_tokens(&self) -> usize;

    /// Name of the vocabulary, part of the chunker's version.
    fn name(&self) -> &str;
}

/// A passage to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedInput {
    /// Its text, for endpoints that take text.
    pub text: String,
    /// Its tokens by the model's own tokenizer, without special tokens; used instead of the text by a local model.
    pub token_ids: Vec<u32>,
}

/// Turns text into vectors of unit length.
///
/// Errors of a remote model: `DEADLINE_EXCEEDED` with reason `EMBEDDER_TIMEOUT`; `UNAVAILABLE` with
/// `EMBEDDER_UNAVAILABLE`, `EMBEDDER_ANSWER_BROKEN`; `RESOURCE_EXHAUSTED` with `EMBEDDER_RATE_LIMITED` and the model's
/// `Retry-After`; `FAILED_PRECONDITION` with `EMBEDDER_REFUSED` when the request or the credentials are wrong,
/// `EMBEDDER_DIMENSION_MISMATCH` when its vectors have another length. Of the local model: `UNAVAILABLE` with
/// `EMBEDDER_STOPPED` while the process ends; `INTERNAL` with `EMBEDDING_FAILED`, `TOKENIZER_FAILED`; and when it is
/// loaded, `FAILED_PRECONDITION` with `MODEL_ASSETS_MISSING`, `MODEL_ASSETS_UNUSABLE`. Dropping a call aborts it.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// Name with its variant, such as `all-MiniLM-L6-v2/f32`; part of the index generation.
    fn model(&self) -> &str;

    /// All that shapes the vector of a question beside its text: two embedders that say the same here give the same.
    fn query_model(&self) -> &str {
        self.model()
    }

    /// Length of the vectors.
    fn dimension(&self) -> usize;

    /// Passages that are best given at once.
    fn batch_size(&self) -> usize;

    /// Embeds passages; one vector for each, in order.
    async fn embed(&self, inputs: Vec<EmbedInput>) -> Result<Vec<Vec<f32>>>;

    /// Embeds a question. A question longer than the model takes is embedded in windows whose mean counts. Goes ahead
    /// of passages that wait.
    async fn embed_query(&self, text: &str) -> Result<Vec<f32>>;

    /// The same for a caller who waits until then at the most: if it is clear before that there is no room for the call in
    /// its time, it is `RESOURCE_EXHAUSTED` at once, with the time after which there is.
    async fn embed_query_by(&self, text: &str, deadline: Option<Instant>) -> Result<Vec<f32>> {
        let _ = deadline;
        self.embed_query(text).await
    }

    /// Embeds many short texts, such as the sentences of passages, for comparison within one answer.
    async fn embed_texts(&self, texts: &[String]) -> Result<Vec<Vec<f32>>>;

    /// Whether the model can be used now.
    async fn check(&self) -> Result<()>;
}

/// Who speaks in a message to a chat model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatRole {
    /// Rules.
    System,
    /// The person.
    User,
    /// The model, earlier.
    Assistant,
}

/// A message to a chat model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: ChatRole,
    /// What.
    pub content: String,
}

/// A call of a chat model.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The messages, in order.
    pub messages: Vec<ChatMessage>,
    /// Tokens of the answer at the most.
    pub max_tokens: u32,
    /// When the caller stops waiting; the model's own limits hold beside it.
    pub deadline: Option<Instant>,
}

/// A piece of a chat model's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatEvent {
    /// Text to append; not empty.
    Delta(String),
    /// Tokens as the model counts them.
    Usage {
        /// Of the prompt.
        prompt_tokens: u32,
        /// Of the answer.
        completion_tokens: u32,
    },
    /// The model is done. A stream that ends without it was cut off and yields an error first.
    Finished(ChatFinish),
}

/// Why a chat model is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatFinish {
    /// It was complete.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// The provider's filter stopped it.
    Filtered,
}

/// A chat model that streams.
///
/// Errors: `DEADLINE_EXCEEDED` with reason `MODEL_FIRST_TOKEN_TIMEOUT`, `MODEL_STALLED` or `MODEL_TIMEOUT`;
/// `UNAVAILABLE` with `MODEL_UNAVAILABLE`, `MODEL_STREAM_BROKEN`; `RESOURCE_EXHAUSTED` with `MODEL_RATE_LIMITED` and the
/// model's `Retry-After`; `FAILED_PRECONDITION` with `MODEL_REFUSED` when the request or the credentials are wrong.
/// Tries again only before the first piece of text. Dropping the stream aborts the call at once.
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// Name of the model.
    fn name(&self) -> &str;

    /// Tokens of prompt and answer together.
    fn context_tokens(&self) -> u32;

    /// Begins an answer.
    async fn stream(&self, request: ChatRequest) -> Result<BoxStream<'static, Result<ChatEvent>>>;
}
