//! Objects in a bucket of an S3 service.

mod failure;
mod open;
mod put;
mod settings;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _,
    aws::AmazonS3,
    list::{PaginatedListOptions, PaginatedListStore as _},
    path::Path as Location,
    prefix::PrefixStore,
};
use tokio::sync::Semaphore;
use vectrion_core::{
    Error, Result,
    ports::objects::{ByteStream, ObjectInfo, ObjectKey, ObjectStore},
};

pub use self::settings::S3Settings;
use super::{keys, whole};

/// Time for which a bucket that could be listed counts as usable: every upload and every job asks.
const CHECKED_FOR: Duration = Duration::from_secs(2);
/// Tries of a request that fails within a while, and the pause after the first, which grows.
const TRIES: u32 = 3;
const AT_ONCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
/// Objects that are listed and removed at once, as many as one request can.
const DELETE_PAGE: usize = 1000;
/// Large objects that are taken in at once, each with a part of up to 8 MiB in memory, as slowly as its bytes come.
const GATHERING: usize = 256;
/// Parts of them that are sent at once.
const SENDING: usize = 32;

/// Objects below a prefix of a bucket. Several installations share a bucket by different prefixes, several processes of
/// one installation share all.
///
/// An object of up to 8 MiB is written in one request, a larger one as a multipart upload that is completed at its end
/// and aborted if it is given up; a bucket's lifecycle rule should abort those that a killed process left. Every request
/// that writes carries the SHA-256 of its bytes, by which the service refuses what was changed on the way; the length of a
/// large object is looked at when it is complete. What was cut while it was read is read on from there, and is an error if
/// that does not succeed. A request that fails for now (5xx, 429, a broken connection, silence) is tried again for up to
/// twenty seconds.
///
/// A `put` that is dropped or fails while its last request is on its way may have written the object: no client can know.
pub struct S3Objects {
    store: Arc<PrefixStore<AmazonS3>>,
    /// The same with less patience, for requests that carry no object.
    asking: PrefixStore<AmazonS3>,
    /// The same bucket with less patience, to see whether it can be used.
    prober: AmazonS3,
    prefix: Location,
    gathering: Semaphore,
    sending: Semaphore,
    checked: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for S3Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Objects").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl S3Objects {
    /// Lists at most one object: what a store that can be used does at once.
    async fn list_one(&self) -> Result<(), object_store::Error> {
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let prefix = Some(self.prefix.as_ref()).filter(|prefix| !prefix.is_empty());
        repeated(|| self.prober.list_paginated(prefix, options.clone())).await.map(drop)
    }

    async fn facts(&self, key: &ObjectKey) -> Result<object_store::ObjectMeta> {
        let location = keys::location(key)?;
        repeated(|| self.asking.head(&location)).await.map_err(|error| failure::failed(error, key))
    }
}

/// Makes a request that may be made again, a few times if it fails at once and without an answer. The client repeats none
/// over a connection that broke before it knew whether the request was sent, and no deletion at all, which by protocol is a
/// POST.
async fn repeated<T, F>(request: impl Fn() -> F) -> Result<T, object_store::Error>
where
    F: Future<Output = Result<T, object_store::Error>>,
{
    let (mut tries, began) = (0, Instant::now());
    loop {
        tries += 1;
        match request().await {
            Err(error) if failure::is_unanswered(&error) && tries < TRIES && began.elapsed() < AT_ONCE => {
                tokio::time::sleep(PAUSE * tries).await;
            }
            ended => return ended,
        }
    }
}

/// What is not there was removed.
fn gone(removed: Result<(), object_store::Error>) -> Result<(), object_store::Error> {
    match removed {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        removed => removed,
    }
}

#[async_trait]
impl ObjectStore for S3Objects {
    async fn put(&self, key: &ObjectKey, content: ByteStream) -> Result<u64> {
        self.put_stream(key, content).await
    }

    async fn get(&self, key: &ObjectKey, offset: u64) -> Result<ByteStream> {
        let location = keys::location(key)?;
        let failed = |error| failure::failed(error, key);
        let mut options = GetOptions::default();
        if offset > 0 {
            // A range that begins beyond the end is an error of the service and none of ours.
            let facts = self.facts(key).await?;
            if offset >= facts.size {
                return Ok(stream::empty().boxed());
            }
            options.range = Some(GetRange::Offset(offset));
            options.if_match = facts.e_tag;
        }
        let found = repeated(|| self.store.get_opts(&location, options.clone())).await.map_err(failed)?;
        let expected = found.range.end - found.range.start;
        let key = key.clone();
        let bytes = found.into_stream().map_err(move |error| failure::failed(error, &key));
        Ok(whole::whole(bytes.boxed(), expected, || {
            Error::unavailable("OBJECT_TRUNCATED", "the object store sent another number of bytes than it said")
        }))
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo> {
        Ok(ObjectInfo { key: key.clone(), size: self.facts(key).await?.size })
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        let location = keys::location(key)?;
        gone(repeated(|| self.asking.delete(&location)).await).map_err(|error| failure::failed(error, key))
    }

    async fn delete_prefix(&self, prefix: &ObjectKey) -> Result<u64> {
        let (mut count, mut after) = (0, None);
        loop {
            let found = self.walk(prefix, after.as_ref(), DELETE_PAGE).await?;
            let locations: Vec<_> = found.iter().map(|object| keys::location(&object.key)).collect::<Result<_>>()?;
            let remove = || async {
                let locations = stream::iter(locations.clone()).map(Ok).boxed();
                let removed = self.asking.delete_stream(locations).map(|removed| gone(removed.map(drop)));
                removed.try_for_each(|()| std::future::ready(Ok(()))).await
            };
            repeated(remove).await.map_err(|error| failure::failed(error, prefix))?;
            count += found.len() as u64;
            if found.len() < DELETE_PAGE {
                return Ok(count);
            }
            after = found.into_iter().last().map(|object| object.key);
        }
    }

    async fn list(&self, prefix: &ObjectKey) -> Result<Vec<ObjectInfo>> {
        let mut objects = self.walk(prefix, None, usize::MAX).await?;
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    async fn walk(&self, prefix: &ObjectKey, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>> {
        let directory = keys::directory(prefix)?;
        let beyond = |key: &str| key.starts_with(prefix.as_str()) && after.is_none_or(|after| key > after.as_str());
        let walked = || {
            let found = match after {
                // A mark in the order of keys, not the key of an object: it is not checked as one.
                Some(after) => self.asking.list_with_offset(Some(&directory), &Location::from(after.as_str())),
                None => self.asking.list(Some(&directory)),
            };
            found
                .try_filter(|found| std::future::ready(beyond(found.location.as_ref())))
                .map_ok(|found| ObjectInfo { key: ObjectKey::from_listing(found.location.into()), size: found.size })
                .take(limit)
                .try_collect()
        };
        repeated(walked).await.map_err(|error| failure::failed(error, prefix))
    }

    async fn check(&self) -> Result<()> {
        let is_fresh = |at: &Option<Instant>| at.is_some_and(|at| at.elapsed() < CHECKED_FOR);
        if is_fresh(&self.checked.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        self.list_one().await.map_err(failure::unavailable)?;
        *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }
}
