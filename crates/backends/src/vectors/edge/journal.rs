//! What a process tells the next one in case it dies.
//!
//! The engine (0.7.2) replays nothing when a shard is loaded, and two things can go wrong by that:
//!
//! - While it optimises a shard, a point that is removed from the segments being optimised is only marked in memory, flush
//!   or no flush, until the new segment takes their place. So the ids removed meanwhile are kept in a file beside the
//!   segments, and removed again by the next process.
//! - A point that moves from one segment to another, and every point at the end of an optimisation, is in both for a
//!   moment. A process that finds the file looks for points that are there twice.
//!
//! The file is made before the first change and removed when the shard is closed.

use std::{
    collections::BTreeSet,
    fs, io, mem,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::durable;

const FILE: &str = "changing.json";

#[derive(Default, Serialize, Deserialize)]
struct Content {
    removed: BTreeSet<Uuid>,
}

/// The file of a shard that is being changed.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    removed: BTreeSet<Uuid>,
    is_optimizing: bool,
    is_saved: bool,
}

impl Journal {
    /// Begins, durably: from now on the shard in `shard` is known to be changing.
    pub(super) fn begin(shard: &Path) -> io::Result<Self> {
        let mut journal =
            Self { path: shard.join(FILE), removed: BTreeSet::new(), is_optimizing: false, is_saved: false };
        journal.save()?;
        Ok(journal)
    }

    /// What a process that died left in `shard`: the points that it removed, or none when it closed the shard.
    pub(super) fn left_behind(shard: &Path) -> io::Result<Option<BTreeSet<Uuid>>> {
        match fs::read(shard.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(bytes) => Ok(Some(serde_json::from_slice::<Content>(&bytes).map_err(io::Error::from)?.removed)),
        }
    }

    /// Ends, durably: everything is flushed.
    pub(super) fn end(self) -> io::Result<()> {
        durable::remove_file(&self.path)
    }

    /// From now on removals are noted.
    pub(super) fn begin_optimizing(&mut self) {
        self.is_optimizing = true;
    }

    /// Whether the shard is being optimised.
    pub(super) fn is_optimizing(&self) -> bool {
        self.is_optimizing
    }

    /// The optimisation is over, and what was removed meanwhile is flushed.
    pub(super) fn end_optimizing(&mut self) -> io::Result<()> {
        self.is_optimizing = false;
        self.is_saved &= self.removed.is_empty();
        self.removed.clear();
        self.save()
    }

    /// The optimisation is over, and what was removed meanwhile is still to be removed.
    pub(super) fn keep_removed(&mut self) -> io::Result<()> {
        self.is_optimizing = false;
        self.save()
    }

    /// Takes note of removed points.
    pub(super) fn add(&mut self, ids: impl IntoIterator<Item = Uuid>) {
        if self.is_optimizing {
            let before = self.removed.len();
            self.removed.extend(ids);
            self.is_saved &= self.removed.len() == before;
        }
    }

    /// Takes note of points that were written again.
    pub(super) fn revive(&mut self, ids: impl IntoIterator<Item = Uuid>) {
        for id in ids {
            self.is_saved &= !self.removed.remove(&id);
        }
    }

    /// The points that are removed.
    pub(super) fn removed(&self) -> &BTreeSet<Uuid> {
        &self.removed
    }

    /// Makes the notes durable.
    pub(super) fn save(&mut self) -> io::Result<()> {
        if !self.is_saved {
            let content = Content { removed: mem::take(&mut self.removed) };
            let bytes = serde_json::to_vec(&content).map_err(io::Error::from);
            self.removed = content.removed;
            durable::write_file(&self.path, &bytes?)?;
            self.is_saved = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_while_optimising_and_not_revived_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let left_behind = || Journal::left_behind(dir.path()).unwrap();
        assert_eq!(left_behind(), None);
        let [a, b, c, d] = [1, 2, 3, 4].map(Uuid::from_u128);
        let mut journal = Journal::begin(dir.path()).unwrap();
        assert_eq!(left_behind(), Some(BTreeSet::new()), "that it changes is durable");
        journal.add([d]);
        journal.begin_optimizing();
        journal.add([a, b, c]);
        journal.revive([b]);
        journal.save().unwrap();
        assert_eq!(left_behind(), Some(BTreeSet::from([a, c])));
        journal.revive([a]);
        journal.save().unwrap();
        assert_eq!(left_behind(), Some(BTreeSet::from([c])));
        journal.end_optimizing().unwrap();
        assert_eq!(left_behind(), Some(BTreeSet::new()));
        journal.end().unwrap();
        assert_eq!(left_behind(), None);
    }
}
