//! The right to end an upload in pieces, with a fencing token, and what became of it.

use sea_orm::{DatabaseTransaction, FromQueryResult};
use uuid::Uuid;
use vectrion_core::{
    Error, ErrorKind,
    ids::{DocumentId, TenantId, UploadId},
    ports::{
        catalog::Admission,
        uploads::{CompletedUpload, UploadOutcome, UploadTurn},
    },
};

use super::upload_of;
use crate::{
    Store,
    failure::{Outcome, damaged},
    rows::{column, number, uploads},
    sql,
    time::{self, Timed},
};

const OUTCOMES: [(UploadOutcome, &str); 4] = [
    (UploadOutcome::Created, "created"),
    (UploadOutcome::NewVersion, "new_version"),
    (UploadOutcome::Unchanged, "unchanged"),
    (UploadOutcome::Duplicate, "duplicate"),
];

pub(super) async fn claim(
    store: &Store,
    tenant: TenantId,
    id: UploadId,
    claim_ms: i64,
    ttl_ms: i64,
) -> Outcome<UploadTurn> {
    let tx = store.begin().await?;
    let found = time::lock_row::<uploads::Model>(&tx, tenant, "uploads", id.0, " FOR UPDATE").await?;
    let open = found.filter(|found| !found.row.one_call && found.row.expire_time > found.now);
    let Some(Timed { row, now }) = open else {
        let completed = completed(&tx, tenant, id).await?;
        return Ok(UploadTurn::Completed(completed.ok_or_else(missing)?));
    };
    if row.claim_expire_time > now {
        return Ok(UploadTurn::Busy);
    }
    let claimed = uploads::Model {
        claim_token: row.claim_token + 1,
        claim_expire_time: now.saturating_add(claim_ms),
        expire_time: row.expire_time.max(now.saturating_add(ttl_ms)),
        ..row
    };
    sql::for_tenant(
        tenant,
        "UPDATE uploads SET claim_token = $3, claim_expire_time = $4, expire_time = $5 WHERE tenant_id = $1 AND id = $2",
        [id.0.into(), claimed.claim_token.into(), claimed.claim_expire_time.into(), claimed.expire_time.into()],
    )
    .execute(&tx)
    .await?;
    tx.commit().await?;
    let token = claimed.claim_token;
    Ok(UploadTurn::Taken { upload: Box::new(upload_of(claimed)?), token })
}

pub(super) async fn renew(store: &Store, tenant: TenantId, id: UploadId, token: i64, claim_ms: i64) -> Outcome<()> {
    let now = time::now_expression(store.backend());
    let renewed = sql::for_tenant(
        tenant,
        format!(
            "UPDATE uploads SET claim_expire_time = {now} + $4
                WHERE tenant_id = $1 AND id = $2 AND claim_token = $3 AND expire_time > {now}"
        ),
        [id.0.into(), token.into(), claim_ms.into()],
    )
    .execute(store.writer())
    .await?;
    if renewed == 1 { Ok(()) } else { Err(lost().into()) }
}

pub(super) async fn release(store: &Store, tenant: TenantId, id: UploadId, token: i64) -> Outcome<()> {
    sql::for_tenant(
        tenant,
        "UPDATE uploads SET claim_expire_time = 0 WHERE tenant_id = $1 AND id = $2 AND claim_token = $3",
        [id.0.into(), token.into()],
    )
    .execute(store.writer())
    .await?;
    Ok(())
}

/// Waits for an admission that is under way, which holds the row.
pub(super) async fn expire(store: &Store, tenant: TenantId, id: UploadId, token: i64) -> Outcome<bool> {
    let now = time::now_expression(store.backend());
    let expired = sql::for_tenant(
        tenant,
        format!(
            "UPDATE uploads SET expire_time = {now}
                WHERE tenant_id = $1 AND id = $2 AND claim_token = $3 AND expire_time > {now}"
        ),
        [id.0.into(), token.into()],
    )
    .execute(store.writer())
    .await?;
    Ok(expired == 1)
}

pub(super) async fn purge(store: &Store, keep_ms: i64) -> Outcome<u64> {
    let now = time::now_expression(store.backend());
    let text = format!("DELETE FROM completed_uploads WHERE complete_time < {now} - $1");
    Ok(sql::across_tenants(text, [keep_ms.into()]).execute(store.writer()).await?)
}

/// Refuses who stood still while somebody else claimed the upload.
pub(crate) fn require_claim(row: &uploads::Model, token: i64) -> Outcome<()> {
    if row.claim_token == token { Ok(()) } else { Err(lost().into()) }
}

/// Keeps what became of an upload in pieces.
pub(crate) async fn note_completed(
    tx: &DatabaseTransaction,
    admission: &Admission,
    outcome: UploadOutcome,
    (document, version): (DocumentId, u32),
    now: i64,
) -> Outcome<()> {
    let name = OUTCOMES.iter().find(|(known, _)| *known == outcome).map_or("", |(_, name)| name);
    sql::for_tenant(
        admission.tenant,
        "INSERT INTO completed_uploads (tenant_id, upload_id, document_id, version, outcome, complete_time)
            VALUES ($1, $2, $3, $4, $5, $6)",
        [admission.upload.0.into(), document.0.into(), column(version).into(), name.into(), now.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Row {
    document_id: Uuid,
    version: i32,
    outcome: String,
}

async fn completed(tx: &DatabaseTransaction, tenant: TenantId, id: UploadId) -> Outcome<Option<CompletedUpload>> {
    let row: Option<Row> = sql::for_tenant(
        tenant,
        "SELECT document_id, version, outcome FROM completed_uploads WHERE tenant_id = $1 AND upload_id = $2",
        [id.0.into()],
    )
    .one(tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let outcome = OUTCOMES.iter().find(|(_, name)| *name == row.outcome).map(|(outcome, _)| *outcome);
    Ok(Some(CompletedUpload {
        document: DocumentId(row.document_id),
        version: number(row.version),
        outcome: outcome.ok_or_else(|| damaged("an upload has an unknown outcome"))?,
    }))
}

fn missing() -> Error {
    Error::not_found("UPLOAD_NOT_FOUND", "there is no such upload; it may have ended or expired: begin a new one")
}

fn lost() -> Error {
    Error::new(
        ErrorKind::Aborted,
        "UPLOAD_CLAIM_LOST",
        "another call has taken the upload over meanwhile; make the call again",
    )
}
