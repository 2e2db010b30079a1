//! Tombstones and receipts of deletions.

use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use vectrion_core::{
    deletion::{DeletionCause, DeletionOrder, DeletionReceipt, Left, Removed},
    ids::{CollectionId, DocumentId, KeyId, TenantId, VersionId},
    page::{Page, PageRequest},
    time::Timestamp,
};

use crate::{
    Store,
    failure::{Outcome, damaged},
    page_token::{self, List},
    rows::{documents, size, size_column},
    sql::{self, Sql},
    time,
};

#[derive(FromQueryResult)]
struct Row {
    document_id: Uuid,
    tenant_id: Uuid,
    collection_id: Uuid,
    external_id_sha256: Vec<u8>,
    cause: String,
    key_id: Option<Uuid>,
    trace_id: String,
    versions: String,
    removed_versions: i64,
    removed_chunks: i64,
    removed_points: i64,
    removed_objects: i64,
    removed_bytes: i64,
    request_time: i64,
    end_time: Option<i64>,
    verify_time: Option<i64>,
    left_rows: i64,
    left_points: i64,
    left_objects: i64,
}

/// Leaves a tombstone. A deletion that is begun again keeps the one that it has.
pub(crate) async fn leave_tombstone(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: &documents::Model,
    order: &DeletionOrder,
    now: i64,
) -> Outcome<()> {
    let versions: Vec<Uuid> = sql::for_tenant(
        tenant,
        "SELECT id FROM document_versions WHERE tenant_id = $1 AND document_id = $2 ORDER BY number",
        [document.id.into()],
    )
    .scalars(tx)
    .await?;
    sql::for_tenant(
        tenant,
        "INSERT INTO deletions (tenant_id, document_id, collection_id, external_id_sha256, cause, key_id, trace_id,
            versions, removed_versions, removed_chunks, removed_points, removed_objects, removed_bytes, request_time,
            left_rows, left_points, left_objects)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, 0, 0, $9, 0, 0, 0) ON CONFLICT (document_id) DO NOTHING",
        [
            document.id.into(),
            document.collection_id.into(),
            Sha256::digest(document.external_id.as_bytes()).to_vec().into(),
            order.cause.as_str().into(),
            order.key.map(|key| key.0).into(),
            order.trace_id.as_str().into(),
            serde_json::to_string(&versions)?.into(),
            now.into(),
        ],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes the end of a deletion, and what the database had of the document.
pub(crate) async fn end(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: DocumentId,
    versions: u64,
    chunks: u64,
    now: i64,
) -> Outcome<()> {
    sql::for_tenant(
        tenant,
        "UPDATE deletions SET removed_versions = $3, removed_chunks = $4, end_time = $5
            WHERE tenant_id = $1 AND document_id = $2",
        [document.0.into(), size_column(versions).into(), size_column(chunks).into(), now.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

const COLUMNS: &str = "document_id, tenant_id, collection_id, external_id_sha256, cause, key_id, trace_id, versions,
    removed_versions, removed_chunks, removed_points, removed_objects, removed_bytes, request_time, end_time, verify_time,
    left_rows, left_points, left_objects";

fn of(tenant: TenantId) -> Sql {
    sql::for_tenant(tenant, format!("SELECT {COLUMNS} FROM deletions WHERE tenant_id = $1"), [])
}

pub(super) async fn get<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    document: DocumentId,
) -> Outcome<Option<DeletionReceipt>> {
    let mut query = of(tenant);
    query.push(" AND document_id = ").bind(document.0);
    query.one::<Row, _>(connection).await?.map(receipt).transpose()
}

pub(super) async fn list<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    page: &PageRequest,
) -> Outcome<Page<DeletionReceipt>> {
    let list = List::new("deletions", tenant);
    let mut query = of(tenant);
    if let Some((time, id)) = list.after::<(i64, Uuid)>(page)? {
        query.push(" AND (request_time, document_id) < (").bind(time).push(", ").bind(id).push(")");
    }
    query.push(" ORDER BY request_time DESC, document_id DESC LIMIT ").bind(page_token::limit(page));
    let rows: Vec<Row> = query.all(connection).await?;
    let page = list.page(rows, page, |row| (row.request_time, row.document_id))?;
    Ok(Page { items: page.items.into_iter().map(receipt).collect::<Outcome<_>>()?, next: page.next })
}

pub(super) async fn unverified<C: ConnectionTrait>(
    connection: &C,
    after: Option<&DeletionReceipt>,
    limit: u32,
) -> Outcome<Vec<DeletionReceipt>> {
    let text = format!("SELECT {COLUMNS} FROM deletions WHERE verify_time IS NULL AND end_time IS NOT NULL");
    let mut query = sql::across_tenants(text, []);
    if let Some((after, end_time)) = after.and_then(|after| Some((after, after.end_time?))) {
        query.push(" AND (end_time, document_id) > (").bind(end_time.0).push(", ").bind(after.document.0).push(")");
    }
    query.push(" ORDER BY end_time, document_id LIMIT ").bind(i64::from(limit));
    let rows: Vec<Row> = query.all(connection).await?;
    rows.into_iter().map(receipt).collect()
}

pub(super) async fn note_removal(
    store: &Store,
    tenant: TenantId,
    document: DocumentId,
    removed: Removed,
) -> Outcome<()> {
    // A later try finds less.
    let most =
        |column: &str, value: &str| format!("{column} = CASE WHEN {column} < {value} THEN {value} ELSE {column} END");
    let (points, objects, bytes) =
        (most("removed_points", "$3"), most("removed_objects", "$4"), most("removed_bytes", "$5"));
    sql::for_tenant(
        tenant,
        format!("UPDATE deletions SET {points}, {objects}, {bytes} WHERE tenant_id = $1 AND document_id = $2"),
        [
            document.0.into(),
            size_column(removed.points).into(),
            size_column(removed.objects).into(),
            size_column(removed.bytes).into(),
        ],
    )
    .execute(store.writer())
    .await?;
    Ok(())
}

pub(super) async fn rows_left(tx: &DatabaseTransaction, receipt: &DeletionReceipt) -> Outcome<u64> {
    let mut left = 0;
    for (table, column) in [
        ("documents", "id"),
        ("document_versions", "document_id"),
        ("document_metadata", "document_id"),
        ("answer_documents", "document_id"),
    ] {
        let found: Option<i64> = sql::for_tenant(
            receipt.tenant,
            format!("SELECT COUNT(*) FROM {table} WHERE tenant_id = $1 AND {column} = $2"),
            [receipt.document.0.into()],
        )
        .scalar(tx)
        .await?;
        left += size(found.unwrap_or(0));
    }
    for table in ["chunks", "pages"] {
        let text = format!("SELECT COUNT(*) FROM {table} WHERE tenant_id = $1 AND version_id IN ");
        let mut query = sql::for_tenant(receipt.tenant, text, []);
        query.bind_list(receipt.versions.iter().map(|version| version.0));
        left += size(query.scalar(tx).await?.unwrap_or(0));
    }
    Ok(left)
}

pub(super) async fn note_left(store: &Store, tenant: TenantId, document: DocumentId, left: Left) -> Outcome<()> {
    let verified = if left.is_nothing() { time::now_expression(store.backend()) } else { "verify_time" };
    sql::for_tenant(
        tenant,
        format!(
            "UPDATE deletions SET left_rows = $3, left_points = $4, left_objects = $5, verify_time = {verified}
                WHERE tenant_id = $1 AND document_id = $2 AND end_time IS NOT NULL"
        ),
        [
            document.0.into(),
            size_column(left.rows).into(),
            size_column(left.points).into(),
            size_column(left.objects).into(),
        ],
    )
    .execute(store.writer())
    .await?;
    Ok(())
}

pub(super) async fn purge(store: &Store, keep_ms: i64) -> Outcome<u64> {
    let now = time::now_expression(store.backend());
    let text = format!("DELETE FROM deletions WHERE end_time < {now} - $1 AND verify_time IS NOT NULL");
    Ok(sql::across_tenants(text, [keep_ms.into()]).execute(store.writer()).await?)
}

fn receipt(row: Row) -> Outcome<DeletionReceipt> {
    let cause = DeletionCause::ALL.into_iter().find(|cause| cause.as_str() == row.cause);
    Ok(DeletionReceipt {
        document: DocumentId(row.document_id),
        tenant: TenantId(row.tenant_id),
        collection: CollectionId(row.collection_id),
        external_id_sha256: row
            .external_id_sha256
            .try_into()
            .map_err(|_| damaged("the checksum of an external id has the wrong length"))?,
        cause: cause.ok_or_else(|| damaged("a deletion has an unknown cause"))?,
        key: row.key_id.map(KeyId),
        trace_id: row.trace_id,
        versions: serde_json::from_str::<Vec<Uuid>>(&row.versions)?.into_iter().map(VersionId).collect(),
        removed: Removed {
            versions: size(row.removed_versions),
            chunks: size(row.removed_chunks),
            points: size(row.removed_points),
            objects: size(row.removed_objects),
            bytes: size(row.removed_bytes),
        },
        request_time: Timestamp(row.request_time),
        end_time: row.end_time.map(Timestamp),
        verify_time: row.verify_time.map(Timestamp),
        left: Left { rows: size(row.left_rows), points: size(row.left_points), objects: size(row.left_objects) },
    })
}
