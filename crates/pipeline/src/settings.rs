//! The use cases' sections of the configuration.

use std::time::Duration;

use serde::Deserialize;

/// `[ingest]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestSettings {
    /// Bytes of a document at the most.
    pub max_document_bytes: u64,
    /// Seconds after which an upload in pieces that gets no bytes is given up.
    pub upload_ttl_s: u64,
    /// Tries of `process_document`.
    pub process_attempts: u32,
    /// Tries of `embed_document`.
    pub embed_attempts: u32,
    /// Tries of `delete_document`.
    pub delete_attempts: u32,
    /// Milliseconds before the second try; doubles with each further one.
    pub retry_base_ms: u64,
    /// Milliseconds between tries at the most.
    pub retry_max_ms: u64,
    /// Tries cut off by the death of a process at the most.
    pub max_interruptions: u32,
}

/// `[answer]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerSettings {
    /// Characters of a question at the most.
    pub max_question_chars: usize,
    /// Tokens of an answer at the most.
    pub max_tokens: u32,
    /// Tokens of the passages in a prompt at the most.
    pub max_context_tokens: u32,
    /// Cosine below which a passage that shares no telling word with the question does not fit it.
    pub min_dense_score: f32,
    /// Cosine below which a passage does not fit the question whatever words they share.
    pub min_dense_score_with_words: f32,
    /// Seconds that an answer takes at the most.
    pub timeout_s: u64,
    /// Seconds that an answer goes on being written after its connection was lost.
    pub resume_grace_s: u64,
    /// Days that questions and answers are kept.
    pub retention_days: u32,
    /// Price of a million prompt tokens, in millionths of a currency unit.
    pub prompt_price_micros: u64,
    /// Price of a million answer tokens, in millionths of a currency unit.
    pub completion_price_micros: u64,
}

impl AnswerSettings {
    /// Time that an answer takes at the most.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }
}
