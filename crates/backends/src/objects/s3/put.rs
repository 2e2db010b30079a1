//! Writing an object.

use std::time::Duration;

use object_store::{MultipartUpload, ObjectStoreExt as _, PutResult, path::Path as Location};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit},
};
use vectrion_core::{
    Error, ErrorKind, Result,
    ports::objects::{ByteStream, ObjectKey, ObjectStore as _},
};

use super::{S3Objects, failure, repeated};
use crate::objects::{keys, part::Part};

/// Bytes up to which an object is gathered without further ado.
const SMALL_BYTES: usize = 1 << 20;
/// Bytes of a part of a large object. All but the last are of this size, as some services want it.
const PART_BYTES: usize = 8 << 20;

impl S3Objects {
    pub(super) async fn put_stream(&self, key: &ObjectKey, mut content: ByteStream) -> Result<u64> {
        let location = keys::location(key)?;
        let mut part = Part::default();
        let is_small = !part.fill(&mut content, SMALL_BYTES).await?;
        if is_small {
            return self.put_whole(&location, part).await;
        }
        let _room = place(&self.gathering).await?;
        if part.fill(&mut content, PART_BYTES).await? {
            self.put_in_parts(key, &location, part, content).await
        } else {
            self.put_whole(&location, part).await
        }
    }

    async fn put_whole(&self, location: &Location, mut part: Part) -> Result<u64> {
        let size = part.len() as u64;
        let _turn = if part.len() > SMALL_BYTES { Some(place(&self.sending).await?) } else { None };
        let bytes = part.take();
        repeated(|| self.store.put(location, bytes.clone())).await.map_err(failure::unavailable)?;
        Ok(size)
    }

    async fn put_in_parts(
        &self,
        key: &ObjectKey,
        location: &Location,
        mut part: Part,
        mut content: ByteStream,
    ) -> Result<u64> {
        let mut upload = self.begin(location).await?.map_err(failure::unavailable)?;
        let mut size = 0;
        while part.len() > 0 {
            size += part.len() as u64;
            // Not while the next part comes in: whoever sends slowly would keep the others waiting.
            let turn = place(&self.sending).await?;
            upload.inner()?.put_part(part.take()).await.map_err(failure::unavailable)?;
            drop(turn);
            part.fill(&mut content, PART_BYTES).await?;
        }
        match upload.complete().await? {
            Ok(completed) => self.verify(key, size, completed.e_tag.as_deref()).await?,
            Err(error @ object_store::Error::NotFound { .. }) => self.was_completed(key, size, error).await?,
            Err(error) => return Err(failure::unavailable(error)),
        }
        Ok(size)
    }

    /// Tells an upload that the service has completed from one that it has lost: it knows neither. The client repeats the
    /// request when the answer to the first is lost.
    async fn was_completed(&self, key: &ObjectKey, size: u64, error: object_store::Error) -> Result<()> {
        match self.facts(key).await {
            Ok(found) if found.size == size => Ok(()),
            Err(failed) if failed.kind() != ErrorKind::NotFound => Err(failed),
            Ok(_) | Err(_) => Err(failure::unavailable(error)),
        }
    }

    /// Looks whether what was put together is as long as what was sent. An object with another ETag is that of a call that
    /// came later, and replaced it.
    async fn verify(&self, key: &ObjectKey, size: u64, e_tag: Option<&str>) -> Result<()> {
        let found = self.facts(key).await?;
        let same = found.e_tag.as_deref().map(unquoted) == e_tag.map(unquoted);
        if !same || found.size == size {
            return Ok(());
        }
        self.delete(key).await?;
        let message = "the object store kept another number of bytes than it got";
        Err(Error::unavailable("OBJECT_TRUNCATED", message)
            .with_metadata("size_bytes", found.size.to_string())
            .with_metadata("expected_bytes", size.to_string()))
    }

    /// Begins a large object. In a task of its own, so that a call that is dropped now leaves no upload that nobody aborts.
    async fn begin(&self, location: &Location) -> Result<Result<Upload, object_store::Error>> {
        let (store, location) = (self.store.clone(), location.clone());
        let begun = tokio::spawn(async move { repeated(|| store.put_multipart(&location)).await.map(Upload::new) });
        begun.await.map_err(|error| {
            Error::internal("OBJECT_STORE_FAILED", "work on the object store ended early").with_source(error)
        })
    }
}

async fn place(places: &Semaphore) -> Result<SemaphorePermit<'_>> {
    let closed = |error| Error::internal("OBJECT_STORE_FAILED", "the object store is closed").with_source(error);
    places.acquire().await.map_err(closed)
}

/// Services differ in whether they quote.
fn unquoted(e_tag: &str) -> &str {
    e_tag.trim_matches('"')
}

/// Pauses before each abort of an upload, until the service does not know it any more.
const ABORT_PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(2)];

/// A multipart upload, which is aborted unless it is completed.
struct Upload(Option<Box<dyn MultipartUpload>>);

impl Upload {
    fn new(inner: Box<dyn MultipartUpload>) -> Self {
        Self(Some(inner))
    }

    fn inner(&mut self) -> Result<&mut dyn MultipartUpload> {
        match &mut self.0 {
            Some(inner) => Ok(inner.as_mut()),
            None => Err(Error::internal("OBJECT_STORE_FAILED", "the upload has ended")),
        }
    }

    async fn complete(mut self) -> Result<Result<PutResult, object_store::Error>> {
        let completed = self.inner()?.complete().await;
        // One that the service does not know has nothing to abort.
        if matches!(completed, Ok(_) | Err(object_store::Error::NotFound { .. })) {
            self.0 = None;
        }
        Ok(completed)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut upload) = self.0.take() else { return };
        // Without a runtime the process is ending, and the bucket's lifecycle rule does it.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            // A part that is still on its way may come after the first, and keeps some services from aborting at all.
            for pause in ABORT_PAUSES {
                tokio::time::sleep(pause).await;
                match upload.abort().await {
                    Ok(()) => {}
                    Err(object_store::Error::NotFound { .. }) => return,
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "cannot abort a multipart upload");
                    }
                }
            }
        });
    }
}
