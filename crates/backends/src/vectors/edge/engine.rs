//! One shard of the engine, guarded: panics become errors, and it can be opened anew.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    thread,
    time::Duration,
};

use qdrant_edge::{EdgeConfig, EdgeShard, OperationError, OperationResult};
use vectrion_core::{Error, Result};

use super::{failure::Trouble, points};
use crate::{
    directory_lock::{PAUSE, TRIES},
    durable,
    free_space::FreeSpace,
};

/// What the engine panics with when a flush meets the short moment in which an optimisation swaps segments.
const SWAPPING: &str = "segment holder lock acquired";
/// Tries of such a flush, and the time between them.
const FLUSH_TRIES: usize = 500;
const FLUSH_PAUSE: Duration = Duration::from_millis(2);

/// Where the engine makes segments while it optimises. What a killed process left there stays there for ever.
const HALF_MADE_SEGMENTS: &str = "temp_segments";

/// An open shard.
#[derive(Debug)]
pub(super) struct Engine {
    directory: PathBuf,
    config: EdgeConfig,
    space: FreeSpace,
    /// None when closed. Whoever uses the shard, reading or writing, holds the lock for reading; opening it anew and
    /// closing it hold it for writing. Two of them on the same files would overwrite each other.
    shard: RwLock<Option<EdgeShard>>,
}

impl Engine {
    /// Makes an empty shard with its payload indexes in an empty directory, on the disk when this returns.
    pub(super) fn create(directory: &Path, config: &EdgeConfig, space: &FreeSpace) -> Result<()> {
        let made = caught(|| {
            let shard = EdgeShard::new(directory, config.clone())?;
            for index in points::payload_indexes()? {
                shard.update(index)?;
            }
            // Dropping it flushes it.
            drop(shard);
            Ok(())
        });
        made.map_err(|trouble| trouble.into_error("make an index for a tenant", space))
    }

    /// Opens the shard in `directory`.
    pub(super) fn load(directory: PathBuf, config: EdgeConfig, space: FreeSpace) -> Result<Self> {
        // The log and the segments being written are mapped files: a page without room on the disk would kill the process.
        space.require_to_clean_up(0)?;
        if let Err(error) = durable::remove_directory(&directory.join(HALF_MADE_SEGMENTS)) {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot remove half made parts of a vector index");
        }
        let shard = load(&directory, &config).map_err(|trouble| trouble.into_open_error(&directory, &space))?;
        Ok(Self { directory, config, space, shard: RwLock::new(Some(shard)) })
    }

    /// The directory of the shard.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Uses the shard, for `task`.
    pub(super) fn run<T>(&self, task: &'static str, work: impl FnOnce(&EdgeShard) -> OperationResult<T>) -> Result<T> {
        self.attempt(work).map_err(|trouble| trouble.into_error(task, &self.space))
    }

    fn attempt<T>(&self, work: impl FnOnce(&EdgeShard) -> OperationResult<T>) -> Result<T, Trouble> {
        let shard = self.shard.read().unwrap_or_else(PoisonError::into_inner);
        match &*shard {
            Some(shard) => caught(|| work(shard)),
            None => Err(Trouble::Closed),
        }
    }

    /// Makes every change durable. Not to be called beside a change.
    pub(super) fn flush(&self) -> Result<()> {
        for _ in 1..FLUSH_TRIES {
            match self.flush_once() {
                Err(Trouble::Panicked(message)) if message == SWAPPING => thread::sleep(FLUSH_PAUSE),
                other => return other.map_err(|trouble| trouble.into_error("flush", &self.space)),
            }
        }
        self.flush_once().map_err(|trouble| trouble.into_error("flush", &self.space))
    }

    fn flush_once(&self) -> Result<(), Trouble> {
        self.attempt(|shard| {
            shard.flush();
            Ok(())
        })
    }

    /// Opens the shard anew after a defect. Changes since the last flush may be lost.
    pub(super) fn reload(&self) -> Result<()> {
        self.space.require_to_clean_up(0)?;
        let mut shard = self.shard.write().unwrap_or_else(PoisonError::into_inner);
        drop_shard(&mut shard);
        let opened = load(&self.directory, &self.config)
            .map_err(|trouble| trouble.into_open_error(&self.directory, &self.space))?;
        *shard = Some(opened);
        Ok(())
    }

    /// Lets go of the files.
    pub(super) fn close(&self) {
        drop_shard(&mut self.shard.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Bytes that the shard occupies on the disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        let files = walkdir::WalkDir::new(&self.directory).into_iter().filter_map(Result::ok);
        files
            .filter_map(|file| file.metadata().ok())
            .map(|facts| std::os::unix::fs::MetadataExt::blocks(&facts) * 512)
            .sum()
    }
}

/// Loads a shard. Settings of today take the place of those that it was made with.
fn load(directory: &Path, config: &EdgeConfig) -> Result<EdgeShard, Trouble> {
    // The engine would take a directory that lost its segments for an empty shard.
    if !has_segments(directory) {
        return Err(Trouble::Failed(OperationError::service_error_light("the shard has no segments")));
    }
    for _ in 1..TRIES {
        match caught(|| EdgeShard::load(directory, Some(config.clone()))) {
            Err(trouble) if trouble.is_locked() => thread::sleep(PAUSE),
            other => return other,
        }
    }
    caught(|| EdgeShard::load(directory, Some(config.clone())))
}

fn has_segments(directory: &Path) -> bool {
    fs::read_dir(directory.join("segments"))
        .is_ok_and(|entries| entries.filter_map(Result::ok).any(|entry| entry.path().join("segment.json").exists()))
}

/// Drops a shard, which flushes it, and panics when that fails: what is lost by that is in the redo log.
fn drop_shard(shard: &mut Option<EdgeShard>) {
    let shard = shard.take();
    let dropped = caught(|| {
        drop(shard);
        Ok(())
    });
    if let Err(trouble) = dropped {
        tracing::warn!(error = &trouble as &dyn std::error::Error, "cannot flush a vector index while closing it");
    }
}

/// Calls the engine. It holds no lock that a panic would poison, and what a panic leaves half changed is dealt with by
/// opening the shard anew.
fn caught<T>(work: impl FnOnce() -> OperationResult<T>) -> Result<T, Trouble> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(Trouble::from),
        Err(payload) => Err(Trouble::from_panic(&*payload)),
    }
}

/// Whether an error came from a panic of the engine, after which the shard has to be opened anew.
pub(super) fn is_panic(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    source.and_then(|source| source.downcast_ref()).is_some_and(|trouble| matches!(trouble, Trouble::Panicked(_)))
}
