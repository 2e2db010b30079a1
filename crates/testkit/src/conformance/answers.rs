//! Conformance of [`Answers`](vectrion_core::ports::Answers).

#![expect(missing_docs, reason = "a case is named by the promise that it checks")]

mod events;
mod redaction;

pub use self::{events::*, redaction::*};

use vectrion_core::{
    answer::{AnswerEvent, AnswerEventKind, FinishReason, Turn, TurnRole},
    ids::{AnswerId, ChunkId, KeyId, TenantId},
    ports::answers::NewAnswer,
    search::Passage,
};

use super::scenario::Database;

/// Makes a test of each promise. `$make` names an async function that gives a new database and whatever keeps it alive.
#[macro_export]
macro_rules! answers_conformance {
    ($make:path) => {
        $crate::conformance_tests!($make, answers: [
            an_answer_is_what_its_events_come_to,
            events_come_back_in_order_after_a_number,
            events_that_are_there_stay_as_they_are,
            nothing_comes_after_the_end,
            writers_at_once_store_each_event_once,
            a_writer_is_told_to_stop,
            of_many_answers_those_to_stop_are_told,
            an_answer_that_is_kept_is_not_given_up,
            who_follows_an_answer_is_known_for_a_while,
            answers_that_nobody_writes_are_ended,
            old_answers_are_purged,
            another_tenants_answers_are_missing,
            a_deleted_document_leaves_nothing_in_answers_that_cite_it,
            an_answer_from_other_documents_keeps_its_text,
            words_of_a_deleted_document_go_without_a_citation,
            an_answer_being_written_is_stopped,
            passages_that_come_after_the_deletion_are_dropped,
            a_repeated_answer_goes_from_later_questions,
            another_tenants_answers_are_not_redacted,
        ]);
    };
}

/// Numbers events from `first` on.
fn events(first: u64, kinds: impl IntoIterator<Item = AnswerEventKind>) -> Vec<AnswerEvent> {
    (first..).zip(kinds).map(|(sequence, kind)| AnswerEvent { sequence, kind }).collect()
}

fn started() -> AnswerEventKind {
    AnswerEventKind::Started { model: "m".to_owned(), prompt_version: "p1".to_owned() }
}

fn delta(text: &str) -> AnswerEventKind {
    AnswerEventKind::Delta { text: text.to_owned() }
}

fn retrieval(passages: &[Passage]) -> AnswerEventKind {
    AnswerEventKind::Retrieval { passages: passages.to_vec() }
}

fn cites(passage: &Passage, end: u32) -> AnswerEventKind {
    AnswerEventKind::Citation { start: 0, end, passage_id: passage.id, quote: passage.text.clone() }
}

fn done() -> AnswerEventKind {
    AnswerEventKind::Done { finish_reason: FinishReason::Stop }
}

fn turn(role: TurnRole, text: &str) -> Turn {
    Turn { role, text: text.to_owned() }
}

/// A passage of a document, as a search would give it.
pub fn passage(document: &vectrion_core::document::Document, text: &str) -> Passage {
    Passage {
        id: ChunkId::derive(document.version_id, 0, text.as_bytes(), "c1"),
        document: document.id,
        version_id: document.version_id,
        version: document.version,
        filename: document.filename.clone(),
        title: document.title.clone(),
        text: text.to_owned(),
        page_start: 1,
        page_end: 2,
        char_start: 0,
        char_end: 10,
        boxes: Vec::new(),
        heading_path: vec!["Heading".to_owned()],
        score: 0.1 + 0.2,
        dense_score: Some(1.0 / 3.0),
        sparse_score: None,
    }
}

/// Begins an answer to this question.
async fn begun<S: Database>(store: &S, tenant: TenantId, question: &str, history: Vec<Turn>) -> AnswerId {
    let id = AnswerId::new();
    let answer = NewAnswer {
        id,
        tenant,
        key: KeyId::new(),
        question: question.to_owned(),
        history,
        model: "m".to_owned(),
        prompt_version: "p1".to_owned(),
    };
    store.create_answer(answer).await.expect("an answer");
    id
}

/// A whole answer.
async fn told<S: Database>(store: &S, tenant: TenantId, question: &str, kinds: Vec<AnswerEventKind>) -> AnswerId {
    let id = begun(store, tenant, question, Vec::new()).await;
    store.append_events(tenant, id, events(1, kinds)).await.expect("stored");
    id
}
