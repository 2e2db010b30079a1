//! Questions: passages and answers.

use std::sync::Arc;

use futures::stream::BoxStream;
use vectrion_core::{
    Result,
    answer::{AnswerEvent, Latency, Question, StoredAnswer},
    ids::AnswerId,
    search::{Passage, SearchQuery},
    tenancy::CallContext,
};

use crate::{CollectionRef, Ports, settings::AnswerSettings};

/// Passages with the time it took to find them.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieved {
    /// Best first.
    pub passages: Vec<Passage>,
    /// By stage.
    pub latency: Latency,
}

/// The stream of an answer's events, from a sequence number on. It ends after the terminal event.
pub type AnswerStream = BoxStream<'static, AnswerEvent>;

/// An answer being written, as its first caller holds it.
pub struct RunningAnswer {
    /// Id.
    pub id: AnswerId,
    /// Its events from the first on. Dropping the stream neither stops nor detaches the answer: that is `control`'s.
    pub events: AnswerStream,
    /// Stops it or lets it go on alone.
    pub control: AnswerControl,
}

/// Stops an answer, or lets it go on alone.
#[derive(Clone)]
pub struct AnswerControl {}

impl AnswerControl {
    /// The caller cancelled: the model is stopped at once and the answer ends with `CANCELLED`.
    pub fn cancel(&self) {
        todo!()
    }

    /// The connection was lost: the answer goes on for the grace time so that it can be resumed, then it is cancelled.
    pub fn detach(&self) {
        todo!()
    }
}

/// Finds passages and answers questions.
pub struct Queries {
    ports: Arc<Ports>,
    settings: AnswerSettings,
}

impl Queries {
    /// Over these ports.
    #[must_use]
    pub fn new(ports: Arc<Ports>, settings: AnswerSettings) -> Self {
        Self { ports, settings }
    }

    /// Characters of a question at the most.
    #[must_use]
    pub fn max_question_chars(&self) -> usize {
        self.settings.max_question_chars
    }

    /// Finds passages. `collections` are resolved into the filter; a missing one is `COLLECTION_NOT_FOUND`.
    pub async fn retrieve(
        &self,
        context: &CallContext,
        collections: &[CollectionRef],
        query: SearchQuery,
    ) -> Result<Retrieved> {
        let _ = (&self.ports, context, collections, query);
        todo!()
    }

    /// Begins an answer. Fails only before the first event; all that goes wrong later is the terminal event.
    pub async fn answer(
        &self,
        context: &CallContext,
        collections: &[CollectionRef],
        question: Question,
    ) -> Result<RunningAnswer> {
        let _ = (context, collections, question);
        todo!()
    }

    /// Events after a sequence number, of an answer that is being written (here or elsewhere) or has ended. Missing,
    /// foreign, or another key's (unless the caller is an admin): `NOT_FOUND`, reason `ANSWER_NOT_FOUND`. Meanwhile a
    /// detached answer is attached again.
    pub async fn resume(&self, context: &CallContext, id: AnswerId, after: u64) -> Result<RunningAnswer> {
        let _ = (context, id, after);
        todo!()
    }

    /// Stops an answer; one that has ended stays as it is.
    pub async fn cancel(&self, context: &CallContext, id: AnswerId) -> Result<()> {
        let _ = (context, id);
        todo!()
    }

    /// A stored answer with its events.
    pub async fn get_answer(&self, context: &CallContext, id: AnswerId) -> Result<(StoredAnswer, Vec<AnswerEvent>)> {
        let _ = (context, id);
        todo!()
    }
}
