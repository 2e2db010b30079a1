//! Answers that are being written in this process.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vectrion_core::{
    answer::{AnswerEvent, AnswerEventKind},
    ids::{AnswerId, KeyId, TenantId},
};

use super::AnswerStream;

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

    /// Nobody follows any more: unless somebody does again, the answer is stopped after `grace`.
    pub(super) fn detach(self: Arc<Self>, grace: Duration) {
        let seen = self.attachments.load(Ordering::SeqCst);
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            if self.attachments.load(Ordering::SeqCst) == seen {
                self.cancelled.cancel();
            }
        });
    }
}

/// The answers being written in this process.
#[derive(Default)]
pub(super) struct RunningAnswers {
    by_id: Mutex<HashMap<AnswerId, Arc<Running>>>,
}

impl RunningAnswers {
    pub(super) fn insert(&self, running: Arc<Running>) {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).insert(running.id, running);
    }

    pub(super) fn remove(&self, id: AnswerId) {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    pub(super) fn get(&self, tenant: TenantId, id: AnswerId) -> Option<Arc<Running>> {
        let by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.get(&id).filter(|running| running.tenant == tenant).cloned()
    }

    pub(super) fn stop_all(&self) {
        for running in self.by_id.lock().unwrap_or_else(PoisonError::into_inner).values() {
            running.interrupted.cancel();
        }
    }
}

/// The event with its place in the stream.
pub(super) fn event(sequence: u64, kind: AnswerEventKind) -> AnswerEvent {
    AnswerEvent { sequence, kind }
}
