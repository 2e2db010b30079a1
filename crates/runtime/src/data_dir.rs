//! The data directory: one process at a time, its key material, its scratch space.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// What can go wrong with the data directory.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process works in it.
    #[error("the data directory {0} is in use by another process: stop that one, or give another --data-dir")]
    InUse(PathBuf),
    /// A file or directory cannot be made or read.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The pepper is too short to be a key.
    #[error("{0} holds less than 32 bytes: restore it from a backup; without it no API key can be checked")]
    ShortPepper(PathBuf),
}

/// A data directory that this process alone works in, until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory (mode 0700) if it is not there, and takes its lock. The kernel frees the lock when the process
    /// ends, however it ends.
    ///
    /// # Errors
    /// [`DataDirError::InUse`], or the directory cannot be used.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| DataDirError::Io { path: path.to_owned(), source })?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|source| DataDirError::Io { path: lock_path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(DataDirError::Io { path: lock_path, source }),
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Space for temporary files, emptied at every start.
    ///
    /// # Errors
    /// The directory cannot be emptied or made.
    pub fn scratch(&self) -> Result<PathBuf, DataDirError> {
        let path = self.path.join("scratch");
        let made = match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => fs::DirBuilder::new().recursive(true).mode(0o700).create(&path),
        };
        made.map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        Ok(path)
    }

    /// The key of the HMAC under which API keys are stored, made by `random` at the first start.
    ///
    /// # Errors
    /// The file cannot be read or written, or is too short.
    pub fn pepper(&self, random: impl FnOnce() -> [u8; 32]) -> Result<Vec<u8>, DataDirError> {
        let path = self.path.join("pepper");
        match fs::read(&path) {
            Ok(pepper) if pepper.len() >= 32 => Ok(pepper),
            Ok(_) => Err(DataDirError::ShortPepper(path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let pepper = random().to_vec();
                write_secret(&path, &pepper)?;
                Ok(pepper)
            }
            Err(source) => Err(DataDirError::Io { path, source }),
        }
    }

    /// Where the operator's first key is kept for the command line.
    #[must_use]
    pub fn admin_key_path(&self) -> PathBuf {
        admin_key_path(&self.path)
    }

    /// The operator's first key, if it is there.
    #[must_use]
    pub fn admin_key(&self) -> Option<String> {
        read_admin_key(&self.path)
    }

    /// Keeps the operator's first key, mode 0600.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_admin_key(&self, secret: &str) -> Result<(), DataDirError> {
        write_secret(&self.admin_key_path(), format!("{secret}\n").as_bytes())
    }

    /// Removes a key that turned out not to be one.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove_admin_key(&self) -> Result<(), DataDirError> {
        let path = self.admin_key_path();
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(DataDirError::Io { path, source }),
            _ => Ok(()),
        }
    }
}

/// Where the operator's first key of a data directory is kept.
#[must_use]
pub fn admin_key_path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.key")
}

/// The operator's first key of a data directory, if there is one.
#[must_use]
pub fn read_admin_key(data_dir: &Path) -> Option<String> {
    let text = fs::read_to_string(admin_key_path(data_dir)).ok()?;
    Some(text.trim().to_owned()).filter(|secret| !secret.is_empty())
}

/// Writes a file of mode 0600 that is either whole or not there, and survives a power cut.
fn write_secret(path: &Path, content: &[u8]) -> Result<(), DataDirError> {
    let failed = |source| DataDirError::Io { path: path.to_owned(), source };
    let temporary = path.with_extension("new");
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary).map_err(failed)?;
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    if let Some(parent) = path.parent() {
        File::open(parent).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_refused_until_the_first_ends() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err();
        assert!(matches!(error, DataDirError::InUse(_)), "{error}");
        drop(first);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn secrets_are_private_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let pepper = data.pepper(|| [7; 32]).unwrap();
        assert_eq!(data.pepper(|| [8; 32]).unwrap(), pepper);
        data.write_admin_key("vk_x").unwrap();
        assert_eq!(data.admin_key().as_deref(), Some("vk_x"));
        for name in ["pepper", "admin.key"] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        fs::write(dir.path().join("pepper"), b"short").unwrap();
        assert!(matches!(data.pepper(|| [9; 32]), Err(DataDirError::ShortPepper(_))));
    }

    #[test]
    fn scratch_is_empty_at_each_start() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let scratch = data.scratch().unwrap();
        fs::write(scratch.join("left-over"), b"x").unwrap();
        let scratch = data.scratch().unwrap();
        assert_eq!(fs::read_dir(scratch).unwrap().count(), 0);
    }
}
