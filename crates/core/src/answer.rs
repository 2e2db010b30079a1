//! Answers: requests, events, what is stored.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{AnswerId, ChunkId, KeyId, TenantId},
    search::{Passage, SearchQuery},
    time::Timestamp,
};

/// A turn of the conversation so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who spoke.
    pub role: TurnRole,
    /// What was said.
    pub text: String,
}

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnRole {
    /// The person who asks.
    User,
    /// The system's earlier answer.
    Assistant,
}

/// A question with how to search for its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The question (normalised) and the search to make.
    pub search: SearchQuery,
    /// Earlier turns, oldest first.
    pub history: Vec<Turn>,
    /// Tokens of the answer at the most; the model's setting if none.
    pub max_tokens: Option<u32>,
}

/// An event of an answer's stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerEvent {
    /// Position in the stream, counted from 1 without gaps.
    pub sequence: u64,
    /// What happened.
    pub kind: AnswerEventKind,
}

/// What happened in an answer's stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AnswerEventKind {
    /// The answer has an id.
    Started {
        /// Model that answers, or `extractive`.
        model: String,
        /// Version of the prompt template; empty for the extractive answerer.
        prompt_version: String,
    },
    /// The passages that the answer rests on, best first.
    Retrieval {
        /// The passages.
        passages: Vec<Passage>,
    },
    /// A piece of the answer.
    Delta {
        /// Text to append.
        text: String,
    },
    /// A part of the answer is supported by a passage. Sent after the deltas that it covers.
    Citation {
        /// Start in the answer, in UTF-8 bytes.
        start: u32,
        /// End, exclusive.
        end: u32,
        /// The passage.
        passage_id: ChunkId,
        /// Words of the passage that support it; stands in the passage's text but for white space.
        quote: String,
    },
    /// Something was blocked, removed or redacted.
    Guard {
        /// Name of the rule.
        rule: String,
        /// `removed`, `redacted` or `blocked`.
        action: String,
        /// For people.
        reason: String,
    },
    /// What the answer cost.
    Usage(Usage),
    /// The answer is complete. Terminal.
    Done {
        /// Why it ended.
        finish_reason: FinishReason,
    },
    /// The answer broke off. Terminal.
    Error {
        /// gRPC status code.
        code: u32,
        /// Stable reason.
        reason: String,
        /// For people.
        message: String,
    },
}

impl AnswerEventKind {
    /// Whether the stream ends with it.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Error { .. })
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It was complete.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// Nothing in the documents fits the question.
    NoRelevantContent,
    /// The answer was not supported by the passages.
    LowGrounding,
    /// A guard stopped it.
    Guard,
    /// The caller stopped it.
    Cancelled,
}

/// Tokens and latencies of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
    /// Whether the tokens were estimated because the model did not report them.
    pub estimated: bool,
    /// Price in micro-units of the configured currency; 0 without a price.
    pub cost_micros: u64,
    /// Milliseconds from the call to each event, by stage.
    pub latency: Latency,
}

/// Milliseconds by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Embedding the question.
    pub embed_ms: f32,
    /// Searching and reading the passages.
    pub search_ms: f32,
    /// From the call to the first piece of text.
    pub first_token_ms: f32,
    /// From the call to the end.
    pub total_ms: f32,
}

/// A question and its answer as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAnswer {
    /// Id.
    pub id: AnswerId,
    /// Owner.
    pub tenant: TenantId,
    /// Key that asked; only it, or an admin of the tenant, reads the answer.
    pub key: KeyId,
    /// The question, normalised.
    pub question: String,
    /// Earlier turns sent with it.
    pub history: Vec<Turn>,
    /// Model that answers.
    pub model: String,
    /// Version of the prompt template.
    pub prompt_version: String,
    /// The text so far.
    pub text: String,
    /// The passages.
    pub passages: Vec<Passage>,
    /// What it cost.
    pub usage: Usage,
    /// The terminal event; none while it is being written.
    pub end: Option<AnswerEventKind>,
    /// When it was asked.
    pub create_time: Timestamp,
    /// When it ended.
    pub end_time: Option<Timestamp>,
}
