//! Stored questions and answers.

use async_trait::async_trait;

use crate::{
    Result,
    answer::{AnswerEvent, StoredAnswer, Turn},
    ids::{AnswerId, KeyId, TenantId},
};

/// An answer that begins.
#[derive(Clone, Debug)]
pub struct NewAnswer {
    /// Id.
    pub id: AnswerId,
    /// Owner.
    pub tenant: TenantId,
    /// Key that asks.
    pub key: KeyId,
    /// The question, normalised.
    pub question: String,
    /// Earlier turns.
    pub history: Vec<Turn>,
    /// Model that answers.
    pub model: String,
    /// Version of the prompt template.
    pub prompt_version: String,
}

/// Keeps answers with their events, so that a broken stream can be taken up again from any server.
#[async_trait]
pub trait Answers: Send + Sync {
    /// Begins an answer. A taken id is `ALREADY_EXISTS`, reason `ANSWER_EXISTS`.
    async fn create_answer(&self, answer: NewAnswer) -> Result<()>;

    /// Appends events, in order, and updates text, passages, usage and end from them, in one transaction. Events that
    /// are there already are left as they are, and nothing follows the terminal one. Returns whether the writer is to stop:
    /// somebody asked to cancel, or a document that the answer rests on was deleted, of which nothing more is stored.
    /// Missing is `NOT_FOUND`, reason `ANSWER_NOT_FOUND`.
    async fn append_events(&self, tenant: TenantId, id: AnswerId, events: Vec<AnswerEvent>) -> Result<bool>;

    /// An answer of this tenant.
    async fn answer(&self, tenant: TenantId, id: AnswerId) -> Result<Option<StoredAnswer>>;

    /// Events after a sequence number, in order. Empty for a missing answer.
    async fn events_after(&self, tenant: TenantId, id: AnswerId, after: u64) -> Result<Vec<AnswerEvent>>;

    /// Asks whoever writes the answer to stop. An answer that has ended stays as it is; a missing one is no error.
    async fn request_cancel(&self, tenant: TenantId, id: AnswerId) -> Result<()>;

    /// Which of these answers, whoever they belong to, their writer is to stop: somebody asked to cancel, or ended them.
    async fn answers_to_stop(&self, ids: &[AnswerId]) -> Result<Vec<AnswerId>>;

    /// Notes that these answers, whoever they belong to, are still being written, though there is no event to store.
    async fn keep_answers(&self, ids: &[AnswerId]) -> Result<()>;

    /// Notes that somebody follows an answer through another server than the one that writes it.
    async fn follow_answer(&self, tenant: TenantId, id: AnswerId) -> Result<()>;

    /// Whether somebody did within the last `within_ms` milliseconds.
    async fn is_followed(&self, tenant: TenantId, id: AnswerId, within_ms: i64) -> Result<bool>;

    /// Ends answers that no process writes any more, with an `error` event of code `UNAVAILABLE` (14): those without an end
    /// and without a new event, or [`Answers::keep_answers`], for `idle_ms` milliseconds. Returns how many.
    async fn end_abandoned(&self, idle_ms: i64, reason: &str, message: &str) -> Result<u64>;

    /// Removes answers older than `keep_ms` milliseconds. Returns how many.
    async fn purge_answers(&self, keep_ms: i64) -> Result<u64>;
}
