//! The floor of free disk space below which nothing more is written.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use vectrion_core::{Error, ErrorKind, Result};

/// Free bytes that are kept unless a setting says otherwise: 512 MiB.
pub const DEFAULT_MIN_FREE_BYTES: u64 = 512 << 20;

/// Watches the free space of the file system that holds a directory.
///
/// A vector index that maps its files into memory is killed by the kernel when a page of them finds no room on the disk,
/// and a database in the same file system needs room to record a failure: so writing stops while there is some left.
#[derive(Clone, Debug)]
pub struct FreeSpace {
    directory: PathBuf,
    floor: u64,
}

impl FreeSpace {
    /// Watches the file system of `directory`, which must exist, and keeps `floor` bytes free.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, floor: u64) -> Self {
        Self { directory: directory.into(), floor }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Bytes that this process may still write.
    ///
    /// # Errors
    /// `UNAVAILABLE`, reason `STORAGE_UNAVAILABLE`, when the file system cannot be asked.
    pub fn available(&self) -> Result<u64> {
        let facts = statvfs(&self.directory).map_err(|error| {
            Error::unavailable(
                "STORAGE_UNAVAILABLE",
                format!("the file system of {} cannot be read", self.directory.display()),
            )
            .with_source(error)
        })?;
        if facts.flags().contains(FsFlags::ST_RDONLY) {
            return Err(Error::unavailable(
                "STORAGE_UNAVAILABLE",
                format!("the file system of {} is mounted read-only", self.directory.display()),
            ));
        }
        // The types of these fields differ between platforms.
        #[expect(clippy::useless_conversion, reason = "u32 on some platforms")]
        Ok(u64::from(facts.blocks_available()).saturating_mul(u64::from(facts.fragment_size())))
    }

    /// Refuses when `more` bytes would leave less than the floor.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`, reason `STORAGE_FULL`; `UNAVAILABLE`, reason `STORAGE_UNAVAILABLE`.
    pub fn require(&self, more: u64) -> Result<()> {
        self.require_above(self.floor, more)
    }

    /// Refuses when `more` bytes would leave less than a quarter of the floor: for work that frees space in the end, such
    /// as deletions, and must stay possible when the disk is full.
    ///
    /// # Errors
    /// As [`FreeSpace::require`].
    pub fn require_to_clean_up(&self, more: u64) -> Result<()> {
        self.require_above(self.floor / 4, more)
    }

    fn require_above(&self, floor: u64, more: u64) -> Result<()> {
        let available = self.available()?;
        if available >= floor.saturating_add(more) {
            return Ok(());
        }
        Err(self.full().with_metadata("available_bytes", available.to_string()))
    }

    /// The error for a disk that is full, or as good as full.
    #[must_use]
    pub fn full(&self) -> Error {
        Error::new(
            ErrorKind::ResourceExhausted,
            "STORAGE_FULL",
            "the server's disk is full: free some space on it, then try again",
        )
        .with_metadata("floor_bytes", self.floor.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_below_the_floor_and_lets_cleaning_up_go_on_longer() {
        let dir = tempfile::tempdir().unwrap();
        let available = FreeSpace::new(dir.path(), 0).available().unwrap();
        assert!(available > 0);
        FreeSpace::new(dir.path(), 0).require(0).unwrap();

        let nearly_full = FreeSpace::new(dir.path(), available.saturating_mul(2));
        let error = nearly_full.require(0).expect_err("below the floor");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::ResourceExhausted, "STORAGE_FULL"));
        assert!(error.is_transient(), "the work may go on once there is room again");
        nearly_full.require_to_clean_up(0).unwrap();
        FreeSpace::new(dir.path(), u64::MAX).require_to_clean_up(0).expect_err("as good as full");
        FreeSpace::new(dir.path(), 0).require(u64::MAX).expect_err("more than there is");
    }

    #[test]
    fn a_missing_directory_is_unavailable() {
        let dir = tempfile::tempdir().unwrap();
        let error = FreeSpace::new(dir.path().join("gone"), 0).require(0).expect_err("no such directory");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "STORAGE_UNAVAILABLE"));
    }
}
