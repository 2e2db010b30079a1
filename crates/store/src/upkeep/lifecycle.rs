//! Lifecycle policies, and what they would remove.

use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;
use vectrion_core::{
    Error,
    ids::{CollectionId, DocumentId, TenantId, VersionId},
    lifecycle::{LifecycleCandidate, LifecyclePolicy, LifecycleRule, LifecycleRules},
    time::Timestamp,
};

use crate::{
    Store,
    failure::Outcome,
    rows::{column, number},
    sql::{self, Sql},
    time,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(FromQueryResult)]
struct Row {
    collection_id: Uuid,
    tenant_id: Uuid,
    retention_days: Option<i32>,
    keep_versions: Option<i32>,
    purge_failed_days: Option<i32>,
    purge_orphans: Option<bool>,
    update_time: Option<i64>,
    orphans_time: Option<i64>,
}

pub(super) async fn policy<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    collection: CollectionId,
) -> Outcome<LifecyclePolicy> {
    let row: Option<Row> = sql::for_tenant(
        tenant,
        "SELECT c.id AS collection_id, c.tenant_id, p.retention_days, p.keep_versions, p.purge_failed_days,
            p.purge_orphans, p.update_time, p.orphans_time
            FROM collections c LEFT JOIN lifecycle_policies p ON p.collection_id = c.id
            WHERE c.tenant_id = $1 AND c.id = $2",
        [collection.0.into()],
    )
    .one(connection)
    .await?;
    Ok(row.map(policy_of).ok_or_else(missing)?)
}

pub(super) async fn set(
    store: &Store,
    tenant: TenantId,
    collection: CollectionId,
    rules: LifecycleRules,
) -> Outcome<LifecyclePolicy> {
    let tx = store.begin().await?;
    time::lock_tenant(&tx, tenant).await?;
    policy(&tx, tenant, collection).await?;
    if rules.is_empty() {
        sql::for_tenant(
            tenant,
            "DELETE FROM lifecycle_policies WHERE tenant_id = $1 AND collection_id = $2",
            [collection.0.into()],
        )
        .execute(&tx)
        .await?;
    } else {
        let now = time::now(&tx).await?;
        sql::for_tenant(
            tenant,
            "INSERT INTO lifecycle_policies (tenant_id, collection_id, retention_days, keep_versions, purge_failed_days,
                purge_orphans, update_time) VALUES ($1, $2, $3, $4, $5, $6, $7)
                ON CONFLICT (collection_id) DO UPDATE SET retention_days = excluded.retention_days,
                keep_versions = excluded.keep_versions, purge_failed_days = excluded.purge_failed_days,
                purge_orphans = excluded.purge_orphans, update_time = excluded.update_time",
            [
                collection.0.into(),
                rules.retention_days.map(column).into(),
                rules.keep_versions.map(column).into(),
                rules.purge_failed_days.map(column).into(),
                rules.purge_orphans.into(),
                now.into(),
            ],
        )
        .execute(&tx)
        .await?;
    }
    let set = policy(&tx, tenant, collection).await?;
    tx.commit().await?;
    Ok(set)
}

pub(super) async fn walk<C: ConnectionTrait>(
    connection: &C,
    after: Option<CollectionId>,
    limit: u32,
) -> Outcome<Vec<LifecyclePolicy>> {
    let mut query = sql::across_tenants(
        "SELECT collection_id, tenant_id, retention_days, keep_versions, purge_failed_days, purge_orphans, update_time,
            orphans_time FROM lifecycle_policies WHERE TRUE",
        [],
    );
    if let Some(after) = after {
        query.push(" AND collection_id > ").bind(after.0);
    }
    query.push(" ORDER BY collection_id LIMIT ").bind(i64::from(limit));
    Ok(query.all::<Row, _>(connection).await?.into_iter().map(policy_of).collect())
}

pub(super) async fn begin_orphans(
    store: &Store,
    tenant: TenantId,
    collection: CollectionId,
    every: i64,
) -> Outcome<bool> {
    let now = time::now_expression(store.backend());
    let begun = sql::for_tenant(
        tenant,
        format!(
            "UPDATE lifecycle_policies SET orphans_time = {now} WHERE tenant_id = $1 AND collection_id = $2
                AND (orphans_time IS NULL OR orphans_time <= {now} - $3)"
        ),
        [collection.0.into(), every.into()],
    )
    .execute(store.writer())
    .await?;
    Ok(begun == 1)
}

#[derive(FromQueryResult)]
struct Candidate {
    document_id: Uuid,
    version_id: Uuid,
    number: i32,
    filename: String,
    since: i64,
    revision: i64,
}

pub(super) async fn candidates(
    store: &Store,
    tenant: TenantId,
    collection: CollectionId,
    rule: LifecycleRule,
    after: Option<VersionId>,
    limit: u32,
) -> Outcome<Vec<LifecycleCandidate>> {
    let now = time::now(store.reader()).await?;
    let rows: Vec<Candidate> =
        candidates_query(tenant, collection, rule, after, limit, now).all(store.reader()).await?;
    let candidate = |row: Candidate| LifecycleCandidate {
        document: DocumentId(row.document_id),
        version_id: VersionId(row.version_id),
        version: number(row.number),
        filename: row.filename,
        since: Timestamp(row.since),
        revision: row.revision,
    };
    Ok(rows.into_iter().map(candidate).collect())
}

pub(crate) fn candidates_query(
    tenant: TenantId,
    collection: CollectionId,
    rule: LifecycleRule,
    after: Option<VersionId>,
    limit: u32,
    now: i64,
) -> Sql {
    let before = |days: u32| now.saturating_sub(i64::from(days).saturating_mul(DAY_MS));
    let (since, join) = match rule {
        LifecycleRule::Retention(_) => ("v.create_time", "v.id = d.newest_version_id"),
        LifecycleRule::Failed(_) => ("v.update_time", "v.id = d.newest_version_id"),
        LifecycleRule::Versions(_) => ("v.create_time", "v.document_id = d.id"),
    };
    let mut query = sql::for_tenant(
        tenant,
        format!(
            "SELECT d.id AS document_id, v.id AS version_id, v.number, v.filename, {since} AS since, d.revision
                FROM documents d JOIN document_versions v ON {join}
                WHERE d.tenant_id = $1 AND d.deleting = FALSE AND d.collection_id = "
        ),
        [],
    );
    query.bind(collection.0);
    match rule {
        LifecycleRule::Retention(days) => query.push(" AND v.create_time < ").bind(before(days)),
        LifecycleRule::Failed(days) => query
            .push(" AND d.state = 'failed' AND d.indexed_version_id IS NULL AND v.update_time < ")
            .bind(before(days)),
        // The one that searches see stays whatever its number; one on its way is not in the way of anybody.
        LifecycleRule::Versions(keep) => query
            .push(" AND v.state IN ('indexed', 'failed') AND (d.indexed_version_id IS NULL OR v.id <> d.indexed_version_id)")
            .push(" AND v.number <= d.newest_version - ")
            .bind(i64::from(keep)),
    };
    if let Some(after) = after {
        query.push(" AND v.id > ").bind(after.0);
    }
    query.push(" ORDER BY v.id LIMIT ").bind(i64::from(limit));
    query
}

fn policy_of(row: Row) -> LifecyclePolicy {
    LifecyclePolicy {
        collection: CollectionId(row.collection_id),
        tenant: TenantId(row.tenant_id),
        rules: LifecycleRules {
            retention_days: row.retention_days.map(number),
            keep_versions: row.keep_versions.map(number),
            purge_failed_days: row.purge_failed_days.map(number),
            purge_orphans: row.purge_orphans.unwrap_or(false),
        },
        update_time: row.update_time.map(Timestamp),
        orphans_time: row.orphans_time.map(Timestamp),
    }
}

fn missing() -> Error {
    Error::not_found("COLLECTION_NOT_FOUND", "there is no such collection")
}
