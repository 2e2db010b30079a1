//! Collections.

use sea_orm::{ColumnTrait as _, ConnectionTrait, FromQueryResult, QueryFilter as _};
use uuid::Uuid;
use vectrion_core::{
    Error,
    ids::{CollectionId, TenantId},
    page::{Page, PageRequest},
    tenancy::{Collection, CollectionRef},
    time::Timestamp,
};

use super::tenants;
use crate::{
    Store,
    failure::{Failure, Outcome, is_duplicate},
    page_token::{self, List},
    rows::{self, collections},
    sql, time,
};

/// A collection with its counts, which an index on documents gives without reading them.
#[derive(FromQueryResult)]
struct Counted {
    id: Uuid,
    tenant_id: Uuid,
    name: String,
    description: String,
    embedding_model: String,
    create_time: i64,
    update_time: i64,
    document_count: i64,
    chunk_count: i64,
}

const COUNTED: &str =
    "SELECT c.id, c.tenant_id, c.name, c.description, c.embedding_model, c.create_time, c.update_time,
        (SELECT COUNT(*) FROM documents d WHERE d.collection_id = c.id AND d.deleting = FALSE) AS document_count,
        (SELECT CAST(COALESCE(SUM(d.indexed_chunks), 0) AS BIGINT) FROM documents d
            WHERE d.collection_id = c.id AND d.deleting = FALSE) AS chunk_count
    FROM collections c WHERE c.tenant_id = $1";

pub(super) async fn create(
    store: &Store,
    tenant: TenantId,
    id: CollectionId,
    name: &str,
    description: &str,
    embedding_model: &str,
) -> Outcome<Collection> {
    let tx = store.begin().await?;
    let Some(now) = time::lock_tenant(&tx, tenant).await? else { return Err(tenants::missing().into()) };
    let row = collections::Model {
        id: id.0,
        tenant_id: tenant.0,
        name: name.to_owned(),
        description: description.to_owned(),
        embedding_model: embedding_model.to_owned(),
        create_time: now,
        update_time: now,
    };
    collections::insert(&tx, row).await.map_err(|error| taken(error, name))?;
    let collection = by_id(&tx, tenant, id).await?.ok_or_else(missing)?;
    tx.commit().await?;
    Ok(collection)
}

/// The id of a collection that is there.
pub(super) async fn id_of<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    named: &CollectionRef,
) -> Outcome<Option<CollectionId>> {
    let mut query = sql::for_tenant(tenant, "SELECT id FROM collections WHERE tenant_id = $1", []);
    match named {
        CollectionRef::Id(id) => query.push(" AND id = ").bind(id.0),
        CollectionRef::Name(name) => query.push(" AND name = ").bind(name.as_str()),
    };
    let id: Option<Uuid> = query.scalar(connection).await?;
    Ok(id.map(CollectionId))
}

pub(super) async fn by_id<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    id: CollectionId,
) -> Outcome<Option<Collection>> {
    let row: Option<Counted> =
        sql::for_tenant(tenant, format!("{COUNTED} AND c.id = $2"), [id.0.into()]).one(connection).await?;
    Ok(row.map(collection_of))
}

pub(super) async fn by_name<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    name: &str,
) -> Outcome<Option<Collection>> {
    let row: Option<Counted> =
        sql::for_tenant(tenant, format!("{COUNTED} AND c.name = $2"), [name.into()]).one(connection).await?;
    Ok(row.map(collection_of))
}

pub(super) async fn list<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    page: &PageRequest,
) -> Outcome<Page<Collection>> {
    let list = List::new("collections", tenant);
    let mut query = sql::for_tenant(tenant, COUNTED, []);
    if let Some(after) = list.after::<String>(page)? {
        query.push(" AND c.name > ").bind(after);
    }
    query.push(" ORDER BY c.name LIMIT ").bind(page_token::limit(page));
    let rows: Vec<Counted> = query.all(connection).await?;
    Ok(list.page(rows, page, |row| row.name.clone())?.map(collection_of))
}

pub(super) async fn update(
    store: &Store,
    tenant: TenantId,
    id: CollectionId,
    name: Option<&str>,
    description: Option<&str>,
) -> Outcome<Collection> {
    let tx = store.begin().await?;
    let now = time::now(&tx).await?;
    sql::for_tenant(
        tenant,
        "UPDATE collections SET name = COALESCE($3, name), description = COALESCE($4, description), update_time = $5
            WHERE tenant_id = $1 AND id = $2",
        [id.0.into(), name.map(str::to_owned).into(), description.map(str::to_owned).into(), now.into()],
    )
    .execute(&tx)
    .await
    .map_err(|error| taken(error, name.unwrap_or_default()))?;
    let collection = by_id(&tx, tenant, id).await?.ok_or_else(missing)?;
    tx.commit().await?;
    Ok(collection)
}

pub(super) async fn delete(store: &Store, tenant: TenantId, id: CollectionId) -> Outcome<()> {
    let tx = store.begin().await?;
    time::lock_tenant(&tx, tenant).await?;
    let occupied: Option<i32> = sql::for_tenant(
        tenant,
        "SELECT 1 FROM documents WHERE tenant_id = $1 AND collection_id = $2 LIMIT 1",
        [id.0.into()],
    )
    .scalar(&tx)
    .await?;
    if occupied.is_some() {
        return Err(Error::precondition(
            "COLLECTION_NOT_EMPTY",
            "the collection still has documents; delete them first, and wait until they are gone",
        )
        .into());
    }
    sql::for_tenant(
        tenant,
        "DELETE FROM lifecycle_policies WHERE tenant_id = $1 AND collection_id = $2",
        [id.0.into()],
    )
    .execute(&tx)
    .await?;
    let removed = collections::delete_for_tenant(tenant).filter(collections::Column::Id.eq(id.0)).exec(&tx).await?;
    if removed.rows_affected == 0 {
        return Err(missing().into());
    }
    tx.commit().await?;
    Ok(())
}

fn missing() -> Error {
    Error::not_found("COLLECTION_NOT_FOUND", "there is no such collection")
}

fn taken(error: sea_orm::DbErr, name: &str) -> Failure {
    if is_duplicate(&error) {
        Error::already_exists("COLLECTION_EXISTS", format!("there is a collection named `{name}` already"))
            .with_source(error)
            .into()
    } else {
        error.into()
    }
}

fn collection_of(row: Counted) -> Collection {
    Collection {
        id: CollectionId(row.id),
        tenant: TenantId(row.tenant_id),
        name: row.name,
        description: row.description,
        embedding_model: row.embedding_model,
        document_count: rows::size(row.document_count),
        chunk_count: rows::size(row.chunk_count),
        create_time: Timestamp(row.create_time),
        update_time: Timestamp(row.update_time),
    }
}
