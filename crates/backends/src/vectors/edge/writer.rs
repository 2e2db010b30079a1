//! The one thread that changes a shard.
//!
//! The engine panics when a flush meets a change, so both happen on one thread. A change is made in the engine and then
//! written to the redo log; confirming it takes the log alone. When the engine meets a defect of its own the shard is
//! opened anew and the log replayed.

use std::{
    fs, io, mem,
    path::Path,
    sync::{Arc, Weak},
    thread,
};

use qdrant_edge::bm25_embed::EdgeBm25;
use tokio::sync::{mpsc, oneshot};
use vectrion_core::{
    Error, Result,
    ids::{DocumentId, TenantId, VersionId},
    ports::vectors::Point,
};

use super::{
    engine::{self, Engine},
    failure,
    optimizer::Optimizer,
    points::{self, DOCUMENT, VERSION},
    query,
    redo::{Change, RedoLog},
    repair,
    shard::{COMMANDS, OpenShard},
    wal::Wal,
};
use crate::{directory_lock::DirectoryLock, durable, free_space::FreeSpace};

/// Points that are written, or removed, in one change: searches wait while one is made.
const CHANGE_POINTS: usize = 64;

/// The file that holds [`Writer::changed`] while the shard is closed.
const CHANGED: &str = "changed";

/// What a writer is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Write points.
    Upsert { points: Vec<Point>, reply: oneshot::Sender<Result<()>> },
    /// Remove points.
    Remove { what: Removed, reply: oneshot::Sender<Result<()>> },
    /// Make changes durable.
    Flush { reply: oneshot::Sender<Result<()>> },
    /// The optimiser is done; whether there was anything to do.
    Optimized { outcome: Result<bool> },
    /// Make changes durable, let go of the files, end.
    Close { reply: oneshot::Sender<Result<()>> },
}

/// What is removed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Removed {
    Version(VersionId),
    Document(DocumentId),
}

/// What all writers of an index share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) bm25: Arc<EdgeBm25>,
    pub(super) space: FreeSpace,
    pub(super) optimizer: Optimizer,
    pub(super) optimize_after: usize,
    pub(super) redo_bytes: u64,
    /// The directory of the index stays locked for as long as a writer lives.
    pub(super) lock: Arc<DirectoryLock>,
}

struct Writer {
    engine: Arc<Engine>,
    tenant: TenantId,
    shared: Shared,
    shard: Weak<OpenShard>,
    redo: RedoLog,
    wal: Wal,
    /// Whether the engine met a defect, or is ahead of the log, so that the shard has to be opened anew.
    is_broken: bool,
    is_optimizing: bool,
    /// Points changed since it was last looked at whether to optimise.
    changed: usize,
    /// Who waits for the end.
    closing: Option<oneshot::Sender<Result<()>>>,
}

/// Opens a shard's writer on a thread of its own. `engine` was just loaded.
pub(super) fn start(engine: Engine, tenant: TenantId, shared: Shared) -> Result<Arc<OpenShard>> {
    let failed = |error: io::Error| {
        Error::unavailable("VECTOR_INDEX_UNAVAILABLE", "the vector index of a tenant cannot be opened now")
            .with_source(error)
    };
    let engine = Arc::new(engine);
    let (commands, incoming) = mpsc::channel(COMMANDS);
    let mut writer = Writer {
        redo: RedoLog::open(engine.directory()).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => failure::damaged(engine.directory()).with_source(error),
            _ => failed(error),
        })?,
        wal: Wal::of(engine.directory()),
        engine: engine.clone(),
        tenant,
        shared,
        shard: Weak::new(),
        is_broken: false,
        is_optimizing: false,
        changed: 0,
        closing: None,
    };
    if writer.redo.bytes() > 0 {
        writer.replay()?;
        writer.checkpoint()?;
    }
    writer.changed = match take_changed(engine.directory()) {
        Some(changed) => changed,
        // Left by a process that died, or made by an older one.
        None => engine.run("count", |shard| Ok(shard.info().points_count))?,
    };
    let shard = Arc::new(OpenShard::new(engine, commands));
    writer.shard = Arc::downgrade(&shard);
    thread::Builder::new().name("vectors-write".to_owned()).spawn(move || writer.work(incoming)).map_err(failed)?;
    Ok(shard)
}

/// How many changes the last process left without looking whether to optimise.
fn take_changed(shard: &Path) -> Option<usize> {
    let path = shard.join(CHANGED);
    let changed = fs::read_to_string(&path).ok()?.parse().ok();
    fs::remove_file(&path).ok()?;
    changed
}

impl Writer {
    fn work(mut self, mut commands: mpsc::Receiver<Command>) {
        self.optimize_if_due();
        while let Some(command) = commands.blocking_recv() {
            self.obey(command);
            if !self.is_optimizing
                && let Some(reply) = self.closing.take()
            {
                // Whoever asked may be gone.
                let _ = reply.send(self.end());
                return;
            }
        }
        if let Err(error) = self.end() {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot close a vector index");
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Upsert { points, reply } => self.answer(reply, |writer| writer.upsert(points)),
            Command::Remove { what, reply } => self.answer(reply, |writer| writer.remove(what)),
            Command::Flush { reply } => {
                self.answer(reply, Self::sync);
                self.keep_house();
            }
            Command::Optimized { outcome } => self.optimized(outcome),
            Command::Close { reply } => {
                if let Err(error) = self.sync() {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot flush a vector index yet");
                }
                self.closing = Some(reply);
            }
        }
    }

    /// Does what somebody waits for; nothing, if nobody waits any more.
    fn answer(&mut self, reply: oneshot::Sender<Result<()>>, work: impl FnOnce(&mut Self) -> Result<()>) {
        if reply.is_closed() {
            return;
        }
        let outcome = if self.closing.is_some() { Err(failure::closed()) } else { work(self) };
        // Nobody waits any more when this fails.
        let _ = reply.send(outcome);
    }

    fn upsert(&mut self, mut points: Vec<Point>) -> Result<()> {
        self.shared.space.require(0)?;
        self.recover()?;
        while !points.is_empty() {
            let rest = points.split_off(points.len().min(CHANGE_POINTS));
            self.make(Change::Written(mem::replace(&mut points, rest)))?;
        }
        Ok(())
    }

    fn remove(&mut self, what: Removed) -> Result<()> {
        self.shared.space.require_to_clean_up(0)?;
        self.recover()?;
        let ids = self.engine.run("find what to delete", |shard| {
            let condition = match what {
                Removed::Version(version) => query::one_of(VERSION, [version.0])?,
                Removed::Document(document) => query::one_of(DOCUMENT, [document.0])?,
            };
            query::ids(shard, Some(condition))
        })?;
        for ids in ids.chunks(CHANGE_POINTS) {
            self.make(Change::Removed(ids.to_vec()))?;
        }
        Ok(())
    }

    /// Makes a change and takes note of it, in this order: what the engine refuses must not be replayed.
    fn make(&mut self, change: Change) -> Result<()> {
        if let Err(error) = self.apply(&change) {
            self.is_broken |= engine::is_panic(&error);
            return Err(error);
        }
        self.changed += match &change {
            Change::Written(points) => points.len(),
            Change::Removed(ids) => ids.len(),
            Change::OptimizationBegan => 0,
        };
        self.redo.append(&change).map_err(|error| {
            // The engine is ahead of the log now: who tries again would find nothing left to remove, and what came of it
            // would be neither in the log nor flushed. The shard is opened anew, as it is on the disk.
            self.is_broken = true;
            self.io_failed(error)
        })
    }

    fn apply(&self, change: &Change) -> Result<()> {
        let (task, change) = match change {
            Change::Written(points) => ("write points", points::upsert(self.tenant, points, &self.shared.bm25)),
            Change::Removed(ids) => ("delete points", points::removal(ids)),
            Change::OptimizationBegan => return Ok(()),
        };
        self.engine.run(task, |shard| shard.update(change))
    }

    /// Makes changes durable.
    fn sync(&mut self) -> Result<()> {
        self.redo.sync().map_err(|error| self.io_failed(error))
    }

    fn io_failed(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => self.shared.space.full().with_source(error),
            _ => Error::internal("VECTOR_INDEX_FAILED", "a file of the vector index cannot be written")
                .with_source(error),
        }
    }

    /// Flushes the engine and empties the redo log. Not while optimising: the flush would not hold what was removed.
    fn checkpoint(&mut self) -> Result<()> {
        self.shared.space.require_to_clean_up(0)?;
        self.sync()?;
        self.wal.sync().map_err(|error| self.io_failed(error))?;
        if let Err(error) = self.engine.flush() {
            self.is_broken |= engine::is_panic(&error);
            return Err(error);
        }
        self.redo.clear().map_err(|error| self.io_failed(error))?;
        if let Err(error) = self.wal.trim() {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot shorten the log of a vector index");
        }
        Ok(())
    }

    /// Opens the shard anew if the engine met a defect.
    fn recover(&mut self) -> Result<()> {
        if !self.is_broken {
            return Ok(());
        }
        if self.is_optimizing {
            // Opening it anew would have to wait for the optimisation, and every search with it.
            return Err(Error::unavailable(
                "VECTOR_INDEX_UNAVAILABLE",
                "the vector index of the tenant is being put in order: try again in a minute",
            ));
        }
        tracing::warn!(directory = %self.engine.directory().display(), "opening a vector index anew after a defect");
        self.engine.reload()?;
        self.replay()?;
        self.is_broken = false;
        Ok(())
    }

    /// Makes the changes of the redo log again.
    fn replay(&self) -> Result<()> {
        let mut changes = 0;
        self.redo
            .replay(|change| {
                changes += 1;
                self.apply(&change).map_err(Replay::Change)
            })
            .map_err(|error| match error {
                Replay::Change(error) => error,
                Replay::Read(error) => self.io_failed(error),
            })?;
        let doubles = self.engine.run("repair itself", repair::remove_doubles)?;
        tracing::info!(directory = %self.engine.directory().display(), changes, doubles, "replayed a vector index's log");
        Ok(())
    }

    /// Does, after somebody was answered, what nobody waits for.
    fn keep_house(&mut self) {
        if self.redo.bytes() > self.shared.redo_bytes && !self.is_optimizing {
            let kept = self.recover().and_then(|()| self.checkpoint());
            if let Err(error) = kept {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot flush a vector index");
            }
        }
        self.optimize_if_due();
    }

    fn optimize_if_due(&mut self) {
        if self.changed < self.shared.optimize_after || self.is_optimizing || self.closing.is_some() {
            return;
        }
        self.changed = 0;
        if let Err(error) = self.optimize() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                directory = %self.engine.directory().display(),
                "cannot optimise a vector index"
            );
        }
    }

    fn optimize(&mut self) -> Result<()> {
        // Nobody uses the shard any more when there is no handle to it left.
        let Some(shard) = self.shard.upgrade() else { return Ok(()) };
        // New segments are made beside the old ones, from copies of their vectors.
        self.shared.space.require(self.engine.disk_bytes().saturating_mul(2))?;
        self.recover()?;
        self.checkpoint()?;
        self.redo.append(&Change::OptimizationBegan).map_err(|error| self.io_failed(error))?;
        self.sync()?;
        self.is_optimizing = self.shared.optimizer.request(shard);
        Ok(())
    }

    fn optimized(&mut self, outcome: Result<bool>) {
        self.is_optimizing = false;
        // The engine does not wait for the disk with every file of a new segment, but removes the old ones at once.
        if let Ok(true) = outcome
            && let Err(error) = durable::sync_file_system(self.engine.directory())
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot bring a vector index to the disk");
        }
        if let Err(error) = outcome {
            // The old segments are back, and with them what was removed meanwhile.
            self.is_broken = true;
            tracing::error!(
                error = &error as &dyn std::error::Error,
                directory = %self.engine.directory().display(),
                "the optimisation of a vector index was broken off"
            );
        }
        if let Err(error) = self.recover().and_then(|()| self.checkpoint()) {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot flush a vector index");
        }
    }

    /// Flushes, and lets go of the files.
    fn end(&mut self) -> Result<()> {
        let flushed = self.sync();
        // What is not flushed when this fails is in the redo log.
        if let Err(error) = self.recover().and_then(|()| self.checkpoint()) {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot flush a vector index while closing it");
        }
        self.engine.close();
        // Without it the next process looks once more than needed.
        let _ = fs::write(self.engine.directory().join(CHANGED), self.changed.to_string());
        flushed
    }
}

/// Why a replay ended early.
enum Replay {
    Read(io::Error),
    Change(Error),
}

impl From<io::Error> for Replay {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}
