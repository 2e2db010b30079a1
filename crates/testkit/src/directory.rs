//! Directories for tests.

use std::path::Path;

use tempfile::TempDir;

/// Free bytes that a file system in memory needs for the tests to use it: the vector index maps its files, and a page of
/// them that finds no room would kill the process.
const MIN_FREE: u64 = 2 << 30;

/// A directory that is removed when dropped: in memory where there is room, because durable writes make tests slow on a
/// disk, and what a killed process wrote is there all the same.
///
/// # Panics
/// When none can be made.
#[must_use]
pub fn temporary_directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let free = nix::sys::statvfs::statvfs(memory).map_or(0, |facts| facts.blocks_available() * facts.fragment_size());
    if free >= MIN_FREE
        && let Ok(directory) = tempfile::tempdir_in(memory)
    {
        return directory;
    }
    tempfile::tempdir().expect("a temporary directory")
}
