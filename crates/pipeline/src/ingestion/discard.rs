//! Removing what an upload left behind.

use std::sync::Arc;

use tracing::Instrument as _;
use vectrion_core::{
    Result,
    ports::{objects::ObjectKey, uploads::Upload},
};

use crate::Ports;

/// Tries to expire an upload whose size is moved by other calls meanwhile.
const EXPIRE_TRIES: u32 = 5;

/// Gives an upload up: nobody can admit it any more, and its bytes and its row are removed. One that has ended already,
/// by becoming a document or otherwise, is left alone.
///
/// It expires first, in the database, where admissions happen: so no document can come to be whose bytes are removed
/// here. What a crash leaves is found by its row.
pub(super) async fn give_up(ports: &Ports, upload: &Upload) -> Result<()> {
    let mut committed = upload.committed;
    for _ in 0..EXPIRE_TRIES {
        match ports.uploads.advance_upload(upload.tenant, upload.id, committed, committed, 0).await {
            Ok(()) => return remove_dead(ports, upload).await,
            Err(error) if error.reason() == "UPLOAD_NOT_FOUND" => return Ok(()),
            Err(error) if error.reason() == "UPLOAD_CONFLICT" => {
                let Some(now) = ports.uploads.upload(upload.tenant, upload.id).await? else { return Ok(()) };
                committed = now.committed;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes bytes and row of an upload that cannot become a document any more, the row last.
pub(crate) async fn remove_dead(ports: &Ports, upload: &Upload) -> Result<()> {
    ports.objects.delete_prefix(&ObjectKey::upload_prefix(upload.tenant, upload.id)).await?;
    ports.objects.delete_prefix(&ObjectKey::version_prefix(upload.tenant, upload.version_id)).await?;
    ports.uploads.remove_upload(upload.tenant, upload.id).await
}

/// Gives an upload in one call up when its call ends without a document, or is dropped.
pub(super) struct Abandoned {
    ports: Arc<Ports>,
    upload: Option<Upload>,
}

impl Abandoned {
    pub(super) fn guard(ports: &Arc<Ports>, upload: &Upload) -> Self {
        Self { ports: Arc::clone(ports), upload: Some(upload.clone()) }
    }

    /// The call failed: removes everything before it is answered.
    pub(super) async fn now(mut self) {
        if let Some(upload) = &self.upload {
            give_up_logged(&self.ports, upload).await;
        }
        // Only now: a caller who goes away meanwhile leaves it to the guard.
        self.upload = None;
    }

    /// The upload is somebody else's to end.
    pub(super) fn disarm(mut self) {
        self.upload = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        let ports = Arc::clone(&self.ports);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { give_up_logged(&ports, &upload).await }.in_current_span());
        }
    }
}

/// Gives up what can be given up now; the housekeeping finds the rest by its row.
pub(super) async fn give_up_logged(ports: &Ports, upload: &Upload) {
    if let Err(error) = give_up(ports, upload).await {
        tracing::warn!(upload_id = %upload.id, reason = error.reason(), ?error, "what an upload left is removed later");
    }
}
