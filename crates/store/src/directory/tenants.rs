//! Tenants.

use sea_orm::{ColumnTrait as _, ConnectionTrait, PaginatorTrait as _, QueryFilter as _};
use vectrion_core::{
    Error,
    ids::{CollectionId, TenantId},
    page::{Page, PageRequest},
    tenancy::{DEFAULT_NAME, Tenant},
    time::Timestamp,
};

use crate::{
    Store,
    failure::{Failure, Outcome, is_duplicate},
    page_token::{self, List},
    rows::{api_keys, collections, documents, tenants},
    sql, time,
};

pub(super) async fn none(store: &Store) -> Outcome<bool> {
    let some: Option<i32> = sql::across_tenants("SELECT 1 FROM tenants LIMIT 1", []).scalar(store.reader()).await?;
    Ok(some.is_none())
}

pub(super) async fn create(store: &Store, id: TenantId, name: &str) -> Outcome<Tenant> {
    let tx = store.begin().await?;
    let now = time::now(&tx).await?;
    let row = tenants::Model {
        id: id.0,
        name: name.to_owned(),
        revision: 0,
        history_floor: 0,
        create_time: now,
        update_time: now,
    };
    tenants::insert(&tx, row.clone()).await.map_err(|error| taken(error, name))?;
    // Which model embeds its documents is the installation's choice; an empty name says so.
    let collection = collections::Model {
        id: CollectionId::new().0,
        tenant_id: id.0,
        name: DEFAULT_NAME.to_owned(),
        description: String::new(),
        embedding_model: String::new(),
        create_time: now,
        update_time: now,
    };
    collections::insert(&tx, collection).await?;
    tx.commit().await?;
    Ok(tenant_of(row))
}

pub(super) async fn by_id<C: ConnectionTrait>(connection: &C, id: TenantId) -> Outcome<Option<Tenant>> {
    let row = tenants::across_tenants().filter(tenants::Column::Id.eq(id.0)).one(connection).await?;
    Ok(row.map(tenant_of))
}

pub(super) async fn by_name<C: ConnectionTrait>(connection: &C, name: &str) -> Outcome<Option<Tenant>> {
    let row = tenants::across_tenants().filter(tenants::Column::Name.eq(name)).one(connection).await?;
    Ok(row.map(tenant_of))
}

pub(super) async fn list(store: &Store, page: &PageRequest) -> Outcome<Page<Tenant>> {
    use sea_orm::{QueryOrder as _, QuerySelect as _};
    let list = List::new("tenants", ());
    let mut query = tenants::across_tenants().order_by_asc(tenants::Column::Name);
    if let Some(after) = list.after::<String>(page)? {
        query = query.filter(tenants::Column::Name.gt(after));
    }
    let rows = query.limit(page_token::limit(page).unsigned_abs()).all(store.reader()).await?;
    Ok(list.page(rows, page, |row| row.name.clone())?.map(tenant_of))
}

pub(super) async fn rename(store: &Store, id: TenantId, name: &str) -> Outcome<Tenant> {
    let tx = store.begin().await?;
    let now = time::now(&tx).await?;
    sql::for_tenant(
        id,
        "UPDATE tenants SET name = $2, update_time = $3 WHERE id = (SELECT id FROM tenants WHERE id = $1)",
        [name.into(), now.into()],
    )
    .execute(&tx)
    .await
    .map_err(|error| taken(error, name))?;
    let tenant = by_id(&tx, id).await?.ok_or_else(missing)?;
    tx.commit().await?;
    Ok(tenant)
}

pub(super) async fn delete(store: &Store, id: TenantId) -> Outcome<()> {
    let tx = store.begin().await?;
    if time::lock_tenant(&tx, id).await?.is_none() {
        return Err(missing().into());
    }
    if documents::for_tenant(id).count(&tx).await? > 0 {
        return Err(Error::precondition(
            "TENANT_NOT_EMPTY",
            "the tenant still has documents; delete them first, and wait until they are gone",
        )
        .into());
    }
    // Bytes of uploads in progress are still stored: their rows stay, expired, until somebody has removed them.
    sql::for_tenant(id, "UPDATE uploads SET expire_time = 0 WHERE tenant_id = $1", []).execute(&tx).await?;
    for table in [
        "dead_letters",
        "jobs",
        "answers",
        "requests",
        "completed_uploads",
        "document_ends",
        "deletions",
        "lifecycle_policies",
    ] {
        sql::for_tenant(id, format!("DELETE FROM {table} WHERE tenant_id = $1"), []).execute(&tx).await?;
    }
    api_keys::delete_for_tenant(id).exec(&tx).await?;
    collections::delete_for_tenant(id).exec(&tx).await?;
    sql::for_tenant(id, "DELETE FROM tenants WHERE id = $1", []).execute(&tx).await?;
    tx.commit().await?;
    Ok(())
}

/// There is no such tenant.
pub(super) fn missing() -> Error {
    Error::not_found("TENANT_NOT_FOUND", "there is no such tenant")
}

fn taken(error: sea_orm::DbErr, name: &str) -> Failure {
    if is_duplicate(&error) {
        Error::already_exists("TENANT_EXISTS", format!("there is a tenant named `{name}` already"))
            .with_source(error)
            .into()
    } else {
        error.into()
    }
}

fn tenant_of(row: tenants::Model) -> Tenant {
    Tenant {
        id: TenantId(row.id),
        name: row.name,
        create_time: Timestamp(row.create_time),
        update_time: Timestamp(row.update_time),
    }
}
