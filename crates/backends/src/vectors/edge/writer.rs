//! The one thread that changes a shard.
//!
//! The engine panics when a flush meets a change, so both happen on one thread. What was changed since the last flush is
//! kept in memory: when the engine meets a defect of its own the shard is opened anew and the changes are made again, so
//! that a later flush never confirms what was lost on the way.

use std::{
    io, mem,
    sync::{Arc, Weak},
    thread,
};

use qdrant_edge::bm25_embed::EdgeBm25;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;
use vectrion_core::{
    Error, Result,
    ids::{DocumentId, TenantId, VersionId},
    ports::vectors::Point,
};

use super::{
    engine::{self, Engine},
    failure,
    journal::Journal,
    optimizer::Optimizer,
    points::{self, DOCUMENT, VERSION},
    query,
    repair::repair,
    shard::{COMMANDS, OpenShard},
    wal::Log,
};
use crate::{directory_lock::DirectoryLock, free_space::FreeSpace};

/// Points that are written, or removed, in one change: searches wait while one is made.
const CHANGE_POINTS: usize = 64;

/// Changed points from which the writer flushes by itself, so that what it keeps in memory stays small.
const MAX_UNFLUSHED: usize = 4096;

/// What a writer is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Write points.
    Upsert { points: Vec<Point>, reply: oneshot::Sender<Result<()>> },
    /// Remove points.
    Remove { what: Removed, reply: oneshot::Sender<Result<()>> },
    /// Make changes durable.
    Flush { reply: oneshot::Sender<Result<()>> },
    /// The optimiser is done.
    Optimized { outcome: Result<()> },
    /// Make changes durable, let go of the files, end.
    Close { reply: oneshot::Sender<Result<()>> },
}

/// What is removed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Removed {
    Version(VersionId),
    Document(DocumentId),
}

/// A change that is not durable yet.
enum Change {
    Written(Vec<Point>),
    Removed(Vec<Uuid>),
}

/// What all writers of an index share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) bm25: Arc<EdgeBm25>,
    pub(super) space: FreeSpace,
    pub(super) optimizer: Optimizer,
    pub(super) optimize_after: usize,
    /// The directory of the index stays locked for as long as a writer lives.
    pub(super) lock: Arc<DirectoryLock>,
}

struct Writer {
    engine: Arc<Engine>,
    tenant: TenantId,
    shared: Shared,
    shard: Weak<OpenShard>,
    log: Log,
    /// Changes since the last flush, and how many points they concern.
    unflushed: Vec<Change>,
    unflushed_points: usize,
    /// Whether anything, an optimisation included, happened since the last flush.
    is_dirty: bool,
    /// Whether the engine met a defect, so that the shard has to be opened anew.
    is_broken: bool,
    /// Points changed since it was last looked at whether to optimise.
    changed: usize,
    /// Set from the first change on.
    journal: Option<Journal>,
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
    let left_behind = Journal::left_behind(engine.directory()).map_err(failed)?;
    let (commands, incoming) = mpsc::channel(COMMANDS);
    let mut writer = Writer {
        log: Log::of(engine.directory()),
        engine: engine.clone(),
        tenant,
        shared,
        shard: Weak::new(),
        unflushed: Vec::new(),
        unflushed_points: 0,
        is_dirty: false,
        is_broken: false,
        changed: 0,
        journal: None,
        closing: None,
    };
    if let Some(removed) = left_behind {
        let (removed, rewritten) = engine.run("repair itself", |shard| repair(shard, &removed))?;
        tracing::info!(
            directory = %engine.directory().display(),
            removed,
            rewritten,
            "opened a vector index whose process died while it was changing"
        );
        writer.is_dirty = true;
        writer.flush()?;
        writer.journal = Some(Journal::begin(engine.directory()).map_err(failed)?);
    }
    // What an earlier process wrote may not have been optimised.
    writer.changed = engine.run("count", |shard| Ok(shard.info().points_count))?;
    let shard = Arc::new(OpenShard::new(engine, commands));
    writer.shard = Arc::downgrade(&shard);
    thread::Builder::new().name("vectors-write".to_owned()).spawn(move || writer.work(incoming)).map_err(failed)?;
    Ok(shard)
}

impl Writer {
    fn work(mut self, mut commands: mpsc::Receiver<Command>) {
        self.optimize_if_due();
        while let Some(command) = commands.blocking_recv() {
            self.obey(command);
            if !self.is_optimizing()
                && let Some(reply) = self.closing.take()
            {
                // Whoever asked may be gone.
                let _ = reply.send(self.end());
                return;
            }
        }
        if let Err(error) = self.end() {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot flush a vector index while closing it");
        }
    }

    /// Flushes, and lets go of the files.
    fn end(&mut self) -> Result<()> {
        let flushed = self.flush();
        self.engine.close()?;
        flushed?;
        match self.journal.take() {
            Some(journal) => journal.end().map_err(|error| self.io_failed(error)),
            None => Ok(()),
        }
    }

    fn is_optimizing(&self) -> bool {
        self.journal.as_ref().is_some_and(Journal::is_optimizing)
    }

    fn io_failed(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => self.shared.space.full().with_source(error),
            _ => Error::internal("VECTOR_INDEX_FAILED", "a file of the vector index cannot be written")
                .with_source(error),
        }
    }

    /// The journal, which is begun if need be.
    fn journal(&mut self) -> Result<&mut Journal> {
        let journal = match self.journal.take() {
            Some(journal) => journal,
            None => Journal::begin(self.engine.directory()).map_err(|error| self.io_failed(error))?,
        };
        Ok(self.journal.insert(journal))
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Upsert { points, reply } => self.answer(reply, |writer| writer.upsert(points)),
            Command::Remove { what, reply } => self.answer(reply, |writer| writer.remove(what)),
            Command::Flush { reply } => {
                self.answer(reply, Self::flush);
                self.optimize_if_due();
            }
            Command::Optimized { outcome } => self.optimized(outcome),
            Command::Close { reply } => {
                if let Err(error) = self.flush() {
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
            let change = Change::Written(mem::replace(&mut points, rest));
            self.make(change)?;
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

    fn make(&mut self, change: Change) -> Result<()> {
        self.journal()?;
        self.is_dirty = true;
        if let Err(error) = self.apply(&change) {
            self.is_broken |= engine::is_panic(&error);
            return Err(error);
        }
        let concerned = match &change {
            Change::Written(points) => points.len(),
            Change::Removed(ids) => ids.len(),
        };
        let journal = self.journal()?;
        match &change {
            Change::Written(points) => journal.revive(points.iter().map(|point| point.id.0)),
            Change::Removed(ids) => journal.add(ids.iter().copied()),
        }
        self.changed += concerned;
        self.unflushed_points += concerned;
        self.unflushed.push(change);
        if self.unflushed_points >= MAX_UNFLUSHED { self.flush() } else { Ok(()) }
    }

    fn apply(&self, change: &Change) -> Result<()> {
        let (task, change) = match change {
            Change::Written(points) => ("write points", points::upsert(self.tenant, points, &self.shared.bm25)),
            Change::Removed(ids) => ("delete points", points::removal(ids)),
        };
        self.engine.run(task, |shard| shard.update(change))
    }

    fn flush(&mut self) -> Result<()> {
        self.recover()?;
        if !self.is_dirty {
            return Ok(());
        }
        self.shared.space.require_to_clean_up(0)?;
        self.log.sync().map_err(|error| self.io_failed(error))?;
        if let Err(error) = self.engine.flush() {
            self.is_broken |= engine::is_panic(&error);
            return Err(error);
        }
        if let Some(journal) = &mut self.journal {
            let saved = journal.save();
            saved.map_err(|error| self.io_failed(error))?;
        }
        self.unflushed.clear();
        self.unflushed_points = 0;
        self.is_dirty = false;
        if let Err(error) = self.log.trim() {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot shorten the log of a vector index");
        }
        Ok(())
    }

    /// Opens the shard anew if the engine met a defect, and makes again what was not durable.
    fn recover(&mut self) -> Result<()> {
        if !self.is_broken {
            return Ok(());
        }
        if self.is_optimizing() {
            // Opening it anew would have to wait for the optimisation, and every search with it.
            return Err(Error::unavailable(
                "VECTOR_INDEX_UNAVAILABLE",
                "the vector index of the tenant is being put in order: try again in a minute",
            ));
        }
        self.reload()
    }

    fn reload(&mut self) -> Result<()> {
        tracing::warn!(directory = %self.engine.directory().display(), "opening a vector index anew after a defect");
        self.engine.reload()?;
        self.is_dirty = true;
        if let Some(journal) = &self.journal {
            self.engine.run("repair itself", |shard| repair(shard, journal.removed()))?;
        }
        for change in &self.unflushed {
            self.apply(change)?;
        }
        self.is_broken = false;
        Ok(())
    }

    fn optimize_if_due(&mut self) {
        if self.changed < self.shared.optimize_after || self.is_optimizing() || self.closing.is_some() {
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
        self.flush()?;
        self.journal()?.begin_optimizing();
        if !self.shared.optimizer.request(shard) {
            self.journal()?.end_optimizing().map_err(|error| self.io_failed(error))?;
        }
        Ok(())
    }

    fn optimized(&mut self, outcome: Result<()>) {
        if let Err(error) = self.finish_optimization(outcome) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                directory = %self.engine.directory().display(),
                "the optimisation of a vector index failed"
            );
        }
    }

    fn finish_optimization(&mut self, outcome: Result<()>) -> Result<()> {
        self.is_dirty = true;
        let repaired = match outcome {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "an optimisation was broken off");
                // The old segments are back, and with them what was removed meanwhile.
                self.is_broken = true;
                self.reload()
            }
        };
        // While it is broken, every call begins with opening it anew.
        let flushed = repaired.and_then(|()| self.flush());
        let journal = self.journal()?;
        let ended = if flushed.is_ok() { journal.end_optimizing() } else { journal.keep_removed() };
        flushed.and(ended.map_err(|error| self.io_failed(error)))
    }
}
