//! Uploads in one call, and what both kinds of uploads share.

use std::sync::Arc;

use futures::stream::BoxStream;
use tracing::Instrument as _;
use vectrion_core::{
    Error, Result,
    document::ExternalId,
    ids::{DocumentId, UploadId, VersionId},
    job::Stage,
    ports::{
        catalog::{Admission, Admitted},
        objects::ObjectKey,
        uploads::{Upload, UploadHeader},
    },
    tenancy::CallContext,
};

use super::{
    DocumentView, Ingestion, UploadPart, UploadSpec,
    discard::{self, Abandoned},
    intake::{self, Expected, Received},
};
use crate::{Ports, faults::step};

impl Ingestion {
    /// Uploads a document in one call. Size, type and checksum are checked while the bytes come in; nothing is left of an
    /// upload that fails.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: `EMPTY_FILE`, `UNSUPPORTED_TYPE`, `CHECKSUM_MISMATCH`, `SIZE_MISMATCH`;
    /// `RESOURCE_EXHAUSTED`: `DOCUMENT_TOO_LARGE`, `STORAGE_FULL`; `NOT_FOUND`: `COLLECTION_NOT_FOUND`.
    pub async fn upload(
        &self,
        context: &CallContext,
        spec: UploadSpec,
        parts: BoxStream<'static, Result<UploadPart>>,
    ) -> Result<(DocumentView, Admitted)> {
        let upload = self.begin(context, spec, true).await?;
        let abandoned = Abandoned::guard(&self.ports, &upload);
        let received = self.receive(&upload, parts).await;
        match received {
            Ok(received) => {
                abandoned.disarm();
                self.admit(context, upload, discard::ONE_CALL, received).await
            }
            Err(error) => {
                abandoned.now().await;
                Err(error)
            }
        }
    }

    /// Checks what is known before the bytes, and writes the row by which they can be found.
    pub(super) async fn begin(&self, context: &CallContext, spec: UploadSpec, one_call: bool) -> Result<Upload> {
        let tenant = context.principal.tenant;
        let collection = self.ports.find_collection_id(tenant, &spec.collection).await?;
        if spec.size == Some(0) {
            return Err(Error::invalid("EMPTY_FILE", "the file is empty; there is nothing to index"));
        }
        self.expected(spec.size, vec![]).check_size(spec.size.unwrap_or(0))?;
        self.ports.objects.check().await?;
        let external_id = match spec.external_id {
            Some(external_id) => external_id,
            None => ExternalId::new(spec.filename.as_str())?,
        };
        let header = UploadHeader {
            collection,
            external_id,
            filename: spec.filename,
            size: spec.size,
            sha256: spec.sha256,
            metadata: spec.metadata,
            allow_duplicate: spec.allow_duplicate,
        };
        let (id, version, ttl_ms) = (UploadId::new(), VersionId::new(), self.settings.upload_ttl_ms());
        self.ports.uploads.create_upload(tenant, id, version, header, one_call, ttl_ms).await
    }

    async fn receive(&self, upload: &Upload, parts: BoxStream<'static, Result<UploadPart>>) -> Result<Received> {
        step!("upload::begun");
        let received = self.store(upload, None, parts).await?;
        step!("upload::stored");
        Ok(received)
    }

    /// Stores bytes as the version that the upload will become.
    pub(super) async fn store(
        &self,
        upload: &Upload,
        sha256: Option<[u8; 32]>,
        parts: BoxStream<'static, Result<UploadPart>>,
    ) -> Result<Received> {
        let key = ObjectKey::original(upload.tenant, upload.version_id);
        let expected =
            self.expected(upload.header.size, [upload.header.sha256, sha256].into_iter().flatten().collect());
        let filename = upload.header.filename.as_str();
        intake::store(self.ports.objects.as_ref(), self.ports.parser.as_ref(), &key, filename, expected, parts).await
    }

    pub(super) fn expected(&self, size: Option<u64>, sha256: Vec<[u8; 32]>) -> Expected {
        Expected { max_bytes: self.settings.max_document_bytes, size, sha256 }
    }

    /// Makes the stored bytes a document, on a task of its own: a caller who goes away now does not leave it undecided.
    pub(super) async fn admit(
        &self,
        context: &CallContext,
        upload: Upload,
        claim: i64,
        received: Received,
    ) -> Result<(DocumentView, Admitted)> {
        metrics::counter!("vectrion_upload_bytes_total").increment(received.size);
        let admission = Admission {
            tenant: upload.tenant,
            header: upload.header.clone(),
            upload: upload.id,
            claim,
            version_id: upload.version_id,
            document: DocumentId::new(),
            content_type: received.content_type,
            size: received.size,
            sha256: received.sha256,
            max_attempts: self.settings.attempts(Stage::ProcessDocument),
            trace_id: context.trace_id.clone(),
        };
        let (ports, tenant) = (Arc::clone(&self.ports), upload.tenant);
        let admitted =
            tokio::spawn(async move { admit(&ports, upload, admission).await }.in_current_span()).await.map_err(
                |error| Error::internal("UPLOAD_INTERRUPTED", "the upload was cut off; try again").with_source(error),
            )??;
        self.watching.changed();
        let document = admitted.document().clone();
        let view = if admitted.is_new() {
            // Its first job has just been queued: whatever the index counts, it is not of this version.
            DocumentView { document, vector_count: 0 }
        } else {
            self.view(tenant, document).await?
        };
        Ok((view, admitted))
    }
}

async fn admit(ports: &Ports, upload: Upload, admission: Admission) -> Result<Admitted> {
    let claim = admission.claim;
    let admitted = match ports.catalog.admit(admission).await {
        Ok(admitted) => admitted,
        Err(error) => {
            // Giving up looks at the row first, so that the bytes of an admission that was committed all the same stay.
            // An upload in pieces can be completed again after a transient error.
            if upload.one_call || !error.is_transient() {
                discard::give_up_logged(ports, &upload, claim).await;
            }
            return Err(error);
        }
    };
    step!("upload::admitted");
    if admitted.is_new() {
        ports.wake(Stage::ProcessDocument).await;
    } else if let Err(error) = discard::remove_dead(ports, &upload).await {
        tracing::warn!(upload_id = %upload.id, reason = error.reason(), ?error, "what an upload left is removed later");
    }
    Ok(admitted)
}
