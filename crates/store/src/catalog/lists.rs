//! Lists: documents, versions, chunks, pages.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbBackend, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vectrion_core::{
    chunk::Chunk,
    document::{Document, DocumentFilter, DocumentOrder, DocumentOrderField},
    ids::{DocumentId, TenantId, VersionId},
    page::{Page, PageRequest},
    ports::catalog::PageInfo,
};

use super::{
    chunk_rows::{self, ChunkRow},
    conditions::add_document_filter,
    view::{self, View},
};
use crate::{
    failure::Outcome,
    page_token::{self, List},
    rows::{number, pages},
    sql::{self, Sql},
};

/// Where a list of documents goes on: the field it is ordered by, then the id.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Position {
    Time(i64),
    Name(String),
}

pub(super) async fn documents<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    filter: &DocumentFilter,
    order: DocumentOrder,
    page: &PageRequest,
) -> Outcome<Page<Document>> {
    let list = List::new("documents", (tenant, filter, order));
    let after = list.after(page)?;
    let query = documents_query(connection.get_database_backend(), tenant, filter, order, after, page)?;
    let rows: Vec<View> = query.all(connection).await?;
    let page = list.page(rows, page, |row| {
        let position = match order.by {
            DocumentOrderField::CreateTime => Position::Time(row.document_create_time),
            DocumentOrderField::UpdateTime => Position::Time(row.document_update_time),
            DocumentOrderField::Filename => Position::Name(row.filename.clone()),
        };
        (position, row.id)
    })?;
    Ok(Page { items: page.items.into_iter().map(View::into_newest).collect::<Outcome<_>>()?, next: page.next })
}

pub(crate) fn documents_query(
    backend: DbBackend,
    tenant: TenantId,
    filter: &DocumentFilter,
    order: DocumentOrder,
    after: Option<(Position, Uuid)>,
    page: &PageRequest,
) -> Outcome<Sql> {
    let column = match order.by {
        DocumentOrderField::CreateTime => "d.create_time",
        DocumentOrderField::UpdateTime => "d.update_time",
        DocumentOrderField::Filename => "d.filename",
    };
    let (direction, beyond) = if order.descending { ("DESC", "<") } else { ("ASC", ">") };
    // SQLite has no statistics: it would rather read all of a tenant's documents in order than sort the few of a name.
    let hint = match backend {
        DbBackend::Sqlite if filter.external_id.is_some() => " INDEXED BY documents_external_id",
        _ => "",
    };
    let mut query = view::newest_by(tenant, hint);
    add_document_filter(&mut query, filter)?;
    if let Some((position, id)) = after {
        query.push(&format!(" AND ({column}, d.id) {beyond} ("));
        match position {
            Position::Time(time) => query.bind(time),
            Position::Name(name) => query.bind(name),
        };
        query.push(", ").bind(id).push(")");
    }
    query.push(&format!(" ORDER BY {column} {direction}, d.id {direction} LIMIT ")).bind(page_token::limit(page));
    Ok(query)
}

pub(super) async fn versions<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    id: DocumentId,
    page: &PageRequest,
) -> Outcome<Page<Document>> {
    let list = List::new("versions", (tenant, id));
    let mut query = view::versions_of(tenant);
    query.push(" AND d.id = ").bind(id.0);
    let after = list.after::<i32>(page)?;
    if let Some(number) = after {
        query.push(" AND v.number < ").bind(number);
    }
    query.push(" ORDER BY v.number DESC LIMIT ").bind(page_token::limit(page));
    let rows: Vec<View> = query.all(connection).await?;
    // A document has at least one version: an empty first page is that of a missing one.
    if rows.is_empty() {
        return Err(view::missing().into());
    }
    let page = list.page(rows, page, |row| row.number)?;
    Ok(Page { items: page.items.into_iter().map(View::into_version).collect::<Outcome<_>>()?, next: page.next })
}

pub(super) async fn chunks(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    id: DocumentId,
    version: Option<u32>,
    page: &PageRequest,
) -> Outcome<Page<Chunk>> {
    let version = resolve(tx, tenant, id, version).await?;
    let list = List::new("chunks", (tenant, version));
    let from = list.after::<i32>(page)?.map_or(0, |ordinal| i64::from(ordinal) + 1);
    let rows: Vec<ChunkRow> = chunk_rows::query(tenant, version, from, page_token::limit(page)).all(tx).await?;
    let page = list.page(rows, page, |row| row.ordinal)?;
    Ok(Page { items: page.items.into_iter().map(ChunkRow::into_chunk).collect::<Outcome<_>>()?, next: page.next })
}

pub(super) async fn pages(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    id: DocumentId,
    version: Option<u32>,
    page: &PageRequest,
) -> Outcome<Page<PageInfo>> {
    let version = resolve(tx, tenant, id, version).await?;
    let list = List::new("pages", (tenant, version));
    let mut query = pages::for_tenant(tenant)
        .filter(pages::Column::VersionId.eq(version.0))
        .order_by_asc(pages::Column::Number)
        .limit(page_token::limit(page).unsigned_abs());
    if let Some(number) = list.after::<i32>(page)? {
        query = query.filter(pages::Column::Number.gt(number));
    }
    let page = list.page(query.all(tx).await?, page, |row| row.number)?;
    Ok(page.map(|row| PageInfo {
        number: number(row.number),
        width: row.width as f32,
        height: row.height as f32,
        rotation: u16::try_from(row.rotation).unwrap_or(0),
        char_start: number(row.char_start),
        char_end: number(row.char_end),
    }))
}

/// The version of this number, or the newest.
async fn resolve(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    id: DocumentId,
    version: Option<u32>,
) -> Outcome<VersionId> {
    let found: Option<Uuid> = match version {
        None => {
            sql::for_tenant(
                tenant,
                "SELECT newest_version_id FROM documents WHERE tenant_id = $1 AND id = $2",
                [id.0.into()],
            )
            .scalar(tx)
            .await?
        }
        Some(number) => {
            sql::for_tenant(
                tenant,
                "SELECT id FROM document_versions WHERE tenant_id = $1 AND document_id = $2 AND number = $3",
                [id.0.into(), i64::from(number).into()],
            )
            .scalar(tx)
            .await?
        }
    };
    Ok(found.map(VersionId).ok_or_else(view::missing)?)
}
