//! One process at a time in a directory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    thread,
    time::Duration,
};

use vectrion_core::{Error, Result};

/// The file that is locked.
pub(crate) const LOCK_FILE: &str = "lock";

/// Tries to take a lock, and the time between them. A process being started has the locks of the one that starts it for a
/// moment, until it runs its program: a lock that was just given back may still seem taken.
pub(crate) const TRIES: usize = 50;
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// A directory that no other process uses while this lives. The kernel gives it back when the process dies, whatever
/// way it dies.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Takes the directory, which must exist. Blocks for a second when it is taken.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION`, reason `DIRECTORY_IN_USE`; `UNAVAILABLE`, reason `STORAGE_UNAVAILABLE`.
    pub(crate) fn acquire(directory: &Path) -> Result<Self> {
        let unavailable = |error: std::io::Error| {
            Error::unavailable("STORAGE_UNAVAILABLE", format!("{} cannot be locked", directory.display()))
                .with_source(error)
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join(LOCK_FILE))
            .map_err(unavailable)?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file }),
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(unavailable(error)),
            }
        }
        Err(Error::precondition(
            "DIRECTORY_IN_USE",
            format!(
                "{} is in use by another process: stop that one, or give this one a directory of its own",
                directory.display()
            ),
        ))
    }

    /// Gives the directory back before this is dropped.
    #[cfg(feature = "edge")]
    pub(crate) fn release(&self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot unlock a directory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once_and_free_again_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::acquire(dir.path()).unwrap();
        assert_eq!(DirectoryLock::acquire(dir.path()).expect_err("taken").reason(), "DIRECTORY_IN_USE");
        drop(lock);
        DirectoryLock::acquire(dir.path()).unwrap();
    }
}
