//! Watching documents.

use std::{sync::Arc, time::Duration};

use async_stream::try_stream;
use futures::StreamExt as _;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use vectrion_core::{
    Error, ErrorKind, Result,
    document::{Document, DocumentFilter},
    ids::{DocumentId, TenantId},
    ports::catalog::Changes,
    tenancy::CallContext,
};

use super::{DocumentView, Ingestion, WatchEvent, WatchEventKind, WatchStream};
use crate::{CollectionRef, Ports};

/// How often a watch looks for changes that this process has not made itself. What changes in between is told once.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How long a watch is silent at the most.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);
/// Changes that are read at once.
const BATCH: u32 = 200;
/// Watches of one process at the most.
const MAX_WATCHES: usize = 1024;

/// What the watches of this process share.
pub(super) struct Watching {
    shutdown: CancellationToken,
    changed: Arc<Notify>,
    places: Arc<Semaphore>,
}

impl Default for Watching {
    fn default() -> Self {
        Self::until(CancellationToken::new())
    }
}

impl Watching {
    pub(super) fn until(shutdown: CancellationToken) -> Self {
        Self { shutdown, changed: Arc::default(), places: Arc::new(Semaphore::new(MAX_WATCHES)) }
    }

    /// Lets the watches look at once, because this process has changed a document.
    pub(super) fn changed(&self) {
        self.changed.notify_waiters();
    }
}

impl Ingestion {
    /// Changes after a revision; 0 gives first every document that matches, as it is now. The stream ends when the server
    /// winds down, and with an error when the database or the index cannot be read.
    ///
    /// # Errors
    /// `NOT_FOUND`: `COLLECTION_NOT_FOUND`; `INVALID_ARGUMENT` naming `after_revision` when it is negative;
    /// `RESOURCE_EXHAUSTED`: `TOO_MANY_WATCHES`.
    pub async fn watch(
        &self,
        context: &CallContext,
        collection: Option<&CollectionRef>,
        filter: DocumentFilter,
        after_revision: i64,
    ) -> Result<WatchStream> {
        if after_revision < 0 {
            return Err(Error::invalid_field("after_revision", "is not negative"));
        }
        let filter = self.within(context, collection, filter).await?;
        let place = Arc::clone(&self.watching.places).try_acquire_owned().map_err(|error| {
            Error::new(ErrorKind::ResourceExhausted, "TOO_MANY_WATCHES", "the server has no place for another watch")
                .with_source(error)
                .with_retry_after(HEARTBEAT_EVERY)
        })?;
        let watch = Watch {
            ports: Arc::clone(&self.ports),
            tenant: context.principal.tenant,
            filter,
            shutdown: self.watching.shutdown.clone(),
            changed: Arc::clone(&self.watching.changed),
            revision: after_revision,
            first_look: after_revision == 0,
            _place: place,
        };
        Ok(watch.into_stream())
    }
}

struct Watch {
    ports: Arc<Ports>,
    tenant: TenantId,
    filter: DocumentFilter,
    shutdown: CancellationToken,
    changed: Arc<Notify>,
    /// Everything up to here has been told.
    revision: i64,
    /// Whether it began at 0 and has not told of everything that was there yet.
    first_look: bool,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// The caller's pace is the stream's: nothing is read ahead, and a slow caller gets fewer, newer states.
    fn into_stream(mut self) -> WatchStream {
        let stream = try_stream! {
            let mut silence = Silence::begin();
            loop {
                // Registered before the look, so that a change during the look is not slept through.
                let changed = Arc::clone(&self.changed);
                let changed = changed.notified();
                let (events, more) = self.look().await?;
                if !events.is_empty() {
                    silence = Silence::begin();
                }
                for event in events {
                    yield event;
                }
                if self.shutdown.is_cancelled() {
                    return;
                }
                if more {
                    continue;
                }
                if silence.is_long() {
                    silence = Silence::begin();
                    yield WatchEvent { revision: self.revision, kind: WatchEventKind::Heartbeat };
                }
                tokio::select! {
                    () = self.shutdown.cancelled() => return,
                    () = changed => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        };
        stream.boxed()
    }

    /// What happened since the last look, and whether there is more right now.
    async fn look(&mut self) -> Result<(Vec<WatchEvent>, bool)> {
        let catalog = &self.ports.catalog;
        if self.revision > 0 && catalog.revision(self.tenant).await? == self.revision {
            return Ok((Vec::new(), false));
        }
        match catalog.changes(self.tenant, &self.filter, self.revision, self.first_look, BATCH).await? {
            Changes::Resync { revision } => {
                self.revision = revision;
                Ok((vec![WatchEvent { revision, kind: WatchEventKind::Resync }], false))
            }
            Changes::Since { changed, removed, revision, more } => {
                let views = Ingestion::views(&self.ports, self.tenant, changed).await?;
                // Who has seen nothing yet knows of no document that could be gone.
                let removed = if self.revision == 0 { Vec::new() } else { self.relevant(removed) };
                self.revision = revision;
                self.first_look &= more;
                Ok((in_order_of_revision(views, removed), more))
            }
        }
    }

    fn relevant(&self, removed: Vec<(DocumentId, i64)>) -> Vec<(DocumentId, i64)> {
        let asked = &self.filter.documents;
        removed.into_iter().filter(|(id, _)| asked.is_empty() || asked.contains(id)).collect()
    }
}

/// The time since something was told.
struct Silence(Instant);

impl Silence {
    fn begin() -> Self {
        Self(Instant::now())
    }

    fn is_long(&self) -> bool {
        self.0.elapsed() >= HEARTBEAT_EVERY
    }
}

/// Events that can be broken off anywhere and taken up again from the last revision that was seen.
fn in_order_of_revision(views: Vec<DocumentView>, removed: Vec<(DocumentId, i64)>) -> Vec<WatchEvent> {
    let revision_of = |document: &Document| document.revision;
    let mut events: Vec<WatchEvent> = views
        .into_iter()
        .map(|view| WatchEvent { revision: revision_of(&view.document), kind: WatchEventKind::Changed(Box::new(view)) })
        .chain(removed.into_iter().map(|(id, revision)| WatchEvent { revision, kind: WatchEventKind::Removed(id) }))
        .collect();
    events.sort_by_key(|event| event.revision);
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_watch_gives_a_sign_of_life_every_ten_seconds() {
        let silence = Silence::begin();
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(!silence.is_long());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(silence.is_long());
    }

    #[test]
    fn events_of_both_kinds_come_in_order_of_revision() {
        let removed = vec![(DocumentId::new(), 9), (DocumentId::new(), 4)];
        let revisions: Vec<i64> = in_order_of_revision(vec![], removed).iter().map(|event| event.revision).collect();
        assert_eq!(revisions, [4, 9]);
    }
}
