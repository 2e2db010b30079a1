//! The history of changes.

use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult};
use uuid::Uuid;
use vectrion_core::{
    document::{DocumentFilter, DocumentState},
    ids::{DocumentId, TenantId},
    ports::catalog::Changes,
};

use super::{
    conditions::add_document_filter,
    view::{self, View},
};
use crate::{
    Store,
    failure::Outcome,
    rows,
    sql::{self, Sql},
    time,
};

#[derive(FromQueryResult)]
struct Extent {
    revision: i64,
    history_floor: i64,
}

#[derive(FromQueryResult)]
struct End {
    document_id: Uuid,
    revision: i64,
}

/// Runs within a snapshot: documents, ends and the newest revision are of one moment.
pub(super) async fn changes(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    filter: &DocumentFilter,
    after: i64,
    first_look: bool,
    limit: u32,
) -> Outcome<Changes> {
    let extent: Option<Extent> =
        sql::for_tenant(tenant, "SELECT revision, history_floor FROM tenants WHERE id = $1", []).one(tx).await?;
    let Extent { revision: newest, history_floor } = extent.unwrap_or(Extent { revision: 0, history_floor: 0 });
    // Beyond the newest: the revision is from before the database was restored.
    if after > newest || (after > 0 && after < history_floor && !first_look) {
        return Ok(Changes::Resync { revision: newest });
    }
    let limit = limit.max(1) as usize;
    let fetch = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;

    let mut changed: Vec<View> = changed_query(tenant, filter, after, fetch)?.all(tx).await?;

    let mut query = sql::for_tenant(
        tenant,
        "SELECT document_id, revision FROM document_ends WHERE tenant_id = $1 AND revision > $2",
        [after.into()],
    );
    if let Some(collection) = filter.collection {
        query.push(" AND collection_id = ").bind(collection.0);
    }
    if !filter.documents.is_empty() {
        query.push(" AND document_id IN ").bind_list(filter.documents.iter().map(|id| id.0));
    }
    query.push(" ORDER BY revision LIMIT ").bind(fetch);
    let mut removed: Vec<End> = query.all(tx).await?;

    // Of both together, the oldest `limit`.
    let mut revisions: Vec<i64> =
        changed.iter().map(|view| view.revision).chain(removed.iter().map(|end| end.revision)).collect();
    revisions.sort_unstable();
    let more = revisions.len() > limit;
    let revision = if more { revisions[limit - 1] } else { newest };
    changed.retain(|view| view.revision <= revision);
    removed.retain(|end| end.revision <= revision);
    Ok(Changes::Since {
        changed: changed.into_iter().map(View::into_newest).collect::<Outcome<_>>()?,
        removed: removed.into_iter().map(|end| (DocumentId(end.document_id), end.revision)).collect(),
        revision,
        more,
    })
}

pub(crate) fn changed_query(tenant: TenantId, filter: &DocumentFilter, after: i64, limit: i64) -> Outcome<Sql> {
    let mut query = view::newest_of(tenant);
    query.push(" AND d.revision > ").bind(after);
    add_document_filter(&mut query, filter)?;
    query.push(" ORDER BY d.revision LIMIT ").bind(limit);
    Ok(query)
}

pub(super) async fn revision<C: ConnectionTrait>(connection: &C, tenant: TenantId) -> Outcome<i64> {
    let revision: Option<i64> =
        sql::for_tenant(tenant, "SELECT revision FROM tenants WHERE id = $1", []).scalar(connection).await?;
    Ok(revision.unwrap_or(0))
}

pub(super) async fn trim(store: &Store, keep_ms: i64) -> Outcome<u64> {
    let tx = store.begin().await?;
    let cutoff = time::now(&tx).await?.saturating_sub(keep_ms);
    sql::across_tenants(
        // Should the clock have gone back, a later end may have been forgotten already: the floor never sinks.
        "UPDATE tenants SET history_floor = (
            SELECT MAX(e.revision) FROM document_ends e WHERE e.tenant_id = tenants.id AND e.end_time < $1
        ) WHERE id IN (SELECT e.tenant_id FROM document_ends e WHERE e.end_time < $1) AND history_floor < (
            SELECT MAX(e.revision) FROM document_ends e WHERE e.tenant_id = tenants.id AND e.end_time < $1
        )",
        [cutoff.into()],
    )
    .execute(&tx)
    .await?;
    let removed =
        sql::across_tenants("DELETE FROM document_ends WHERE end_time < $1", [cutoff.into()]).execute(&tx).await?;
    tx.commit().await?;
    Ok(removed)
}

pub(super) async fn count_by_state<C: ConnectionTrait>(connection: &C) -> Outcome<Vec<(DocumentState, u64)>> {
    #[derive(FromQueryResult)]
    struct Count {
        state: String,
        documents: i64,
    }
    let counts: Vec<Count> =
        sql::across_tenants("SELECT state, COUNT(*) AS documents FROM documents GROUP BY state", [])
            .all(connection)
            .await?;
    counts.into_iter().map(|count| Ok((view::state_of(&count.state)?, rows::size(count.documents)))).collect()
}
