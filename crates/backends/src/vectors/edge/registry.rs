//! Which shards are open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{oneshot, watch};
use vectrion_core::{Error, Result};

use super::{failure, layout::ShardKey, shard::OpenShard, writer::Command};

/// The open shards, of which the one not used for longest is closed when there are too many.
#[derive(Debug)]
pub(super) struct Registry {
    state: Mutex<State>,
    max_open: usize,
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<ShardKey, Slot>,
    /// Counts uses, for their order.
    uses: u64,
    is_closed: bool,
}

#[derive(Debug)]
enum Slot {
    Open {
        shard: Arc<OpenShard>,
        last_use: u64,
    },
    /// Being opened, or else closed or removed; the channel closes when that is over.
    Moving {
        over: watch::Receiver<()>,
        is_opening: bool,
    },
}

/// What a caller finds.
enum Found {
    /// The shard, and whether too many are open.
    Open(Arc<OpenShard>, bool),
    Moving(watch::Receiver<()>),
    Nothing(Move),
}

/// The right to open, close or remove a shard. When it ends without a shard there is none.
struct Move {
    registry: Arc<Registry>,
    key: ShardKey,
    shard: Option<Arc<OpenShard>>,
    /// Closed after the slot has got its new state.
    _over: watch::Sender<()>,
}

impl Drop for Move {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        state.slots.remove(&self.key);
        if let Some(shard) = self.shard.take() {
            state.insert(self.key, shard);
        }
    }
}

impl State {
    fn insert(&mut self, key: ShardKey, shard: Arc<OpenShard>) {
        self.uses += 1;
        self.slots.insert(key, Slot::Open { shard, last_use: self.uses });
    }

    /// Shards that are open, or about to be.
    fn open(&self) -> usize {
        let is_open = |slot: &&Slot| matches!(slot, Slot::Open { .. } | Slot::Moving { is_opening: true, .. });
        self.slots.values().filter(is_open).count()
    }

    /// The shard not used for longest that nobody uses now.
    fn idle(&self) -> Option<ShardKey> {
        self.slots
            .iter()
            .filter_map(|(key, slot)| match slot {
                Slot::Open { shard, last_use } if Arc::strong_count(shard) == 1 => Some((*last_use, *key)),
                _ => None,
            })
            .min_by_key(|(last_use, _)| *last_use)
            .map(|(_, key)| key)
    }
}

impl Registry {
    pub(super) fn new(max_open: usize) -> Self {
        Self { state: Mutex::default(), max_open }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a shard as moving.
    fn begin_move(
        self: &Arc<Self>,
        state: &mut State,
        key: ShardKey,
        is_opening: bool,
    ) -> (Move, Option<Arc<OpenShard>>) {
        let (over, watching) = watch::channel(());
        let open = match state.slots.insert(key, Slot::Moving { over: watching, is_opening }) {
            Some(Slot::Open { shard, .. }) => Some(shard),
            _ => None,
        };
        (Move { registry: self.clone(), key, shard: None, _over: over }, open)
    }

    /// The open shard, which `open` opens if need be, on a thread where that may block. It gives none where there is
    /// nothing to open.
    pub(super) async fn get(
        self: &Arc<Self>,
        key: ShardKey,
        open: impl FnOnce() -> Result<Option<Arc<OpenShard>>> + Send + 'static,
    ) -> Result<Option<Arc<OpenShard>>> {
        loop {
            match self.find(key)? {
                Found::Open(shard, too_many) => {
                    if too_many {
                        let registry = self.clone();
                        tokio::task::spawn_blocking(move || registry.close_idle());
                    }
                    return Ok(Some(shard));
                }
                Found::Moving(over) => wait_until_over(over).await,
                Found::Nothing(moving) => {
                    let registry = self.clone();
                    // Goes on when the caller stops waiting: a slot is never left moving.
                    let opening = tokio::task::spawn_blocking(move || registry.open(moving, open));
                    return opening.await.unwrap_or_else(|error| {
                        Err(Error::internal("VECTOR_INDEX_FAILED", "the opening of a vector index ended early")
                            .with_source(error))
                    });
                }
            }
        }
    }

    fn find(self: &Arc<Self>, key: ShardKey) -> Result<Found> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(failure::closed());
        }
        state.uses += 1;
        let now = state.uses;
        let too_many = state.open() > self.max_open;
        match state.slots.get_mut(&key) {
            Some(Slot::Open { shard, last_use }) => {
                *last_use = now;
                Ok(Found::Open(shard.clone(), too_many))
            }
            Some(Slot::Moving { over, .. }) => Ok(Found::Moving(over.clone())),
            None => Ok(Found::Nothing(self.begin_move(&mut state, key, true).0)),
        }
    }

    /// Opens a shard, after closing others that nobody uses if there are too many. Blocks.
    fn open(
        self: &Arc<Self>,
        mut moving: Move,
        open: impl FnOnce() -> Result<Option<Arc<OpenShard>>>,
    ) -> Result<Option<Arc<OpenShard>>> {
        self.close_idle();
        let shard = open()?;
        moving.shard.clone_from(&shard);
        Ok(shard)
    }

    /// Closes shards that nobody uses while there are too many. Blocks.
    fn close_idle(self: &Arc<Self>) {
        while let Some((closing, shard)) = self.one_too_many() {
            if let Err(error) = close_blocking(&shard) {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot flush a vector index while closing it"
                );
            }
            drop(closing);
        }
    }

    /// A shard to close, if there are too many. Shards in use stay open even if there are.
    fn one_too_many(self: &Arc<Self>) -> Option<(Move, Arc<OpenShard>)> {
        let mut state = self.lock();
        if state.open() <= self.max_open {
            return None;
        }
        let key = state.idle()?;
        let (moving, shard) = self.begin_move(&mut state, key, false);
        Some((moving, shard?))
    }

    /// Closes a shard, open or not, does `work` while nobody can open it, and lets it be opened again.
    pub(super) async fn without<T: Send + 'static>(
        self: &Arc<Self>,
        key: ShardKey,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (moving, shard) = loop {
            let over = {
                let mut state = self.lock();
                match state.slots.get(&key) {
                    Some(Slot::Moving { over, .. }) => over.clone(),
                    _ => break self.begin_move(&mut state, key, false),
                }
            };
            wait_until_over(over).await;
        };
        let working = tokio::task::spawn_blocking(move || {
            let _moving = moving;
            if let Some(shard) = shard {
                close_blocking(&shard)?;
            }
            work()
        });
        working.await.unwrap_or_else(|error| {
            Err(Error::internal("VECTOR_INDEX_FAILED", "work on a vector index ended early").with_source(error))
        })
    }

    /// Closes all shards, and lets none be opened again.
    pub(super) async fn close(self: &Arc<Self>) -> Result<()> {
        let mut outcome = Ok(());
        loop {
            let (closing, over) = {
                let mut state = self.lock();
                state.is_closed = true;
                let keys: Vec<ShardKey> = state.slots.keys().copied().collect();
                let mut closing = Vec::new();
                let mut over = None;
                for key in keys {
                    match state.slots.get(&key) {
                        Some(Slot::Open { .. }) => closing.push(self.begin_move(&mut state, key, false)),
                        Some(Slot::Moving { over: watching, .. }) => over = Some(watching.clone()),
                        None => {}
                    }
                }
                (closing, over)
            };
            if closing.is_empty() && over.is_none() {
                return outcome;
            }
            let closed = closing.iter().filter_map(|(_, shard)| shard.as_ref()).map(|shard| close(shard));
            for closed in futures::future::join_all(closed).await {
                outcome = outcome.and(closed);
            }
            drop(closing);
            if let Some(over) = over {
                wait_until_over(over).await;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn open_shards(&self) -> usize {
        self.lock().slots.values().filter(|slot| matches!(slot, Slot::Open { .. })).count()
    }
}

async fn wait_until_over(mut over: watch::Receiver<()>) {
    // Nothing is ever sent: this is an error once the sender is gone, which is what is waited for.
    while over.changed().await.is_ok() {}
}

async fn close(shard: &OpenShard) -> Result<()> {
    shard.command(|reply| Command::Close { reply }).await
}

fn close_blocking(shard: &OpenShard) -> Result<()> {
    let (reply, answer) = oneshot::channel();
    shard.commands().blocking_send(Command::Close { reply }).map_err(|_| failure::closed())?;
    answer.blocking_recv().unwrap_or_else(|_| Err(failure::closed()))
}
