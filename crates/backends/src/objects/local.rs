//! Objects on a local disk.

mod leftovers;
mod put;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    collections::HashMap,
    io::SeekFrom,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    GetOptions, GetResultPayload, ObjectStore as _, ObjectStoreExt as _, local::LocalFileSystem, path::Path as Location,
};
use serde::Deserialize;
use tokio::io::AsyncSeekExt;
use tokio_util::io::ReaderStream;
use vectrion_core::{
    Error, ErrorKind, Result,
    ports::objects::{ByteStream, ObjectInfo, ObjectKey, ObjectStore},
};

use super::{failure, keys, whole};
use crate::{
    directory_lock::DirectoryLock,
    durable,
    free_space::{DEFAULT_MIN_FREE_BYTES, FreeSpace},
};

/// Bytes that are read from the disk at once.
const READ_BYTES: usize = 256 << 10;

/// Settings of the store on a local disk.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalSettings {
    /// Free bytes of the file system below which nothing more is stored.
    pub min_free_bytes: u64,
}

impl Default for LocalSettings {
    fn default() -> Self {
        Self { min_free_bytes: DEFAULT_MIN_FREE_BYTES }
    }
}

/// Objects as files in a directory that no other process uses, the key being the path.
///
/// An object is written to a file beside its own (`<name>#<number>`), synced, renamed, and its directory synced; a
/// listing never shows such files, and those that a killed process left are removed when the store is opened. Directories
/// that become empty are removed.
#[derive(Debug)]
pub struct LocalObjects {
    store: Arc<LocalFileSystem>,
    space: FreeSpace,
    /// How many calls write each object now.
    writing: Mutex<HashMap<Location, usize>>,
    _lock: DirectoryLock,
}

impl LocalObjects {
    /// Opens the store in `directory`, which is made if it is not there, and removes what a killed process left half
    /// written. Blocks; walks all names in the store (about a second for 200,000 objects).
    ///
    /// # Errors
    /// `FAILED_PRECONDITION`, reason `DIRECTORY_IN_USE`, when another process has it; `UNAVAILABLE`, reason
    /// `STORAGE_UNAVAILABLE`, when it cannot be made or read.
    pub fn open(directory: impl Into<PathBuf>, settings: &LocalSettings) -> Result<Self> {
        let directory = directory.into();
        durable::create_root(super::KEY, &directory)?;
        let lock = DirectoryLock::acquire(&directory)?;
        let unavailable = || {
            Error::unavailable("STORAGE_UNAVAILABLE", format!("the objects in {} cannot be read", directory.display()))
        };
        let removed = leftovers::remove(&directory).map_err(|error| unavailable().with_source(error))?;
        if removed > 0 {
            tracing::info!(removed, directory = %directory.display(), "removed objects that were never completed");
        }
        let store = LocalFileSystem::new_with_prefix(&directory)
            .map_err(|error| unavailable().with_source(error))?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        Ok(Self {
            store: Arc::new(store),
            space: FreeSpace::new(directory, settings.min_free_bytes),
            writing: Mutex::default(),
            _lock: lock,
        })
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.space.directory()
    }

    fn path(&self, location: &Location) -> Result<PathBuf> {
        self.store
            .path_to_filesystem(location)
            .map_err(|error| Error::internal("OBJECT_STORE_FAILED", "a key has no path").with_source(error))
    }

    /// Removes one object; whether it was there.
    async fn remove(&self, key: &ObjectKey) -> Result<bool> {
        match self.store.delete(&keys::location(key)?).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failure::failed(error, key, &self.space)),
        }
    }

    /// Makes removals at and below `location` durable, and removes the directory if nothing is left in it.
    async fn sync_removal(&self, location: &Location) -> Result<()> {
        let (path, root) = (self.path(location)?, self.directory().to_owned());
        let synced = blocking(move || {
            leftovers::remove_empty_directories(&path, &root);
            durable::sync_closest_directory(&path, &root)
        });
        synced.await?.map_err(|error| {
            Error::unavailable("OBJECT_STORE_UNAVAILABLE", "a removal could not be made durable").with_source(error)
        })
    }
}

/// Runs file operations where they may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::internal("OBJECT_STORE_FAILED", "work on the object store ended early").with_source(error)
    })
}

#[async_trait]
impl ObjectStore for LocalObjects {
    async fn put(&self, key: &ObjectKey, content: ByteStream) -> Result<u64> {
        self.put_stream(key, content).await
    }

    async fn get(&self, key: &ObjectKey, offset: u64) -> Result<ByteStream> {
        let location = keys::location(key)?;
        let failed = |error| failure::failed(error, key, &self.space);
        let found = self.store.get_opts(&location, GetOptions::default()).await.map_err(failed)?;
        let size = found.meta.size;
        if offset >= size {
            return Ok(stream::empty().boxed());
        }
        let unreadable = |error: std::io::Error| {
            Error::unavailable("OBJECT_STORE_UNAVAILABLE", "the object cannot be read").with_source(error)
        };
        let GetResultPayload::File(file, _) = found.payload else {
            return Err(Error::internal("OBJECT_STORE_FAILED", "a local object is not a file"));
        };
        let mut file = tokio::fs::File::from_std(file);
        file.set_max_buf_size(READ_BYTES);
        file.seek(SeekFrom::Start(offset)).await.map_err(unreadable)?;
        let bytes = ReaderStream::with_capacity(file, READ_BYTES).map_err(unreadable);
        Ok(whole::whole(bytes.boxed(), size - offset, || {
            // A file that was cut behind our back.
            Error::new(ErrorKind::DataLoss, "OBJECT_DAMAGED", "the object changed its length while it was read")
        }))
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo> {
        let found =
            self.store.head(&keys::location(key)?).await.map_err(|error| failure::failed(error, key, &self.space))?;
        Ok(ObjectInfo { key: key.clone(), size: found.size })
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        if self.remove(key).await? {
            self.sync_removal(&keys::location(key)?).await?;
        }
        Ok(())
    }

    async fn delete_prefix(&self, prefix: &ObjectKey) -> Result<u64> {
        let mut removed = 0;
        for object in self.list(prefix).await? {
            removed += u64::from(self.remove(&object.key).await?);
        }
        // Also when nothing was found: an earlier call may have removed objects and died before it came to this.
        self.sync_removal(&keys::directory(prefix)?).await?;
        Ok(removed)
    }

    async fn list(&self, prefix: &ObjectKey) -> Result<Vec<ObjectInfo>> {
        let mut objects: Vec<ObjectInfo> = self
            .store
            .list(Some(&keys::directory(prefix)?))
            .try_filter(|found| std::future::ready(found.location.as_ref().starts_with(prefix.as_str())))
            .map_ok(|found| ObjectInfo { key: ObjectKey::from_listing(found.location.into()), size: found.size })
            .try_collect()
            .await
            .map_err(|error| failure::failed(error, prefix, &self.space))?;
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    async fn walk(&self, prefix: &ObjectKey, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>> {
        let directory = keys::directory(prefix)?;
        let path = self.path(&directory)?;
        let (prefix_text, after) = (prefix.as_str().to_owned(), after.map(|after| after.as_str().to_owned()));
        let walking = blocking(move || {
            walk::page(
                &path,
                directory.as_ref(),
                &walk::Wanted { prefix: &prefix_text, after: after.as_deref(), limit },
            )
        });
        walking.await?.map_err(|error| {
            Error::unavailable("OBJECT_STORE_UNAVAILABLE", "the objects cannot be listed").with_source(error)
        })
    }

    async fn check(&self) -> Result<()> {
        let space = self.space.clone();
        blocking(move || space.require(0)).await?
    }
}
