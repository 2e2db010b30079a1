//! Writing an object.

use std::{future::Future, path::PathBuf, sync::PoisonError};

use object_store::{Error as StoreError, MultipartUpload, ObjectStoreExt as _, path::Path as Location};
use vectrion_core::{
    Result,
    ports::objects::{ByteStream, ObjectKey},
};

use super::{LocalObjects, blocking, leftovers};
use crate::objects::{failure, keys, part::Part};

/// Bytes that are gathered before they are written; an object of fewer is written in one step.
const PART_BYTES: usize = 1 << 20;

/// Tries to begin an object whose directory another call removes because it is empty.
const DIRECTORY_TRIES: usize = 5;

impl LocalObjects {
    pub(super) async fn put_stream(&self, key: &ObjectKey, mut content: ByteStream) -> Result<u64> {
        let location = keys::location(key)?;
        self.space.require(0)?;
        let mut part = Part::default();
        let is_large = part.fill(&mut content, PART_BYTES).await?;

        let writing = Writing::begin(self, &location)?;
        let outcome = if is_large {
            self.put_in_parts(key, &location, part, content).await
        } else {
            self.put_whole(key, &location, part).await
        };
        if outcome.is_err() {
            writing.clean_up().await?;
        }
        outcome
    }

    /// Writes an object that is in memory.
    async fn put_whole(&self, key: &ObjectKey, location: &Location, mut part: Part) -> Result<u64> {
        let size = part.len() as u64;
        self.space.require(size)?;
        let payload = part.take();
        retry_missing_directory(|| self.store.put(location, payload.clone()))
            .await
            .map_err(|error| failure::failed(error, key, &self.space))?;
        Ok(size)
    }

    /// Writes an object as it comes. Dropping the upload, as every way out but the last does, removes what was written.
    async fn put_in_parts(
        &self,
        key: &ObjectKey,
        location: &Location,
        mut part: Part,
        mut content: ByteStream,
    ) -> Result<u64> {
        let failed = |error| failure::failed(error, key, &self.space);
        let mut upload = retry_missing_directory(|| self.begin(location)).await.map_err(failed)?;
        let mut size = 0;
        while part.len() > 0 {
            size += part.len() as u64;
            let written = match self.space.require(part.len() as u64) {
                Ok(()) => upload.put_part(part.take()).await.map_err(failed),
                Err(error) => Err(error),
            };
            let filled = match written {
                Ok(()) => part.fill(&mut content, PART_BYTES).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = filled {
                // What is left when this fails too is removed by the caller, or when the store is opened again.
                if let Err(abort) = upload.abort().await {
                    tracing::warn!(error = &abort as &dyn std::error::Error, "cannot remove a half written object");
                }
                return Err(error);
            }
        }
        upload.complete().await.map_err(failed)?;
        Ok(size)
    }

    /// Begins a large object. The store makes and syncs directories in this call, so it runs where it may block.
    async fn begin(&self, location: &Location) -> Result<Box<dyn MultipartUpload>, StoreError> {
        let (store, location) = (self.store.clone(), location.clone());
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || runtime.block_on(store.put_multipart(&location))).await?
    }
}

/// Tries again while the directory of the object vanishes: the removal of another object's empty directories may take it
/// away between its making and its use.
async fn retry_missing_directory<T, F: Future<Output = Result<T, StoreError>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, StoreError> {
    for _ in 1..DIRECTORY_TRIES {
        match attempt().await {
            Err(error) if failure::is_missing_path(&error) => {}
            other => return other,
        }
    }
    attempt().await
}

/// A call that writes an object now.
struct Writing<'a> {
    objects: &'a LocalObjects,
    location: Location,
    path: PathBuf,
}

impl<'a> Writing<'a> {
    fn begin(objects: &'a LocalObjects, location: &Location) -> Result<Self> {
        let path = objects.path(location)?;
        let mut writing = objects.writing.lock().unwrap_or_else(PoisonError::into_inner);
        *writing.entry(location.clone()).or_default() += 1;
        drop(writing);
        Ok(Self { objects, location: location.clone(), path })
    }

    /// Removes what a failed call left, as far as no other call writes the same object.
    async fn clean_up(self) -> Result<()> {
        let alone = {
            let writing = self.objects.writing.lock().unwrap_or_else(PoisonError::into_inner);
            writing.get(&self.location) == Some(&1)
        };
        let (path, root) = (self.path.clone(), self.objects.directory().to_owned());
        blocking(move || {
            if alone && let Err(error) = leftovers::remove_of(&path) {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot remove a half written object");
            }
            if let Some(directory) = path.parent() {
                leftovers::remove_empty_directories(directory, &root);
            }
        })
        .await
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut writing = self.objects.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(calls) = writing.get_mut(&self.location) {
            *calls -= 1;
            if *calls == 0 {
                writing.remove(&self.location);
            }
        }
    }
}
