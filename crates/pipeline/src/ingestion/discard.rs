//! Removing what an upload left behind.

use std::sync::Arc;

use tracing::Instrument as _;
use vectrion_core::{
    Result,
    ports::{objects::ObjectKey, uploads::Upload},
};

use crate::Ports;

/// The claim of an upload in one call: its own call ends it, and no other.
pub(super) const ONE_CALL: i64 = 0;

/// Gives an upload up: nobody can admit it any more, and its bytes and its row are removed. One that has ended already,
/// by becoming a document or otherwise, is left alone.
///
/// It expires first, in the database, where admissions happen: so no document can come to be whose bytes are removed
/// here. What a crash leaves is found by its row.
///
/// `claim` is the token under which an upload in pieces is being ended (0: in one call): if somebody has claimed it since,
/// it is theirs.
pub(super) async fn give_up(ports: &Ports, upload: &Upload, claim: i64) -> Result<()> {
    if ports.uploads.expire_upload(upload.tenant, upload.id, claim).await? {
        remove_dead(ports, upload).await?;
    }
    Ok(())
}

/// Removes bytes and row of an upload that cannot become a document any more, the row last.
pub(crate) async fn remove_dead(ports: &Ports, upload: &Upload) -> Result<()> {
    ports.objects.delete_prefix(&ObjectKey::upload_prefix(upload.tenant, upload.id)).await?;
    ports.objects.delete_prefix(&ObjectKey::version_prefix(upload.tenant, upload.version_id)).await?;
    ports.uploads.remove_upload(upload.tenant, upload.id).await
}

/// Removes what a call wrote for an upload after another had ended it and removed what was there then.
pub(super) async fn remove_late(ports: &Ports, upload: &Upload) {
    if let Err(error) = remove_dead(ports, upload).await {
        tracing::warn!(upload_id = %upload.id, reason = error.reason(), ?error, "late bytes of an upload are left over");
    }
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
            give_up_logged(&self.ports, upload, ONE_CALL).await;
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
            runtime.spawn(async move { give_up_logged(&ports, &upload, ONE_CALL).await }.in_current_span());
        }
    }
}

/// Gives up what can be given up now; the housekeeping finds the rest by its row.
pub(super) async fn give_up_logged(ports: &Ports, upload: &Upload, claim: i64) {
    if let Err(error) = give_up(ports, upload, claim).await {
        tracing::warn!(upload_id = %upload.id, reason = error.reason(), ?error, "what an upload left is removed later");
    }
}
