//! What was found, and answers.

use vectrion::v1::{self, answer::End, answer_event::Event};
use vectrion_core::answer::{AnswerEvent, AnswerEventKind, FinishReason, Latency, StoredAnswer, Turn, TurnRole, Usage};
use vectrion_pipeline::query::Retrieved;

use super::{
    passages::passages,
    values::{number, size, time},
};

/// What was found.
pub(crate) fn retrieved(found: Retrieved) -> v1::RetrieveResponse {
    v1::RetrieveResponse { passages: passages(found.passages), latency: Some(latency(found.latency)) }
}

/// An event of the answer with this id.
pub(crate) fn answer_event(answer_id: &str, event: AnswerEvent) -> v1::AnswerEvent {
    let kind = match event.kind {
        AnswerEventKind::Started { model, prompt_version } => {
            Event::Started(v1::AnswerStarted { model, prompt_version })
        }
        AnswerEventKind::Retrieval { passages: found } => {
            Event::Retrieval(v1::AnswerRetrieval { passages: passages(found) })
        }
        AnswerEventKind::Delta { text } => Event::Delta(v1::AnswerDelta { text }),
        AnswerEventKind::Citation { start, end, passage_id, quote } => Event::Citation(v1::AnswerCitation {
            start: number(start),
            end: number(end),
            passage_id: passage_id.to_string(),
            quote,
        }),
        AnswerEventKind::Guard { rule, action, reason } => Event::Guard(v1::AnswerGuard { rule, action, reason }),
        AnswerEventKind::Usage(spent) => Event::Usage(usage(&spent)),
        AnswerEventKind::Done { finish_reason } => Event::Done(done(finish_reason)),
        AnswerEventKind::Error { code, reason, message } => Event::Error(error(code, reason, message)),
    };
    v1::AnswerEvent { answer_id: answer_id.to_owned(), sequence: size(event.sequence), event: Some(kind) }
}

/// A stored answer. Its citations are those of its events.
pub(crate) fn stored_answer(answer: StoredAnswer, events: &[AnswerEvent]) -> v1::Answer {
    let citations = events.iter().filter_map(|event| match &event.kind {
        AnswerEventKind::Citation { start, end, passage_id, quote } => Some(v1::AnswerCitation {
            start: number(*start),
            end: number(*end),
            passage_id: passage_id.to_string(),
            quote: quote.clone(),
        }),
        _ => None,
    });
    v1::Answer {
        answer_id: answer.id.to_string(),
        question: answer.question,
        history: answer.history.into_iter().map(turn).collect(),
        model: answer.model,
        prompt_version: answer.prompt_version,
        text: answer.text,
        passages: passages(answer.passages),
        citations: citations.collect(),
        usage: Some(usage(&answer.usage)),
        end: answer.end.and_then(end),
        create_time: Some(time(answer.create_time)),
        end_time: answer.end_time.map(time),
    }
}

fn end(event: AnswerEventKind) -> Option<End> {
    match event {
        AnswerEventKind::Done { finish_reason } => Some(End::Done(done(finish_reason))),
        AnswerEventKind::Error { code, reason, message } => Some(End::Error(error(code, reason, message))),
        _ => None,
    }
}

fn done(reason: FinishReason) -> v1::AnswerDone {
    let reason = match reason {
        FinishReason::Stop => v1::FinishReason::Stop,
        FinishReason::Length => v1::FinishReason::Length,
        FinishReason::NoRelevantContent => v1::FinishReason::NoRelevantContent,
        FinishReason::LowGrounding => v1::FinishReason::LowGrounding,
        FinishReason::Guard => v1::FinishReason::Guard,
        FinishReason::Cancelled => v1::FinishReason::Cancelled,
    };
    v1::AnswerDone { finish_reason: reason.into() }
}

fn error(code: u32, reason: String, message: String) -> v1::AnswerError {
    v1::AnswerError { code: number(code), reason, message }
}

fn usage(usage: &Usage) -> v1::AnswerUsage {
    v1::AnswerUsage {
        prompt_tokens: number(usage.prompt_tokens),
        completion_tokens: number(usage.completion_tokens),
        estimated: usage.estimated,
        cost_micros: size(usage.cost_micros),
        latency: Some(latency(usage.latency)),
    }
}

fn latency(latency: Latency) -> v1::Latency {
    let Latency { embed_ms, search_ms, first_token_ms, total_ms } = latency;
    v1::Latency { embed_ms, search_ms, first_token_ms, total_ms }
}

fn turn(turn: Turn) -> v1::Turn {
    let role = match turn.role {
        TurnRole::User => v1::TurnRole::User,
        TurnRole::Assistant => v1::TurnRole::Assistant,
    };
    v1::Turn { role: role.into(), text: turn.text }
}
