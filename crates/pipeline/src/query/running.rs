//! Answers that are being written in this process.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use vectrion_core::{
    answer::{AnswerEvent, AnswerEventKind},
    ids::{AnswerId, KeyId, TenantId},
    ports::Answers,
};

use super::AnswerStream;

/// Time between looks which answers other servers were asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// Time between signs of life for those who follow an answer elsewhere.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// An answer being written: its events so far, and the means to stop it.
pub(super) struct Running {
    pub(super) id: AnswerId,
    pub(super) tenant: TenantId,
    pub(super) key: KeyId,
    pub(super) cancelled: CancellationToken,
    /// The process is ending.
    pub(super) interrupted: CancellationToken,
    events: Mutex<Vec<AnswerEvent>>,
    length: watch::Sender<usize>,
    attachments: AtomicU64,
}

impl Running {
    pub(super) fn new(id: AnswerId, tenant: TenantId, key: KeyId) -> Self {
        Self {
            id,
            tenant,
            key,
            cancelled: CancellationToken::new(),
            interrupted: CancellationToken::new(),
            events: Mutex::new(Vec::new()),
            length: watch::Sender::new(0),
            attachments: AtomicU64::new(0),
        }
    }

    /// Shows an event to everybody who follows.
    pub(super) fn publish(&self, event: AnswerEvent) {
        let length = {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.push(event);
            events.len()
        };
        self.length.send_replace(length);
    }

    fn next_after(&self, after: u64) -> Option<AnswerEvent> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let from = events.partition_point(|event| event.sequence <= after);
        events.get(from).cloned()
    }

    /// The events after a sequence number, as they come, to the terminal one.
    pub(super) fn follow(self: Arc<Self>, mut after: u64) -> AnswerStream {
        let mut length = self.length.subscribe();
        Box::pin(async_stream::stream! {
            loop {
                length.borrow_and_update();
                while let Some(event) = self.next_after(after) {
                    after = event.sequence;
                    let last = event.kind.is_terminal();
                    yield event;
                    if last {
                        return;
                    }
                }
                if length.changed().await.is_err() {
                    return;
                }
            }
        })
    }

    /// Somebody follows (again): a countdown begun by [`Running::detach`] is void.
    pub(super) fn attach(&self) {
        self.attachments.fetch_add(1, Ordering::SeqCst);
    }

    /// Nobody follows any more here: unless somebody does again, here or through another server, the answer is stopped
    /// after `grace`.
    pub(super) fn detach(self: Arc<Self>, answers: Arc<dyn Answers>, grace: Duration) {
        let seen = self.attachments.load(Ordering::SeqCst);
        let within_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        tokio::spawn(async move {
            while !self.has_ended() {
                tokio::time::sleep(grace).await;
                if self.attachments.load(Ordering::SeqCst) != seen {
                    return;
                }
                match answers.is_followed(self.tenant, self.id, within_ms).await {
                    Ok(true) => {}
                    Ok(false) => return self.cancelled.cancel(),
                    Err(error) => {
                        tracing::warn!(answer_id = %self.id, reason = error.reason(), ?error, "cannot look who follows an answer");
                        return self.cancelled.cancel();
                    }
                }
            }
        });
    }

    fn has_ended(&self) -> bool {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.last().is_some_and(|event| event.kind.is_terminal())
    }
}

/// The answers being written in this process.
#[derive(Default)]
pub(super) struct RunningAnswers(Mutex<State>);

#[derive(Default)]
struct State {
    by_id: HashMap<AnswerId, Arc<Running>>,
    /// Whether a task looks after them.
    tended: bool,
}

impl RunningAnswers {
    /// Adds an answer. As long as there are any, a task tells the store that they are being written, and stops those that
    /// other servers were asked to stop.
    pub(super) fn insert(self: Arc<Self>, running: Arc<Running>, answers: Arc<dyn Answers>) {
        let tended = {
            let mut state = self.state();
            state.by_id.insert(running.id, running);
            std::mem::replace(&mut state.tended, true)
        };
        if !tended {
            tokio::spawn(self.tend(answers));
        }
    }

    pub(super) fn remove(&self, id: AnswerId) {
        self.state().by_id.remove(&id);
    }

    pub(super) fn get(&self, tenant: TenantId, id: AnswerId) -> Option<Arc<Running>> {
        self.state().by_id.get(&id).filter(|running| running.tenant == tenant).cloned()
    }

    pub(super) fn stop_all(&self) {
        for running in self.state().by_id.values() {
            running.interrupted.cancel();
        }
    }

    async fn tend(self: Arc<Self>, answers: Arc<dyn Answers>) {
        let mut kept = Instant::now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(ids) = self.ids() else { return };
            if kept.elapsed() >= KEEP_EVERY {
                kept = Instant::now();
                if let Err(error) = answers.keep_answers(&ids).await {
                    tracing::warn!(reason = error.reason(), ?error, "cannot tell that answers are being written");
                }
            }
            match answers.answers_to_stop(&ids).await {
                Ok(stop) => {
                    let state = self.state();
                    stop.iter().filter_map(|id| state.by_id.get(id)).for_each(|running| running.cancelled.cancel());
                }
                Err(error) => {
                    tracing::warn!(reason = error.reason(), ?error, "cannot look which answers are to be stopped");
                }
            }
        }
    }

    /// The answers being written; without any, nobody looks after them any more.
    fn ids(&self) -> Option<Vec<AnswerId>> {
        let mut state = self.state();
        state.tended = !state.by_id.is_empty();
        state.tended.then(|| state.by_id.keys().copied().collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The event with its place in the stream.
pub(super) fn event(sequence: u64, kind: AnswerEventKind) -> AnswerEvent {
    AnswerEvent { sequence, kind }
}
