//! A document as callers see it: its row joined with the row of one of its versions.

use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;
use vectrion_core::{
    Error,
    document::{Document, DocumentState, Failure as DocumentFailure, Progress},
    ids::{CollectionId, DocumentId, TenantId, VersionId},
    time::Timestamp,
};

use crate::{
    failure::{Outcome, damaged},
    rows::{document_versions, documents, number, size},
    sql::{self, Sql},
};

/// Columns of a [`View`]; `d` is the document, `v` the version.
const COLUMNS: &str = "d.id, d.tenant_id, d.collection_id, d.external_id, d.indexed_version, d.state AS document_state,
    d.deleting, d.metadata, d.revision, d.create_time AS document_create_time,
    d.update_time AS document_update_time, v.id AS version_id, v.number, v.filename, v.title, v.content_type, v.size,
    v.sha256, v.state, v.pages_total, v.pages_done, v.chunks_total, v.chunks_done, v.page_count, v.chunk_count, v.failure,
    v.warnings, v.create_time, v.update_time";

/// A document with one of its versions.
#[derive(FromQueryResult)]
pub(crate) struct View {
    pub(crate) id: Uuid,
    tenant_id: Uuid,
    collection_id: Uuid,
    external_id: String,
    indexed_version: Option<i32>,
    document_state: String,
    deleting: bool,
    metadata: String,
    pub(crate) revision: i64,
    pub(crate) document_create_time: i64,
    pub(crate) document_update_time: i64,
    version_id: Uuid,
    pub(crate) number: i32,
    pub(crate) filename: String,
    title: Option<String>,
    content_type: String,
    size: i64,
    sha256: Vec<u8>,
    state: String,
    pages_total: i32,
    pages_done: i32,
    chunks_total: i32,
    chunks_done: i32,
    page_count: i32,
    chunk_count: i32,
    failure: Option<String>,
    warnings: String,
    create_time: i64,
    update_time: i64,
}

/// Documents of a tenant, each through its newest version; conditions may follow.
pub(crate) fn newest_of(tenant: TenantId) -> Sql {
    newest_by(tenant, "")
}

/// The same, found by the index that a hint names, in words of the database.
pub(crate) fn newest_by(tenant: TenantId, hint: &str) -> Sql {
    sql::for_tenant(
        tenant,
        format!(
            "SELECT {COLUMNS} FROM documents d{hint} JOIN document_versions v ON v.id = d.newest_version_id
                WHERE d.tenant_id = $1"
        ),
        [],
    )
}

/// Documents of a tenant through all their versions; conditions may follow.
pub(crate) fn versions_of(tenant: TenantId) -> Sql {
    sql::for_tenant(
        tenant,
        format!(
            "SELECT {COLUMNS} FROM documents d JOIN document_versions v ON v.document_id = d.id WHERE d.tenant_id = $1"
        ),
        [],
    )
}

/// A document through its newest version.
pub(crate) async fn newest<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    id: DocumentId,
) -> Outcome<Option<Document>> {
    let mut query = newest_of(tenant);
    query.push(" AND d.id = ").bind(id.0);
    query.one::<View, _>(connection).await?.map(View::into_newest).transpose()
}

/// A document, which must be there, through its newest version.
pub(crate) async fn require<C: ConnectionTrait>(connection: &C, tenant: TenantId, id: DocumentId) -> Outcome<Document> {
    Ok(newest(connection, tenant, id).await?.ok_or_else(missing)?)
}

/// A document through the version of this number.
pub(crate) async fn version<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    id: DocumentId,
    version: u32,
) -> Outcome<Option<Document>> {
    let mut query = versions_of(tenant);
    query.push(" AND d.id = ").bind(id.0).push(" AND v.number = ").bind(i64::from(version));
    query.one::<View, _>(connection).await?.map(View::into_version).transpose()
}

/// There is no such document.
pub(crate) fn missing() -> Error {
    Error::not_found("DOCUMENT_NOT_FOUND", "there is no such document")
}

/// A state by the name it has in the database.
pub(crate) fn state_of(name: &str) -> Outcome<DocumentState> {
    let state = DocumentState::ALL.into_iter().find(|state| state.as_str() == name);
    Ok(state.ok_or_else(|| damaged("a document has an unknown state"))?)
}

impl View {
    /// A document and its version as they are written.
    pub(crate) fn new(document: documents::Model, version: document_versions::Model) -> Self {
        Self {
            id: document.id,
            tenant_id: document.tenant_id,
            collection_id: document.collection_id,
            external_id: document.external_id,
            indexed_version: document.indexed_version,
            document_state: document.state,
            deleting: document.deleting,
            metadata: document.metadata,
            revision: document.revision,
            document_create_time: document.create_time,
            document_update_time: document.update_time,
            version_id: version.id,
            number: version.number,
            filename: version.filename,
            title: version.title,
            content_type: version.content_type,
            size: version.size,
            sha256: version.sha256,
            state: version.state,
            pages_total: version.pages_total,
            pages_done: version.pages_done,
            chunks_total: version.chunks_total,
            chunks_done: version.chunks_done,
            page_count: version.page_count,
            chunk_count: version.chunk_count,
            failure: version.failure,
            warnings: version.warnings,
            create_time: version.create_time,
            update_time: version.update_time,
        }
    }

    /// The document, with the times of the document.
    pub(crate) fn into_newest(self) -> Outcome<Document> {
        let times = (self.document_create_time, self.document_update_time);
        self.into_document(times)
    }

    /// The document, with the times of the version.
    pub(crate) fn into_version(self) -> Outcome<Document> {
        let times = (self.create_time, self.update_time);
        self.into_document(times)
    }

    fn into_document(self, (create_time, update_time): (i64, i64)) -> Outcome<Document> {
        // While a document is being deleted, and when that has failed, its versions' own states mean nothing any more.
        let state = state_of(if self.deleting { &self.document_state } else { &self.state })?;
        let failure: Option<DocumentFailure> = match self.failure {
            Some(json) if state == DocumentState::Failed => Some(serde_json::from_str(&json)?),
            _ => None,
        };
        Ok(Document {
            id: DocumentId(self.id),
            tenant: TenantId(self.tenant_id),
            collection: CollectionId(self.collection_id),
            external_id: self.external_id,
            version_id: VersionId(self.version_id),
            version: number(self.number),
            indexed_version: self.indexed_version.map(number),
            filename: self.filename,
            title: self.title,
            content_type: self.content_type,
            size: size(self.size),
            sha256: hex::encode(self.sha256),
            state,
            progress: Progress {
                pages_total: number(self.pages_total),
                pages_done: number(self.pages_done),
                chunks_total: number(self.chunks_total),
                chunks_done: number(self.chunks_done),
            },
            page_count: number(self.page_count),
            chunk_count: number(self.chunk_count),
            failure,
            warnings: serde_json::from_str(&self.warnings)?,
            metadata: serde_json::from_str(&self.metadata)?,
            create_time: Timestamp(create_time),
            update_time: Timestamp(update_time),
            revision: self.revision,
        })
    }
}
