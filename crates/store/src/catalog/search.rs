//! What a search may show.

use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult};
use uuid::Uuid;
use vectrion_core::{
    ids::{ChunkId, DocumentId, TenantId},
    ports::catalog::VisibleChunk,
    search::SearchFilter,
};

use super::{
    chunk_rows::{self, ChunkRow},
    conditions::{Start, add_search_filter},
};
use crate::{
    Store,
    failure::Outcome,
    sql::{self, Sql},
};

/// Chunks looked up in a statement.
const IDS_PER_STATEMENT: usize = 1000;

struct VisibleRow {
    chunk: ChunkRow,
    filename: String,
    title: Option<String>,
}

impl FromQueryResult for VisibleRow {
    fn from_query_result(result: &QueryResult, prefix: &str) -> Result<Self, sea_orm::DbErr> {
        Ok(Self {
            chunk: ChunkRow::from_query_result(result, prefix)?,
            filename: result.try_get(prefix, "filename")?,
            title: result.try_get(prefix, "title")?,
        })
    }
}

pub(super) async fn visible_chunks(
    store: &Store,
    tenant: TenantId,
    ids: &[ChunkId],
    filter: &SearchFilter,
) -> Outcome<Vec<VisibleChunk>> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(IDS_PER_STATEMENT) {
        for row in visible(tenant, ids, filter)?.all::<VisibleRow, _>(store.reader()).await? {
            found.push(VisibleChunk { chunk: row.chunk.into_chunk()?, filename: row.filename, title: row.title });
        }
    }
    Ok(found)
}

pub(crate) fn visible(tenant: TenantId, ids: &[ChunkId], filter: &SearchFilter) -> Outcome<Sql> {
    let columns = chunk_rows::COLUMNS;
    // CROSS JOIN keeps SQLite from beginning with the tenant's documents and reading all their chunks.
    let mut query = sql::for_tenant(
        tenant,
        format!(
            "SELECT {columns}, v.filename, v.title FROM chunks c CROSS JOIN documents d CROSS JOIN document_versions v
                WHERE c.tenant_id = $1 AND d.tenant_id = $1 AND d.id = c.document_id
                    AND d.indexed_version_id = c.version_id AND v.id = c.version_id"
        ),
        [],
    );
    query.push(" AND c.id IN ").bind_list(ids.iter().map(|id| id.0));
    add_search_filter(&mut query, filter, Start::Documents)?;
    Ok(query)
}

/// At most `limit` + 1 documents.
pub(super) async fn matching_documents<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    filter: &SearchFilter,
    limit: u32,
) -> Outcome<Vec<DocumentId>> {
    let mut query = sql::for_tenant(tenant, "SELECT d.id FROM documents d WHERE d.tenant_id = $1", []);
    add_search_filter(&mut query, filter, Start::Metadata)?;
    query.push(" LIMIT ").bind(i64::from(limit) + 1);
    let ids: Vec<Uuid> = query.scalars(connection).await?;
    Ok(ids.into_iter().map(DocumentId).collect())
}
