//! Keeping the engine's log short.
//!
//! The engine (0.7.2) writes every change to a log that it never reads again: it replays nothing when a shard is loaded,
//! and it never drops what it no longer needs, 2.4 KB per point. One thing in the log does matter: the number of the last
//! entry. Every change carries the number of its entry, a change older than the point it meets is ignored, and numbering
//! begins anew when the log is empty. So all but the newest of the closed files may go, which is what the engine of the
//! Qdrant server does when it acknowledges entries, and the newest one has to reach the disk before the points do.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use nix::fcntl::{FallocateFlags, fallocate};

use crate::durable;

/// The directory of the log in that of the shard.
const DIRECTORY: &str = "wal";

/// The engine's log of a shard.
#[derive(Debug)]
pub(super) struct Wal {
    directory: PathBuf,
    /// Number of the newest closed file that is known to be on the disk.
    synced: Option<u64>,
}

impl Wal {
    /// The log of the shard in `shard`.
    pub(super) fn of(shard: &Path) -> Self {
        Self { directory: shard.join(DIRECTORY), synced: None }
    }

    /// Brings the newest closed file to the disk. To be called before the points are.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let newest = self.closed()?.pop();
        if let Some((number, path)) = newest
            && self.synced != Some(number)
        {
            File::open(path)?.sync_all()?;
            durable::sync_directory(&self.directory)?;
            self.synced = Some(number);
        }
        Ok(())
    }

    /// Removes all closed files but the newest, and gives their room back at once although the engine still maps them.
    pub(super) fn trim(&self) -> io::Result<()> {
        let mut closed = self.closed()?;
        closed.pop();
        for (_, path) in closed {
            let file = OpenOptions::new().write(true).open(&path)?;
            let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
            // From the oldest on, so that what is left after a crash is still without gaps.
            fs::remove_file(&path)?;
            let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            if let Err(error) = fallocate(&file, hole, 0, length.max(1)) {
                // A file system that cannot do it gives the room back when the shard is closed.
                tracing::debug!(error = &error as &dyn std::error::Error, "cannot free a removed log file at once");
            }
        }
        Ok(())
    }

    /// The closed files with the number of their first entry, oldest first.
    fn closed(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut closed = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("closed-")).and_then(|text| text.parse().ok());
            if let Some(number) = number {
                closed.push((number, entry.path()));
            }
        }
        closed.sort_unstable();
        Ok(closed)
    }
}
