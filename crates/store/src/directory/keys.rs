//! API keys.

use sea_orm::{ColumnTrait as _, ConnectionTrait, QueryFilter as _, QueryResult};
use vectrion_core::{
    Error,
    ids::{KeyId, TenantId},
    page::{Page, PageRequest},
    ports::directory::{KeyRecord, NewApiKey},
    tenancy::ApiKey,
    time::Timestamp,
};

use super::tenants;
use crate::{
    Store,
    failure::{Outcome, damaged},
    page_token::{self, List},
    rows::api_keys,
    sql, time,
};

/// How exact `last_use_time` is; within it, further uses of a key write nothing.
const USE_RESOLUTION_MS: i64 = 60_000;

pub(super) async fn create(store: &Store, key: NewApiKey) -> Outcome<ApiKey> {
    let tx = store.begin().await?;
    let Some(now) = time::lock_tenant(&tx, key.tenant).await? else { return Err(tenants::missing().into()) };
    let row = api_keys::Model {
        id: key.id.0,
        tenant_id: key.tenant.0,
        name: key.name,
        role: key.role.as_str().to_owned(),
        prefix: key.prefix,
        hash: key.hash.to_vec(),
        create_time: now,
        expire_time: key.expire_time.map(|time| time.0),
        revoke_time: None,
        last_use_time: None,
    };
    api_keys::insert(&tx, row.clone()).await?;
    tx.commit().await?;
    key_of(row)
}

/// A key with the time at which it was read.
struct Read {
    row: api_keys::Model,
    read_time: i64,
}

impl sea_orm::FromQueryResult for Read {
    fn from_query_result(result: &QueryResult, prefix: &str) -> Result<Self, sea_orm::DbErr> {
        Ok(Self {
            row: api_keys::Model::from_query_result(result, prefix)?,
            read_time: result.try_get(prefix, "read_time")?,
        })
    }
}

pub(super) async fn by_hash<C: ConnectionTrait>(connection: &C, hash: &[u8; 32]) -> Outcome<Option<KeyRecord>> {
    let now = time::now_expression(connection.get_database_backend());
    let read: Option<Read> = sql::across_tenants(
        format!("SELECT api_keys.*, {now} AS read_time FROM api_keys WHERE hash = $1"),
        [hash.to_vec().into()],
    )
    .one(connection)
    .await?;
    read.map(|read| {
        let stored = <[u8; 32]>::try_from(read.row.hash.as_slice())
            .map_err(|_| damaged("the hash of a key has a wrong length"))?;
        Ok(KeyRecord { key: key_of(read.row)?, hash: stored, read_time: Timestamp(read.read_time) })
    })
    .transpose()
}

pub(super) async fn by_id<C: ConnectionTrait>(connection: &C, tenant: TenantId, id: KeyId) -> Outcome<Option<ApiKey>> {
    let row = api_keys::for_tenant(tenant).filter(api_keys::Column::Id.eq(id.0)).one(connection).await?;
    row.map(key_of).transpose()
}

pub(super) async fn list<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    page: &PageRequest,
) -> Outcome<Page<ApiKey>> {
    let list = List::new("keys", tenant);
    let mut query = sql::for_tenant(tenant, "SELECT * FROM api_keys WHERE tenant_id = $1", []);
    if let Some((time, id)) = list.after::<(i64, uuid::Uuid)>(page)? {
        query.push(" AND (create_time, id) > (").bind(time).push(", ").bind(id).push(")");
    }
    query.push(" ORDER BY create_time, id LIMIT ").bind(page_token::limit(page));
    let rows: Vec<api_keys::Model> = query.all(connection).await?;
    let page = list.page(rows, page, |row| (row.create_time, row.id))?;
    Ok(Page { items: page.items.into_iter().map(key_of).collect::<Outcome<_>>()?, next: page.next })
}

pub(super) async fn update(
    store: &Store,
    tenant: TenantId,
    id: KeyId,
    name: Option<&str>,
    expire_time: Option<Option<Timestamp>>,
) -> Outcome<ApiKey> {
    let tx = store.begin().await?;
    sql::for_tenant(
        tenant,
        "UPDATE api_keys SET name = COALESCE($3, name), expire_time = CASE WHEN $4 THEN $5 ELSE expire_time END
            WHERE tenant_id = $1 AND id = $2",
        [
            id.0.into(),
            name.map(str::to_owned).into(),
            expire_time.is_some().into(),
            expire_time.flatten().map(|time| time.0).into(),
        ],
    )
    .execute(&tx)
    .await?;
    let key = by_id(&tx, tenant, id).await?.ok_or_else(missing)?;
    tx.commit().await?;
    Ok(key)
}

pub(super) async fn revoke(store: &Store, tenant: TenantId, id: KeyId) -> Outcome<ApiKey> {
    let tx = store.begin().await?;
    let now = time::now(&tx).await?;
    sql::for_tenant(
        tenant,
        "UPDATE api_keys SET revoke_time = $3 WHERE tenant_id = $1 AND id = $2 AND revoke_time IS NULL",
        [id.0.into(), now.into()],
    )
    .execute(&tx)
    .await?;
    let key = by_id(&tx, tenant, id).await?.ok_or_else(missing)?;
    tx.commit().await?;
    Ok(key)
}

pub(super) async fn touch(store: &Store, tenant: TenantId, id: KeyId) -> Outcome<()> {
    let now = time::now_expression(store.backend());
    let stale = format!("(last_use_time IS NULL OR last_use_time < {now} - {USE_RESOLUTION_MS})");
    // Looked up first by a reader: almost every call finds nothing to write, and need not queue for the writer.
    let due: Option<i32> = sql::for_tenant(
        tenant,
        format!("SELECT 1 FROM api_keys WHERE tenant_id = $1 AND id = $2 AND {stale}"),
        [id.0.into()],
    )
    .scalar(store.reader())
    .await?;
    if due.is_some() {
        sql::for_tenant(
            tenant,
            format!("UPDATE api_keys SET last_use_time = {now} WHERE tenant_id = $1 AND id = $2 AND {stale}"),
            [id.0.into()],
        )
        .execute(store.writer())
        .await?;
    }
    Ok(())
}

fn missing() -> Error {
    Error::not_found("KEY_NOT_FOUND", "there is no such key")
}

fn key_of(row: api_keys::Model) -> Outcome<ApiKey> {
    Ok(ApiKey {
        id: KeyId(row.id),
        tenant: TenantId(row.tenant_id),
        name: row.name,
        role: row.role.parse().map_err(|error: Error| damaged("a key has an unknown role").with_source(error))?,
        prefix: row.prefix,
        create_time: Timestamp(row.create_time),
        expire_time: row.expire_time.map(Timestamp),
        revoke_time: row.revoke_time.map(Timestamp),
        last_use_time: row.last_use_time.map(Timestamp),
    })
}
