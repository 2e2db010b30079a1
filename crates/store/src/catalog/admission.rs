//! Admission: what an upload becomes.

use sea_orm::DatabaseTransaction;
use sha2::{Digest as _, Sha256};
use vectrion_core::{
    Error, ErrorKind,
    document::{Document, DocumentState},
    ids::DocumentId,
    job::JobPayload,
    metadata::Metadata,
    ports::{
        catalog::{Admission, Admitted},
        uploads::UploadOutcome,
    },
};

use super::{
    change, metadata,
    view::{self, View},
};
use crate::{
    Store,
    failure::{Failure, Outcome, is_orphan},
    jobs::queue::{self, NewJob},
    outbox::Announcer,
    rows::{document_versions, documents, size_column},
    sql::{self, Sql},
    time::{self, Timed},
    uploads,
};

pub(super) async fn admit(store: &Store, admission: &Admission) -> Outcome<Admitted> {
    let tx = store.begin().await?;
    let tenant = admission.tenant;
    let Timed { row: upload, now } = uploads::open(&tx, tenant, admission.upload).await?;
    uploads::require_claim(&upload, admission.claim)?;
    hold_identity(&tx, admission).await?;
    let admitted = match find(&tx, admission).await? {
        Some(found) => {
            let admitted = admit_known(&tx, admission, &found, store.announcer()).await?;
            end_upload(&tx, admission, admitted.outcome(), (admitted.document().id, admitted.document().version), now)
                .await?;
            admitted
        }
        None => {
            require_collection(&tx, admission).await?;
            Admitted::Created(create(&tx, admission, now, store.announcer()).await?)
        }
    };
    tx.commit().await?;
    Ok(admitted)
}

/// Makes admissions of the same name, or of the same bytes, into a collection come one after the other, so that each finds
/// what the one before it has made.
async fn hold_identity(tx: &DatabaseTransaction, admission: &Admission) -> Outcome<()> {
    let header = &admission.header;
    let key = |kind: &[u8], what: &[u8]| {
        let hash = Sha256::new_with_prefix(header.collection.0).chain_update(kind).chain_update(what).finalize();
        i64::from_le_bytes(std::array::from_fn(|at| hash[at]))
    };
    let name = key(b"name", header.external_id.as_str().as_bytes());
    let bytes = if header.allow_duplicate { name } else { key(b"bytes", &admission.sha256) };
    time::lock_keys(tx, name, bytes).await
}

/// Notes what has become of an upload.
async fn end_upload(
    tx: &DatabaseTransaction,
    admission: &Admission,
    outcome: UploadOutcome,
    (document, version): (DocumentId, u32),
    now: i64,
) -> Outcome<()> {
    if admission.claim != 0 {
        uploads::note_completed(tx, admission, outcome, (document, version), now).await?;
    }
    if matches!(outcome, UploadOutcome::Created | UploadOutcome::NewVersion) {
        uploads::remove(tx, admission.tenant, admission.upload).await
    } else {
        uploads::expire(tx, admission.tenant, admission.upload, now).await
    }
}

/// That the collection is there. Who deletes it holds the tenant, so that it is there as long as the tenant is held; if it goes
/// before that, no document can be put into it.
async fn require_collection(tx: &DatabaseTransaction, admission: &Admission) -> Outcome<()> {
    let found: Option<i32> = sql::for_tenant(
        admission.tenant,
        "SELECT 1 FROM collections WHERE tenant_id = $1 AND id = $2",
        [admission.header.collection.0.into()],
    )
    .scalar(tx)
    .await?;
    match found {
        Some(_) => Ok(()),
        None => Err(Error::not_found("COLLECTION_NOT_FOUND", "there is no such collection").into()),
    }
}

/// An upload for a document that is there.
async fn admit_known(
    tx: &DatabaseTransaction,
    admission: &Admission,
    found: &documents::Model,
    announcer: Announcer,
) -> Outcome<Admitted> {
    let (tenant, id) = (admission.tenant, DocumentId(found.id));
    if found.external_id != admission.header.external_id.as_str() {
        let document = view::newest(tx, tenant, id).await?.ok_or_else(overtaken)?;
        return Ok(Admitted::Duplicate(document));
    }
    let known = change::hold_document(tx, tenant, id).await?.filter(|known| !known.row.deleting);
    let Timed { row, now } = known.ok_or_else(overtaken)?;
    if row.newest_sha256 == admission.sha256 {
        give_metadata(tx, admission, &row, now).await?;
        Ok(Admitted::Unchanged(view::require(tx, tenant, id).await?))
    } else {
        add_version(tx, admission, &row, now, announcer).await?;
        Ok(Admitted::NewVersion(view::require(tx, tenant, id).await?))
    }
}

/// What was found is not so any more; a second look finds how it is.
fn overtaken() -> Error {
    Error::new(ErrorKind::Aborted, "TRANSACTION_CONFLICT", "another call was first; try again")
}

/// The document of the same name, else the oldest one of the same bytes.
async fn find(tx: &DatabaseTransaction, admission: &Admission) -> Outcome<Option<documents::Model>> {
    let name = admission.header.external_id.as_str();
    let found: Vec<documents::Model> = known(admission).all(tx).await?;
    Ok(found.into_iter().min_by_key(|row| row.external_id != name))
}

/// The document of the same name, and the oldest one of the same bytes unless there may be others.
fn known(admission: &Admission) -> Sql {
    const OF_COLLECTION: &str =
        "SELECT * FROM documents WHERE tenant_id = $1 AND collection_id = $2 AND deleting = FALSE";
    let mut query = sql::for_tenant(
        admission.tenant,
        format!("{OF_COLLECTION} AND external_id = $3"),
        [admission.header.collection.0.into(), admission.header.external_id.as_str().into()],
    );
    if !admission.header.allow_duplicate {
        query.push(&format!(" UNION ALL SELECT * FROM ({OF_COLLECTION} AND newest_sha256 = "));
        query.bind(admission.sha256.to_vec()).push(" ORDER BY create_time, id LIMIT 1) AS same_bytes");
    }
    query
}

/// New metadata for a document whose bytes stay.
async fn give_metadata(
    tx: &DatabaseTransaction,
    admission: &Admission,
    row: &documents::Model,
    now: i64,
) -> Outcome<()> {
    if let Some(given) = &admission.header.metadata
        && *given != serde_json::from_str::<Metadata>(&row.metadata)?
    {
        let id = DocumentId(row.id);
        metadata::write(tx, admission.tenant, id, given).await?;
        change::touch(tx, admission.tenant, id, now).await?;
    }
    Ok(())
}

async fn create(tx: &DatabaseTransaction, admission: &Admission, now: i64, announcer: Announcer) -> Outcome<Document> {
    let tenant = admission.tenant;
    queue_processing(tx, admission, admission.document, now, announcer).await?;
    end_upload(tx, admission, UploadOutcome::Created, (admission.document, 1), now).await?;
    let row = documents::Model {
        id: admission.document.0,
        tenant_id: tenant.0,
        collection_id: admission.header.collection.0,
        external_id: admission.header.external_id.as_str().to_owned(),
        newest_version_id: admission.version_id.0,
        newest_version: 1,
        newest_sha256: admission.sha256.to_vec(),
        filename: admission.header.filename.as_str().to_owned(),
        state: DocumentState::Uploaded.as_str().to_owned(),
        deleting: false,
        indexed_version_id: None,
        indexed_version: None,
        indexed_chunks: 0,
        metadata: "{}".to_owned(),
        create_time: now,
        update_time: now,
        revision: change::next_revision(tx, tenant).await?,
    };
    let version = version_row(admission, admission.document, 1, now);
    let mut document = View::new(row.clone(), version.clone()).into_newest()?;
    documents::insert(tx, row).await.map_err(|error| {
        // The collection went while the tenant was waited for.
        if is_orphan(&error) { Failure::from(overtaken()) } else { error.into() }
    })?;
    document_versions::insert(tx, version).await?;
    if let Some(given) = admission.header.metadata.as_ref().filter(|given| !given.is_empty()) {
        metadata::write(tx, tenant, admission.document, given).await?;
        document.metadata = given.clone();
    }
    Ok(document)
}

async fn add_version(
    tx: &DatabaseTransaction,
    admission: &Admission,
    row: &documents::Model,
    now: i64,
    announcer: Announcer,
) -> Outcome<()> {
    let (tenant, id) = (admission.tenant, DocumentId(row.id));
    let number = row.newest_version + 1;
    document_versions::insert(tx, version_row(admission, id, number, now)).await?;
    sql::for_tenant(
        tenant,
        "UPDATE documents SET newest_version_id = $3, newest_version = $4, newest_sha256 = $5, filename = $6, state = $7
            WHERE tenant_id = $1 AND id = $2",
        [
            row.id.into(),
            admission.version_id.0.into(),
            number.into(),
            admission.sha256.to_vec().into(),
            admission.header.filename.as_str().into(),
            DocumentState::Uploaded.as_str().into(),
        ],
    )
    .execute(tx)
    .await?;
    if let Some(given) = &admission.header.metadata {
        metadata::write(tx, tenant, id, given).await?;
    }
    queue_processing(tx, admission, id, now, announcer).await?;
    change::touch(tx, tenant, id, now).await
}

fn version_row(admission: &Admission, document: DocumentId, number: i32, now: i64) -> document_versions::Model {
    document_versions::Model {
        id: admission.version_id.0,
        tenant_id: admission.tenant.0,
        document_id: document.0,
        number,
        filename: admission.header.filename.as_str().to_owned(),
        title: None,
        content_type: admission.content_type.clone(),
        size: size_column(admission.size),
        sha256: admission.sha256.to_vec(),
        state: DocumentState::Uploaded.as_str().to_owned(),
        pages_total: 0,
        pages_done: 0,
        chunks_total: 0,
        chunks_done: 0,
        page_count: 0,
        chunk_count: 0,
        failure: None,
        warnings: "[]".to_owned(),
        create_time: now,
        update_time: now,
    }
}

async fn queue_processing(
    tx: &DatabaseTransaction,
    admission: &Admission,
    document: DocumentId,
    now: i64,
    announcer: Announcer,
) -> Outcome<()> {
    let job = NewJob {
        tenant: admission.tenant,
        document,
        payload: JobPayload::ProcessV1 { version_id: admission.version_id },
        max_attempts: admission.max_attempts,
        trace_id: &admission.trace_id,
        announcer,
    };
    queue::add(tx, job, now).await
}
