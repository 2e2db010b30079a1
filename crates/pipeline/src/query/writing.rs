//! Writing one answer: search, judge, write, check citations, store, publish.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use vectrion_core::{
    Error, ErrorKind, Result,
    answer::{AnswerEvent, AnswerEventKind, FinishReason, Latency, Question, TurnRole, Usage},
    ports::models::{ChatEvent, ChatFinish, ChatModel, ChatRequest},
    search::{Passage, SearchQuery},
};

use super::{
    citations::{self, MarkerParser, Piece},
    extractive, prompt,
    relevance::Relevance,
    running::{self, Running},
    search,
};
use crate::{Ports, settings::AnswerSettings};

/// Time before the deadline at which the terminal event leaves.
const DEADLINE_MARGIN: Duration = Duration::from_millis(100);
/// Longest time that an event waits before it is stored.
const STORE_EVERY: Duration = Duration::from_millis(250);
/// Events that are stored at once at the most.
const STORE_BATCH: usize = 64;

/// Writes one answer.
pub(super) struct Writer {
    pub(super) ports: Arc<Ports>,
    pub(super) settings: AnswerSettings,
    pub(super) running: Arc<Running>,
    pub(super) question: Question,
    pub(super) began: Instant,
    pub(super) deadline: Instant,
    pub(super) draft: Draft,
}

/// What has been written so far.
#[derive(Default)]
pub(super) struct Draft {
    sequence: u64,
    text: String,
    usage: Usage,
    unstored: Vec<AnswerEvent>,
    stored_at: Option<Instant>,
}

impl Writer {
    /// Shows an event; it is stored with the next ones.
    pub(super) fn publish(&mut self, kind: AnswerEventKind) {
        self.draft.sequence += 1;
        let event = running::event(self.draft.sequence, kind);
        self.draft.unstored.push(event.clone());
        self.running.publish(event);
    }

    /// Writes the answer to its terminal event, which is stored before it is shown.
    pub(super) async fn run(mut self) {
        let margin = self.deadline.checked_sub(DEADLINE_MARGIN).unwrap_or(self.deadline);
        let (cancelled, interrupted) = (self.running.cancelled.clone(), self.running.interrupted.clone());
        let end = tokio::select! {
            biased;
            () = cancelled.cancelled() => AnswerEventKind::Done { finish_reason: FinishReason::Cancelled },
            () = interrupted.cancelled() => failed(&Error::unavailable(
                "ANSWER_INTERRUPTED", "the server that wrote the answer is shutting down; ask again")),
            () = tokio::time::sleep_until(margin.into()) => failed(&Error::new(
                ErrorKind::DeadlineExceeded, "DEADLINE_EXCEEDED", "the time allowed ran out before the answer was complete")),
            written = self.write() => match written {
                Ok(finish_reason) => AnswerEventKind::Done { finish_reason },
                Err(error) => {
                    tracing::warn!(answer_id = %self.running.id, reason = error.reason(), ?error, "an answer broke off");
                    failed(&error)
                }
            },
        };
        self.finish(end).await;
    }

    async fn write(&mut self) -> Result<FinishReason> {
        let query = SearchQuery { text: self.search_text(), ..self.question.search.clone() };
        let found = search::find(&self.ports, self.running.tenant, &query, Some(self.deadline)).await?;
        self.draft.usage.latency =
            Latency { embed_ms: found.embed_ms, search_ms: found.search_ms, ..Latency::default() };
        let relevance = Relevance::new(&query.text, &self.settings);
        let mut passages: Vec<Passage> = found.passages.into_iter().filter(|passage| relevance.fits(passage)).collect();
        if let Some(chat) = self.ports.chat.clone() {
            passages.truncate(prompt::fitting(&passages, self.context_budget(chat.as_ref())));
            self.emit(AnswerEventKind::Retrieval { passages: passages.clone() }).await?;
            if passages.is_empty() {
                return Ok(FinishReason::NoRelevantContent);
            }
            return self.ask(chat, &passages).await;
        }
        self.emit(AnswerEventKind::Retrieval { passages: passages.clone() }).await?;
        self.quote(&query.text, &passages).await
    }

    /// What is searched for: a follow-up question is searched together with the question before it.
    fn search_text(&self) -> String {
        let question = &self.question.search.text;
        let before = self.question.history.iter().rev().find(|turn| turn.role == TurnRole::User);
        match before {
            Some(turn) => format!("{} {question}", turn.text.trim()),
            None => question.clone(),
        }
    }

    fn context_budget(&self, chat: &dyn ChatModel) -> usize {
        let spare = (chat.context_tokens() as usize).saturating_sub(self.max_tokens() as usize + 1024);
        spare.min(self.settings.max_context_tokens as usize)
    }

    fn max_tokens(&self) -> u32 {
        self.question.max_tokens.unwrap_or(self.settings.max_tokens).min(self.settings.max_tokens)
    }

    /// Answers by quoting.
    async fn quote(&mut self, question: &str, passages: &[Passage]) -> Result<FinishReason> {
        let quotes = extractive::answer(&self.ports, question, passages).await?;
        if quotes.is_empty() {
            return Ok(FinishReason::NoRelevantContent);
        }
        for quote in quotes {
            let separator = match (self.draft.text.is_empty(), quote.goes_on) {
                (true, _) => "",
                (false, true) => " ",
                (false, false) => "\n",
            };
            let start = self.draft.text.len() + separator.len();
            self.say(format!("{separator}{}", quote.text)).await?;
            self.cite(start..self.draft.text.len(), quote.passage, quote.text).await?;
        }
        Ok(FinishReason::Stop)
    }

    /// Answers through the model.
    async fn ask(&mut self, chat: Arc<dyn ChatModel>, passages: &[Passage]) -> Result<FinishReason> {
        let delimiter = format!("p-{}", &vectrion_core::ids::AnswerId::new().0.simple().to_string()[16..]);
        let history = prompt::recent(&self.question.history, self.settings.max_context_tokens as usize / 2);
        let messages = prompt::build(&delimiter, passages, history, &self.question.search.text);
        let prompt_tokens: usize = messages.iter().map(|message| prompt::estimate_tokens(&message.content)).sum();
        self.draft.usage.prompt_tokens = u32::try_from(prompt_tokens).unwrap_or(u32::MAX);
        self.draft.usage.estimated = true;
        let request = ChatRequest { messages, max_tokens: self.max_tokens(), deadline: Some(self.deadline) };

        let mut stream = chat.stream(request).await?;
        let mut markers = MarkerParser::default();
        let mut opening = Some(String::new());
        let mut cited = 0;
        let mut finish = ChatFinish::Stop;
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                // The model is slow: whoever follows through another server is not to wait for its next piece.
                () = tokio::time::sleep_until(self.store_at().into()), if !self.draft.unstored.is_empty() => {
                    self.store().await?;
                    continue;
                }
            };
            let Some(event) = event else { break };
            match event? {
                ChatEvent::Delta(delta) => {
                    // The beginning is held back for as long as it may be the word for "no answer".
                    let text = match opening.take() {
                        Some(held) => {
                            let held = held + &delta;
                            if prompt::NO_ANSWER.starts_with(held.trim()) || held.trim() == prompt::NO_ANSWER {
                                opening = Some(held);
                                continue;
                            }
                            held
                        }
                        None => delta,
                    };
                    cited += self.take(markers.push(&text), passages).await?;
                }
                ChatEvent::Usage { prompt_tokens, completion_tokens } => {
                    self.draft.usage.prompt_tokens = prompt_tokens;
                    self.draft.usage.completion_tokens = completion_tokens;
                    self.draft.usage.estimated = false;
                }
                ChatEvent::Finished(reason) => finish = reason,
            }
        }
        if let Some(held) = opening {
            let held = held.trim().trim_end_matches('.').to_owned();
            if held.is_empty() || held == prompt::NO_ANSWER {
                return Ok(FinishReason::NoRelevantContent);
            }
            cited += self.take(markers.push(&held), passages).await?;
        }
        cited += self.take(markers.finish(), passages).await?;
        Ok(match finish {
            ChatFinish::Filtered => FinishReason::Guard,
            ChatFinish::Length => FinishReason::Length,
            ChatFinish::Stop if cited == 0 => FinishReason::LowGrounding,
            ChatFinish::Stop => FinishReason::Stop,
        })
    }

    /// Says text and checks citations. Returns how many held.
    async fn take(&mut self, pieces: Vec<Piece>, passages: &[Passage]) -> Result<usize> {
        let mut cited = 0;
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.say(text).await?,
                Piece::Marker(numbers) => {
                    let Some(range) = citations::last_sentence(&self.draft.text) else { continue };
                    for number in numbers {
                        let sentence = &self.draft.text[range.clone()];
                        let passage = passages.get(number - 1);
                        match passage.and_then(|passage| Some((passage.id, citations::support(sentence, passage)?))) {
                            Some((id, quote)) => {
                                self.cite(range.clone(), id, quote).await?;
                                cited += 1;
                            }
                            None => {
                                self.emit(AnswerEventKind::Guard {
                                    rule: "citation".into(),
                                    action: "removed".into(),
                                    reason: "the cited passage does not support the sentence".into(),
                                })
                                .await?;
                            }
                        }
                    }
                }
            }
        }
        Ok(cited)
    }

    async fn say(&mut self, text: String) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if self.draft.text.is_empty() {
            self.draft.usage.latency.first_token_ms = search::milliseconds(self.began.elapsed());
        }
        self.draft.text.push_str(&text);
        self.emit(AnswerEventKind::Delta { text }).await
    }

    async fn cite(
        &mut self,
        range: std::ops::Range<usize>,
        passage_id: vectrion_core::ids::ChunkId,
        quote: String,
    ) -> Result<()> {
        let bound = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        self.emit(AnswerEventKind::Citation { start: bound(range.start), end: bound(range.end), passage_id, quote })
            .await
    }

    /// Shows an event, and stores what has waited long enough.
    async fn emit(&mut self, kind: AnswerEventKind) -> Result<()> {
        self.publish(kind);
        if self.store_at() <= Instant::now() || self.draft.unstored.len() >= STORE_BATCH {
            self.store().await?;
        }
        Ok(())
    }

    /// When what was shown is to be stored.
    fn store_at(&self) -> Instant {
        self.draft.stored_at.map_or_else(Instant::now, |at| at + STORE_EVERY)
    }

    async fn store(&mut self) -> Result<()> {
        // Kept until they are stored: this future may be dropped on the way.
        let events = self.draft.unstored.clone();
        self.draft.stored_at = Some(Instant::now());
        let cancel = self.ports.answers.append_events(self.running.tenant, self.running.id, events).await?;
        self.draft.unstored.clear();
        if cancel {
            self.running.cancelled.cancel();
        }
        Ok(())
    }

    /// Settles the usage and ends the stream. The end is stored before it is shown, so that whoever saw it finds it.
    async fn finish(mut self, end: AnswerEventKind) {
        self.settle();
        let usage = AnswerEventKind::Usage(self.draft.usage.clone());
        for kind in [usage, end] {
            self.draft.sequence += 1;
            self.draft.unstored.push(running::event(self.draft.sequence, kind));
        }
        let last: Vec<AnswerEvent> = self.draft.unstored.iter().rev().take(2).rev().cloned().collect();
        if let Err(error) = self.store().await {
            tracing::error!(answer_id = %self.running.id, reason = error.reason(), ?error, "the end of an answer was not stored");
        }
        for event in last {
            self.running.publish(event);
        }
    }

    fn settle(&mut self) {
        let usage = &mut self.draft.usage;
        if usage.estimated {
            let tokens = prompt::estimate_tokens(&self.draft.text);
            usage.completion_tokens = usage.completion_tokens.max(u32::try_from(tokens).unwrap_or(u32::MAX));
        }
        let price = |tokens: u32, per_million: u64| u64::from(tokens) * per_million / 1_000_000;
        usage.cost_micros = price(usage.prompt_tokens, self.settings.prompt_price_micros)
            + price(usage.completion_tokens, self.settings.completion_price_micros);
        usage.latency.total_ms = search::milliseconds(self.began.elapsed());
    }
}

/// The terminal event for an error. Internal causes are not shown.
fn failed(error: &Error) -> AnswerEventKind {
    AnswerEventKind::Error {
        code: status_code(error.kind()),
        reason: error.reason().to_owned(),
        message: error.message().to_owned(),
    }
}

/// gRPC status codes by number; the server asserts that its own map agrees.
#[must_use]
pub const fn status_code(kind: ErrorKind) -> u32 {
    match kind {
        ErrorKind::Cancelled => 1,
        ErrorKind::InvalidArgument => 3,
        ErrorKind::DeadlineExceeded => 4,
        ErrorKind::NotFound => 5,
        ErrorKind::AlreadyExists => 6,
        ErrorKind::PermissionDenied => 7,
        ErrorKind::ResourceExhausted => 8,
        ErrorKind::FailedPrecondition => 9,
        ErrorKind::Aborted => 10,
        ErrorKind::OutOfRange => 11,
        ErrorKind::Internal => 13,
        ErrorKind::Unavailable => 14,
        ErrorKind::DataLoss => 15,
        ErrorKind::Unauthenticated => 16,
    }
}
