//! The end of uploads in pieces, on whichever server it is asked for.
//!
//! Whoever ends an upload claims it in the database first, for a short time that it puts off while it works. Who finds it
//! claimed waits and gives the same answer; if the server that had it died or stands still, the next takes it over where
//! it was. Nothing that a late server still writes has an effect: its admission and its removals carry the token of its
//! claim, and the bytes that it puts together are the same, because a claimed upload takes no more.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;
use vectrion_core::{
    Error, ErrorKind, Result,
    document::DocumentState,
    ids::{TenantId, UploadId},
    ports::{
        catalog::Admitted,
        objects::{ByteStream, ObjectKey},
        uploads::{CompletedUpload, Upload, UploadTurn},
    },
    tenancy::CallContext,
};

use super::{
    DocumentView, Ingestion, UploadPart, discard, document_not_found,
    intake::{self, Received, size_mismatch},
    pieces::in_order,
};
use crate::{Ports, faults::step};

/// How long an upload stays with a server that gives no sign of life.
const CLAIM_FOR: Duration = Duration::from_secs(10);
/// Time between signs of life.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// Time between looks at an upload that another call is ending.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The longest wait for another call, if the caller sets no deadline.
const WAIT_AT_MOST: Duration = Duration::from_secs(60);
/// Time before the caller's deadline at which the wait ends.
const MARGIN: Duration = Duration::from_millis(300);
/// Hint to a caller when another call is ending the upload.
pub(super) const COMPLETING_RETRY: Duration = Duration::from_secs(1);

/// An upload that is this call's to end.
struct Claimed {
    upload: Upload,
    token: i64,
}

impl Ingestion {
    /// Ends an upload in pieces, with the checks of [`Ingestion::upload`]. Bytes that can never become the document (of a
    /// wrong type or checksum) are removed with the upload; one that is not complete goes on. Of calls at once, on
    /// whichever server, one makes the document and all get it; so does a later one, for 24 hours.
    ///
    /// # Errors
    /// Those of [`Ingestion::upload`]; `NOT_FOUND`: `UPLOAD_NOT_FOUND`; `ABORTED`, reason `UPLOAD_CONFLICT`, if another call
    /// is still ending it when the time is up.
    pub async fn complete_upload(
        &self,
        context: &CallContext,
        id: UploadId,
        sha256: Option<[u8; 32]>,
    ) -> Result<(DocumentView, Admitted)> {
        let tenant = context.principal.tenant;
        let latest = wait_until(context);
        let mut lost = None;
        loop {
            let turn = match self.claim(tenant, id).await {
                Ok(turn) => turn,
                Err(error) => {
                    if let (Some(upload), "UPLOAD_NOT_FOUND") = (&lost, error.reason()) {
                        // Given up by another call while this one stood still with bytes in its hands.
                        discard::remove_late(&self.ports, upload).await;
                    }
                    return Err(error);
                }
            };
            match turn {
                UploadTurn::Taken { upload, token } => {
                    let claimed = Claimed { upload: *upload, token };
                    match self.complete_claimed(context, &claimed, sha256).await {
                        Err(error) if error.reason() == "UPLOAD_CLAIM_LOST" => lost = Some(claimed.upload),
                        outcome => return outcome,
                    }
                }
                UploadTurn::Busy if Instant::now() + LOOK_EVERY < latest => tokio::time::sleep(LOOK_EVERY).await,
                UploadTurn::Busy => return Err(taken()),
                UploadTurn::Completed(completed) => return self.completed(context, &completed, lost, sha256).await,
            }
        }
    }

    /// Gives an upload up and removes its bytes. One that is missing, or has ended, is no error.
    ///
    /// # Errors
    /// `ABORTED`, reason `UPLOAD_CONFLICT`, while another call is ending it.
    pub async fn abort_upload(&self, context: &CallContext, id: UploadId) -> Result<()> {
        match self.claim(context.principal.tenant, id).await {
            Ok(UploadTurn::Taken { upload, token }) => discard::give_up(&self.ports, &upload, token).await,
            Ok(UploadTurn::Busy) => Err(taken()),
            Ok(UploadTurn::Completed(_)) => Ok(()),
            Err(error) if error.reason() == "UPLOAD_NOT_FOUND" => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn claim(&self, tenant: TenantId, id: UploadId) -> Result<UploadTurn> {
        let claimed =
            self.ports.uploads.claim_upload(tenant, id, millis(CLAIM_FOR), self.settings.upload_ttl_ms()).await;
        claimed.map_err(|error| match error.reason() {
            "UPLOAD_NOT_FOUND" => error.with_metadata("upload_id", id.to_string()),
            _ => error,
        })
    }

    async fn complete_claimed(
        &self,
        context: &CallContext,
        claimed: &Claimed,
        sha256: Option<[u8; 32]>,
    ) -> Result<(DocumentView, Admitted)> {
        let outcome = async {
            // Not the admission: it may find the claim ended by its own success.
            let received = tokio::select! {
                received = self.assemble(claimed, sha256) => received?,
                error = claim_lost(&self.ports, claimed) => return Err(error),
            };
            self.admit(context, claimed.upload.clone(), claimed.token, received).await
        };
        let outcome = outcome.await;
        if let Err(error) = &outcome {
            let (uploads, upload) = (&self.ports.uploads, &claimed.upload);
            if matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::DataLoss) && !is_incomplete(error) {
                discard::give_up_logged(&self.ports, upload, claimed.token).await;
            } else if let Err(error) = uploads.release_upload_claim(upload.tenant, upload.id, claimed.token).await {
                tracing::warn!(upload_id = %upload.id, reason = error.reason(), %error, "the claim of an upload runs out by itself");
            }
        }
        outcome
    }

    /// What another call made of the upload.
    async fn completed(
        &self,
        context: &CallContext,
        completed: &CompletedUpload,
        lost: Option<Upload>,
        sha256: Option<[u8; 32]>,
    ) -> Result<(DocumentView, Admitted)> {
        let (tenant, id) = (context.principal.tenant, completed.document);
        let found = self.ports.catalog.document_version(tenant, id, completed.version).await?;
        if let Some(upload) = lost {
            let needed = found.as_ref().is_some_and(|document| {
                document.version_id == upload.version_id && document.state != DocumentState::Deleting
            });
            if !needed {
                discard::remove_late(&self.ports, &upload).await;
            }
        }
        let document = found.ok_or_else(|| document_not_found(id))?;
        if sha256.is_some_and(|sha256| hex::encode(sha256) != document.sha256) {
            return Err(intake::checksum_mismatch(&document.sha256));
        }
        let view = self.view(tenant, document.clone()).await?;
        Ok((view, Admitted::of(completed.outcome, document)))
    }

    /// Puts the parts together as the bytes of the version, and removes them. A call that was cut off in between is taken
    /// up where it was: the whole object is there then, and the parts are not needed.
    async fn assemble(&self, claimed: &Claimed, sha256: Option<[u8; 32]>) -> Result<Received> {
        let upload = &claimed.upload;
        if upload.committed == 0 {
            return Err(Error::invalid("EMPTY_FILE", "the upload has no bytes yet; there is nothing to index"));
        }
        match upload.header.size {
            Some(declared) if declared != upload.committed => return Err(size_mismatch(declared, upload.committed)),
            _ => {}
        }
        self.ports.objects.check().await?;
        let received = match self.whole(upload, sha256).await? {
            Some(received) => received,
            None => match self.concatenate(upload, sha256).await {
                // The server that had the upload before, and stood still, may have finished meanwhile.
                Err(error) if matches!(error.reason(), "OBJECT_NOT_FOUND" | "UPLOAD_DAMAGED") => {
                    self.whole(upload, sha256).await?.ok_or(error)?
                }
                other => other?,
            },
        };
        step!("upload::stored");
        // Whoever has the upload now may still read the parts.
        self.ports.uploads.renew_upload_claim(upload.tenant, upload.id, claimed.token, millis(CLAIM_FOR)).await?;
        // Before the admission, which ends the row by which they are found.
        self.ports.objects.delete_prefix(&ObjectKey::upload_prefix(upload.tenant, upload.id)).await?;
        step!("upload::parts_removed");
        Ok(received)
    }

    /// The bytes of the version, if all of them are there.
    async fn whole(&self, upload: &Upload, sha256: Option<[u8; 32]>) -> Result<Option<Received>> {
        let original = ObjectKey::original(upload.tenant, upload.version_id);
        match self.ports.objects.head(&original).await {
            Ok(info) if info.size == upload.committed => {}
            Ok(_) => return Ok(None),
            Err(error) if error.reason() == "OBJECT_NOT_FOUND" => return Ok(None),
            Err(error) => return Err(error),
        }
        let expected = [upload.header.sha256, sha256].into_iter().flatten().collect();
        let bytes = self.ports.objects.get(&original, 0).await?.map_ok(UploadPart::Bytes).boxed();
        let expected = self.expected(Some(upload.committed), expected);
        intake::check(self.ports.parser.as_ref(), upload.header.filename.as_str(), expected, bytes).await.map(Some)
    }

    async fn concatenate(&self, upload: &Upload, sha256: Option<[u8; 32]>) -> Result<Received> {
        let listed = self.ports.objects.list(&ObjectKey::upload_prefix(upload.tenant, upload.id)).await?;
        let parts = in_order(listed, upload.committed).ok_or_else(|| {
            Error::new(
                ErrorKind::DataLoss,
                "UPLOAD_DAMAGED",
                "stored bytes of this upload are gone; upload the file again",
            )
        })?;
        let objects = Arc::clone(&self.ports.objects);
        let bytes = stream::iter(parts)
            .then(move |key| {
                let objects = Arc::clone(&objects);
                async move { objects.get(&key, 0).await as Result<ByteStream> }
            })
            .try_flatten()
            .map_ok(UploadPart::Bytes)
            .boxed();
        self.store(upload, sha256, bytes).await
    }
}

/// Keeps the claim, and returns when it is lost.
async fn claim_lost(ports: &Ports, claimed: &Claimed) -> Error {
    let upload = &claimed.upload;
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        match ports.uploads.renew_upload_claim(upload.tenant, upload.id, claimed.token, millis(CLAIM_FOR)).await {
            Ok(()) => {}
            Err(error) if error.reason() == "UPLOAD_CLAIM_LOST" => return error,
            // The next one may succeed; until somebody takes it over, it is ours.
            Err(error) => {
                tracing::warn!(upload_id = %upload.id, reason = error.reason(), %error, "cannot keep the claim of an upload");
            }
        }
    }
}

/// Whether more bytes, which may still come, would put it right.
fn is_incomplete(error: &Error) -> bool {
    matches!(error.reason(), "EMPTY_FILE" | "SIZE_MISMATCH")
}

fn taken() -> Error {
    Error::new(
        ErrorKind::Aborted,
        "UPLOAD_CONFLICT",
        "another call is completing or aborting this upload; look at the document it makes",
    )
    .with_retry_after(COMPLETING_RETRY)
}

fn wait_until(context: &CallContext) -> Instant {
    let own = Instant::now() + WAIT_AT_MOST;
    let asked = context.deadline.and_then(|deadline| deadline.checked_sub(MARGIN)).map(Instant::from_std);
    asked.unwrap_or(own)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
