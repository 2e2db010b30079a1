//! Questions: passages and answers.

mod citations;
mod elsewhere;
mod embedding;
mod extractive;
mod fusion;
mod prompt;
mod relevance;
mod running;
mod search;
mod sentences;
mod words;
mod writing;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::stream::BoxStream;
use tracing::Instrument as _;
use vectrion_core::{
    Error, Result,
    answer::{AnswerEvent, AnswerEventKind, Latency, Question, StoredAnswer},
    ids::{AnswerId, KeyId, TenantId},
    ports::answers::NewAnswer,
    search::{Passage, SearchQuery},
    tenancy::{CallContext, Principal, Role},
};

pub(crate) use self::elsewhere::{ANSWER_IDLE, end_abandoned};
pub use self::writing::status_code;
use self::{
    running::{Running, RunningAnswers},
    writing::{Draft, Writer},
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
pub struct AnswerControl(Control);

#[derive(Clone)]
enum Control {
    /// Written in this process.
    Here { ports: Arc<Ports>, running: Arc<Running>, grace: Duration },
    /// Written elsewhere, or ended.
    Elsewhere { ports: Arc<Ports>, tenant: TenantId, id: AnswerId },
}

impl AnswerControl {
    /// The caller cancelled: the model is stopped at once and the answer ends with `CANCELLED`.
    pub fn cancel(&self) {
        match &self.0 {
            Control::Here { running, .. } => running.cancelled.cancel(),
            Control::Elsewhere { ports, tenant, id } => {
                let (ports, tenant, id) = (Arc::clone(ports), *tenant, *id);
                tokio::spawn(async move {
                    if let Err(error) = ports.answers.request_cancel(tenant, id).await {
                        tracing::warn!(answer_id = %id, reason = error.reason(), %error, "cannot ask to cancel an answer");
                    }
                });
            }
        }
    }

    /// The connection was lost: the answer goes on for the grace time so that it can be resumed, then it is cancelled.
    pub fn detach(&self) {
        // Elsewhere, nobody notes any more that it is followed.
        if let Control::Here { ports, running, grace } = &self.0 {
            Arc::clone(running).detach(Arc::clone(&ports.answers), *grace);
        }
    }
}

/// Finds passages and answers questions.
pub struct Queries {
    ports: Arc<Ports>,
    settings: AnswerSettings,
    running: Arc<RunningAnswers>,
}

impl Queries {
    /// Over these ports.
    #[must_use]
    pub fn new(ports: Arc<Ports>, settings: AnswerSettings) -> Self {
        Self { ports, settings, running: Arc::default() }
    }

    /// Characters of a question at the most.
    #[must_use]
    pub fn max_question_chars(&self) -> usize {
        self.settings.max_question_chars
    }

    /// Ends the answers being written with `UNAVAILABLE`, `ANSWER_INTERRUPTED`, because the process is ending. Whoever follows
    /// them gets that as their last event.
    pub fn shut_down(&self) {
        self.running.stop_all();
    }

    /// Finds passages. `collections` are resolved into the filter; a missing one is `COLLECTION_NOT_FOUND`.
    pub async fn retrieve(
        &self,
        context: &CallContext,
        collections: &[CollectionRef],
        mut query: SearchQuery,
    ) -> Result<Retrieved> {
        let began = Instant::now();
        self.check(&query)?;
        search::resolve_collections(&self.ports, context, collections, &mut query.filter).await?;
        let found = search::find(&self.ports, context.principal.tenant, &query, context.deadline).await?;
        let latency = Latency {
            embed_ms: found.embed_ms,
            search_ms: found.search_ms,
            first_token_ms: 0.0,
            total_ms: search::milliseconds(began.elapsed()),
        };
        Ok(Retrieved { passages: found.passages, latency })
    }

    fn check(&self, query: &SearchQuery) -> Result<()> {
        let length = query.text.chars().count();
        if query.text.trim().is_empty() || length > self.settings.max_question_chars {
            return Err(Error::invalid_field(
                "question",
                format!("has 1 to {} characters, not blanks alone", self.settings.max_question_chars),
            ));
        }
        Ok(())
    }

    /// Begins an answer. Fails only before the first event; all that goes wrong later is the terminal event.
    pub async fn answer(
        &self,
        context: &CallContext,
        collections: &[CollectionRef],
        mut question: Question,
    ) -> Result<RunningAnswer> {
        let began = Instant::now();
        self.check(&question.search)?;
        search::resolve_collections(&self.ports, context, collections, &mut question.search.filter).await?;
        let (id, principal) = (AnswerId::new(), &context.principal);
        let (model, prompt_version) = match &self.ports.chat {
            Some(chat) => (chat.name().to_owned(), prompt::VERSION.to_owned()),
            None => ("extractive".to_owned(), String::new()),
        };
        let new = NewAnswer {
            id,
            tenant: principal.tenant,
            key: principal.key,
            question: question.search.text.clone(),
            history: question.history.clone(),
            model: model.clone(),
            prompt_version: prompt_version.clone(),
        };
        self.ports.answers.create_answer(new).await?;

        let running = Arc::new(Running::new(id, principal.tenant, principal.key));
        Arc::clone(&self.running).insert(Arc::clone(&running), Arc::clone(&self.ports.answers));
        let own = began + self.settings.timeout();
        let mut writer = Writer {
            ports: Arc::clone(&self.ports),
            settings: self.settings.clone(),
            running: Arc::clone(&running),
            question,
            began,
            deadline: context.deadline.map_or(own, |deadline| deadline.min(own)),
            draft: Draft::default(),
        };
        writer.publish(AnswerEventKind::Started { model, prompt_version });
        let all = Arc::clone(&self.running);
        let span = tracing::info_span!("answer", answer_id = %id, trace_id = context.trace_id);
        tokio::spawn(
            async move {
                writer.run().await;
                all.remove(id);
            }
            .instrument(span),
        );
        Ok(self.here(running, 0))
    }

    /// Events after a sequence number, of an answer that is being written (here or elsewhere) or has ended. Missing,
    /// foreign, or another key's (unless the caller is an admin): `NOT_FOUND`, reason `ANSWER_NOT_FOUND`. Meanwhile a
    /// detached answer is attached again.
    pub async fn resume(&self, context: &CallContext, id: AnswerId, after: u64) -> Result<RunningAnswer> {
        let principal = &context.principal;
        if let Some(running) = self.running.get(principal.tenant, id) {
            if !may_read(principal, running.key) {
                return Err(answer_not_found());
            }
            running.attach();
            return Ok(self.here(running, after));
        }
        let stored = self.stored(context, id).await?;
        if stored.end.is_none() {
            self.ports.answers.follow_answer(stored.tenant, id).await?;
        }
        let control = AnswerControl(Control::Elsewhere { ports: Arc::clone(&self.ports), tenant: stored.tenant, id });
        let grace = Duration::from_secs(self.settings.resume_grace_s);
        let events = elsewhere::follow(Arc::clone(&self.ports), stored.tenant, id, after, grace);
        Ok(RunningAnswer { id, events, control })
    }

    fn here(&self, running: Arc<Running>, after: u64) -> RunningAnswer {
        let grace = Duration::from_secs(self.settings.resume_grace_s);
        RunningAnswer {
            id: running.id,
            events: Arc::clone(&running).follow(after),
            control: AnswerControl(Control::Here { ports: Arc::clone(&self.ports), running, grace }),
        }
    }

    /// Stops an answer; one that has ended stays as it is.
    pub async fn cancel(&self, context: &CallContext, id: AnswerId) -> Result<()> {
        let stored = self.stored(context, id).await?;
        if let Some(running) = self.running.get(stored.tenant, id) {
            running.cancelled.cancel();
        }
        self.ports.answers.request_cancel(stored.tenant, id).await
    }

    /// A stored answer with its events.
    pub async fn get_answer(&self, context: &CallContext, id: AnswerId) -> Result<(StoredAnswer, Vec<AnswerEvent>)> {
        let stored = self.stored(context, id).await?;
        let events = self.ports.answers.events_after(stored.tenant, id, 0).await?;
        Ok((stored, events))
    }

    async fn stored(&self, context: &CallContext, id: AnswerId) -> Result<StoredAnswer> {
        let stored = self.ports.answers.answer(context.principal.tenant, id).await?;
        stored.filter(|answer| may_read(&context.principal, answer.key)).ok_or_else(answer_not_found)
    }
}

/// The key that asked, and admins of its tenant.
fn may_read(principal: &Principal, asked: KeyId) -> bool {
    principal.key == asked || matches!(principal.role, Role::Admin | Role::Operator)
}

fn answer_not_found() -> Error {
    Error::not_found("ANSWER_NOT_FOUND", "there is no such answer, or it was asked with another key")
}
