//! What should be where.

use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult};
use uuid::Uuid;
use vectrion_core::{
    ids::{ChunkId, CollectionId, DocumentId, TenantId, UploadId, VersionId},
    ports::upkeep::VersionRecord,
};

use crate::{
    catalog::view,
    failure::{Outcome, damaged},
    rows::{number, size},
    sql::{self, Sql},
};

/// Ids looked up in a statement.
const IDS_PER_STATEMENT: usize = 1000;

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    document_id: Uuid,
    collection_id: Uuid,
    number: i32,
    state: String,
    document_state: String,
    deleting: bool,
    indexed_version_id: Option<Uuid>,
    indexed_version: Option<i32>,
    busy: bool,
    size: i64,
    sha256: Vec<u8>,
    chunk_count: i32,
    chunks: i64,
}

/// Versions of a tenant; conditions may follow.
pub(crate) fn records(tenant: TenantId) -> Sql {
    sql::for_tenant(
        tenant,
        "SELECT v.id, v.document_id, d.collection_id, v.number, v.state, d.state AS document_state, d.deleting,
            d.indexed_version_id, d.indexed_version, v.size, v.sha256, v.chunk_count,
            EXISTS (SELECT 1 FROM jobs j WHERE j.document_id = v.document_id AND j.state IN ('pending', 'running'))
                AS busy,
            (SELECT COUNT(*) FROM chunks c WHERE c.version_id = v.id) AS chunks
            FROM document_versions v JOIN documents d ON d.id = v.document_id WHERE v.tenant_id = $1",
        [],
    )
}

pub(super) async fn versions<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    collection: Option<CollectionId>,
    after: Option<VersionId>,
    limit: u32,
) -> Outcome<Vec<VersionRecord>> {
    let mut query = records(tenant);
    if let Some(after) = after {
        query.push(" AND v.id > ").bind(after.0);
    }
    if let Some(collection) = collection {
        query.push(" AND d.collection_id = ").bind(collection.0);
    }
    query.push(" ORDER BY v.id LIMIT ").bind(i64::from(limit));
    query.all::<Row, _>(connection).await?.into_iter().map(record).collect()
}

pub(super) async fn version<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    version: VersionId,
) -> Outcome<Option<VersionRecord>> {
    let mut query = records(tenant);
    query.push(" AND v.id = ").bind(version.0);
    query.one::<Row, _>(connection).await?.map(record).transpose()
}

fn record(row: Row) -> Outcome<VersionRecord> {
    Ok(VersionRecord {
        id: VersionId(row.id),
        document: DocumentId(row.document_id),
        collection: CollectionId(row.collection_id),
        number: number(row.number),
        state: view::state_of(if row.deleting { &row.document_state } else { &row.state })?,
        deleting: row.deleting,
        searched: !row.deleting && row.indexed_version_id == Some(row.id),
        replaced: row.indexed_version.is_some_and(|indexed| indexed > row.number),
        busy: row.busy,
        size: size(row.size),
        sha256: row.sha256.try_into().map_err(|_| damaged("a version's checksum has the wrong length"))?,
        chunk_count: number(row.chunk_count),
        chunks: size(row.chunks),
    })
}

pub(super) async fn known_versions(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    versions: &[VersionId],
) -> Outcome<Vec<VersionId>> {
    let mut known = Vec::new();
    for ids in versions.chunks(IDS_PER_STATEMENT) {
        for (column, table) in [("id", "document_versions"), ("version_id", "uploads")] {
            let text = format!("SELECT {column} FROM {table} WHERE tenant_id = $1 AND {column} IN ");
            let mut query = sql::for_tenant(tenant, text, []);
            query.bind_list(ids.iter().map(|id| id.0));
            known.extend(query.scalars(tx).await?.into_iter().map(VersionId));
        }
    }
    Ok(known)
}

pub(super) async fn known_uploads<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    uploads: &[UploadId],
) -> Outcome<Vec<UploadId>> {
    let known = known(connection, tenant, "uploads", uploads.iter().map(|id| id.0)).await?;
    Ok(known.into_iter().map(UploadId).collect())
}

pub(super) async fn known_chunks<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    chunks: &[ChunkId],
) -> Outcome<Vec<ChunkId>> {
    let known = known(connection, tenant, "chunks", chunks.iter().map(|id| id.0)).await?;
    Ok(known.into_iter().map(ChunkId).collect())
}

async fn known<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    table: &str,
    ids: impl Iterator<Item = Uuid>,
) -> Outcome<Vec<Uuid>> {
    let ids: Vec<Uuid> = ids.collect();
    let mut known = Vec::new();
    for ids in ids.chunks(IDS_PER_STATEMENT) {
        let mut query = sql::for_tenant(tenant, format!("SELECT id FROM {table} WHERE tenant_id = $1 AND id IN "), []);
        query.bind_list(ids.iter().copied());
        known.extend(query.scalars::<Uuid, _>(connection).await?);
    }
    Ok(known)
}
