//! Changes to directories that survive the loss of power.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use vectrion_core::{Error, Result};

/// Waits until the entries of a directory are on the disk.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Waits until the file system of a directory is on the disk.
#[cfg(feature = "edge")]
pub(crate) fn sync_file_system(directory: &Path) -> io::Result<()> {
    nix::unistd::syncfs(File::open(directory)?).map_err(io::Error::from)
}

/// Waits until the entries of the closest ancestor of `path` that exists are on the disk, up to `root`.
pub(crate) fn sync_closest_directory(path: &Path, root: &Path) -> io::Result<()> {
    let mut directory = path;
    loop {
        match sync_directory(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory != root => match directory.parent() {
                Some(parent) => directory = parent,
                None => return Err(error),
            },
            other => return other,
        }
    }
}

/// Makes a directory with its ancestors, each durable.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        create_directory(parent)?;
        match fs::create_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            other => other?,
        }
        sync_directory(parent)?;
    }
    Ok(())
}

/// Writes a file whole or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = path.with_extension("new");
    let mut file = File::create(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Removes a directory with all that is in it, if it is there.
pub(crate) fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes the root directory of a store.
///
/// # Errors
/// `UNAVAILABLE`, reason `STORAGE_UNAVAILABLE`.
pub(crate) fn create_root(key: &'static str, directory: &Path) -> Result<()> {
    create_directory(directory).map_err(|error| {
        Error::unavailable(
            "STORAGE_UNAVAILABLE",
            format!("{key}: the directory {} cannot be made or read", directory.display()),
        )
        .with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_files_are_made_and_removed_again_any_number_of_times() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        for _ in 0..2 {
            create_directory(&deep).unwrap();
        }
        let file = deep.join("manifest.json");
        write_file(&file, b"one").unwrap();
        write_file(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 1, "no staged file is left");
        for _ in 0..2 {
            remove_directory(&dir.path().join("a/b")).unwrap();
        }
        sync_closest_directory(&deep, dir.path()).unwrap();
    }
}
