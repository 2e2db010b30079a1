//! Opening a bucket.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use object_store::{ObjectStore as _, ObjectStoreExt as _, path::Path as Location, prefix::PrefixStore};
use tokio::{sync::Semaphore, time::timeout};
use vectrion_core::{Error, Result};

use super::{
    GATHERING, S3Objects, SENDING, failure, gone, repeated,
    settings::{Patience, S3Settings, bucket},
};

/// Time for finding out whether the bucket can be used.
const OPEN_WAIT: Duration = Duration::from_secs(10);
/// The object by which that is found out, below the prefix. It goes again at once.
const PROBE: &str = "probes/start";

impl S3Objects {
    /// Opens the bucket that the part of a URL after `s3:` names, and tries whether objects can be written, listed, read
    /// and removed.
    ///
    /// # Errors
    /// Each names its setting. `INVALID_ARGUMENT`, reason `INVALID_BACKEND_URL`; `FAILED_PRECONDITION` with reason
    /// `BUCKET_NOT_FOUND`, `OBJECT_STORE_REFUSED` (key, secret, rights, region) or `OBJECT_STORE_MISCONFIGURED`;
    /// `UNAVAILABLE`, reason `OBJECT_STORE_UNAVAILABLE`, when no service answers.
    pub async fn open(rest: &str, settings: &S3Settings) -> Result<Self> {
        let (bucket, prefix) = bucket(rest)?;
        let store = PrefixStore::new(settings.client(bucket, Patience::Working)?, prefix.clone());
        let objects = Self {
            store: Arc::new(store),
            asking: PrefixStore::new(settings.client(bucket, Patience::Asking)?, prefix.clone()),
            prober: settings.client(bucket, Patience::Probing)?,
            prefix,
            gathering: Semaphore::new(GATHERING),
            sending: Semaphore::new(SENDING),
            checked: Mutex::default(),
        };
        match timeout(OPEN_WAIT, objects.probe()).await {
            Ok(Ok(())) => Ok(objects),
            Ok(Err(error)) => Err(failure::unusable(error, bucket)),
            Err(late) => {
                let message = format!("objects.endpoint: no S3 service answered within {} s", OPEN_WAIT.as_secs());
                Err(Error::unavailable("OBJECT_STORE_UNAVAILABLE", message).with_source(late))
            }
        }
    }

    async fn probe(&self) -> Result<(), object_store::Error> {
        let prober = PrefixStore::new(self.prober.clone(), self.prefix.clone());
        let location = Location::from(PROBE);
        prober.put(&location, "vectrion".into()).await?;
        match prober.get_opts(&location, object_store::GetOptions::default()).await {
            // Another process that starts now may have removed it.
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        self.list_one().await?;
        gone(repeated(|| prober.delete(&location)).await)
    }
}
