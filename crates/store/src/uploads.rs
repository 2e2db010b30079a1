//! Uploads in progress.

mod claims;

use async_trait::async_trait;
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, DbBackend, QueryFilter as _};
use vectrion_core::{
    Error, ErrorKind, Result,
    document::{ExternalId, Filename},
    ids::{CollectionId, TenantId, UploadId, VersionId},
    ports::uploads::{Upload, UploadHeader, UploadTurn, Uploads},
    time::Timestamp,
};

use crate::{
    Store,
    failure::{Outcome, damaged},
    rows::{size, size_column, uploads},
    sql,
    time::{self, Timed},
};

pub(crate) use self::claims::{note_completed, require_claim};

#[async_trait]
impl Uploads for Store {
    async fn create_upload(
        &self,
        tenant: TenantId,
        id: UploadId,
        version_id: VersionId,
        header: UploadHeader,
        one_call: bool,
        ttl_ms: i64,
    ) -> Result<Upload> {
        self.unit(|| async {
            let now = time::now(self.reader()).await?;
            let metadata = header.metadata.as_ref().map(serde_json::to_string).transpose()?;
            let row = uploads::Model {
                id: id.0,
                tenant_id: tenant.0,
                version_id: version_id.0,
                collection_id: header.collection.0,
                external_id: header.external_id.as_str().to_owned(),
                filename: header.filename.as_str().to_owned(),
                size: header.size.map(size_column),
                sha256: header.sha256.map(Vec::from),
                metadata,
                allow_duplicate: header.allow_duplicate,
                committed: 0,
                one_call,
                create_time: now,
                expire_time: now.saturating_add(ttl_ms),
                claim_token: 0,
                claim_expire_time: 0,
            };
            uploads::insert(self.writer(), row.clone()).await?;
            upload_of(row)
        })
        .await
    }

    async fn upload(&self, tenant: TenantId, id: UploadId) -> Result<Option<Upload>> {
        let now = time::now_expression(self.backend());
        self.unit(|| async {
            let row: Option<uploads::Model> = sql::for_tenant(
                tenant,
                format!("SELECT * FROM uploads WHERE tenant_id = $1 AND id = $2 AND expire_time > {now}"),
                [id.0.into()],
            )
            .one(self.reader())
            .await?;
            row.map(upload_of).transpose()
        })
        .await
    }

    async fn advance_upload(&self, tenant: TenantId, id: UploadId, from: u64, to: u64, ttl_ms: i64) -> Result<()> {
        self.unit(|| advance(self, tenant, id, from, to, ttl_ms)).await
    }

    async fn claim_upload(&self, tenant: TenantId, id: UploadId, claim_ms: i64, ttl_ms: i64) -> Result<UploadTurn> {
        self.unit(|| claims::claim(self, tenant, id, claim_ms, ttl_ms)).await
    }

    async fn renew_upload_claim(&self, tenant: TenantId, id: UploadId, token: i64, claim_ms: i64) -> Result<()> {
        self.unit(|| claims::renew(self, tenant, id, token, claim_ms)).await
    }

    async fn release_upload_claim(&self, tenant: TenantId, id: UploadId, token: i64) -> Result<()> {
        self.unit(|| claims::release(self, tenant, id, token)).await
    }

    async fn expire_upload(&self, tenant: TenantId, id: UploadId, token: i64) -> Result<bool> {
        self.unit(|| claims::expire(self, tenant, id, token)).await
    }

    async fn purge_completed_uploads(&self, keep_ms: i64) -> Result<u64> {
        self.long_unit(|| claims::purge(self, keep_ms)).await
    }

    async fn remove_upload(&self, tenant: TenantId, id: UploadId) -> Result<()> {
        self.unit(|| async {
            uploads::delete_for_tenant(tenant).filter(uploads::Column::Id.eq(id.0)).exec(self.writer()).await?;
            Ok(())
        })
        .await
    }

    async fn expired_uploads(&self, left_over: bool, limit: u32) -> Result<Vec<Upload>> {
        self.long_unit(|| expired(self, left_over, limit)).await
    }
}

async fn advance(store: &Store, tenant: TenantId, id: UploadId, from: u64, to: u64, ttl_ms: i64) -> Outcome<()> {
    let tx = store.begin().await?;
    let Timed { row, now } = open(&tx, tenant, id).await?;
    let conflict = |message| Error::new(ErrorKind::Aborted, "UPLOAD_CONFLICT", message);
    if row.committed != size_column(from) {
        let message =
            "another call stored bytes of the upload at the same time; ask for its committed size and go on from there";
        return Err(conflict(message).with_metadata("committed_size", row.committed.to_string()).into());
    }
    // One that ran out counts, too: whoever had it may still be putting these bytes together.
    if row.claim_expire_time != 0 {
        return Err(conflict("the upload is being completed; complete it, or abort it").into());
    }
    sql::for_tenant(
        tenant,
        "UPDATE uploads SET committed = $3, expire_time = $4 WHERE tenant_id = $1 AND id = $2",
        [id.0.into(), size_column(to).into(), now.saturating_add(ttl_ms).into()],
    )
    .execute(&tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// An upload that can go on, locked until the transaction ends.
pub(crate) async fn open(tx: &DatabaseTransaction, tenant: TenantId, id: UploadId) -> Outcome<Timed<uploads::Model>> {
    let found = time::lock_row::<uploads::Model>(tx, tenant, "uploads", id.0, " FOR UPDATE").await?;
    Ok(found.filter(|found| found.row.expire_time > found.now).ok_or_else(|| {
        Error::not_found("UPLOAD_NOT_FOUND", "there is no such upload; it may have ended or expired: begin a new one")
    })?)
}

/// Ends an upload whose bytes are a version's now.
pub(crate) async fn remove(tx: &DatabaseTransaction, tenant: TenantId, id: UploadId) -> Outcome<()> {
    uploads::delete_for_tenant(tenant).filter(uploads::Column::Id.eq(id.0)).exec(tx).await?;
    Ok(())
}

/// Ends an upload whose bytes nobody needs; its row leads to them until they are removed.
pub(crate) async fn expire(tx: &DatabaseTransaction, tenant: TenantId, id: UploadId, now: i64) -> Outcome<()> {
    sql::for_tenant(
        tenant,
        "UPDATE uploads SET expire_time = $3 WHERE tenant_id = $1 AND id = $2",
        [id.0.into(), now.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The caller goes on to remove the bytes. So that no admission that is under way needs them, this writes: it waits for
/// such an admission on the row (or passes it over), and a later one finds the upload expired.
async fn expired(store: &Store, left_over: bool, limit: u32) -> Outcome<Vec<Upload>> {
    let tx = store.begin().await?;
    let now = time::now(&tx).await?;
    if left_over {
        let text = "UPDATE uploads SET claim_expire_time = 0 WHERE claim_expire_time <> 0";
        sql::across_tenants(text, []).execute(&tx).await?;
    }
    let one_call = if left_over { " OR one_call = TRUE" } else { "" };
    let skip = match tx.get_database_backend() {
        DbBackend::Postgres => " FOR UPDATE SKIP LOCKED",
        _ => "",
    };
    let rows: Vec<uploads::Model> = sql::across_tenants(
        format!(
            "UPDATE uploads SET expire_time = CASE WHEN expire_time > $1 THEN $1 ELSE expire_time END
                WHERE id IN (SELECT id FROM uploads WHERE expire_time <= $1{one_call} ORDER BY expire_time LIMIT $2{skip})
                RETURNING *"
        ),
        [now.into(), i64::from(limit).into()],
    )
    .all(&tx)
    .await?;
    tx.commit().await?;
    rows.into_iter().map(upload_of).collect()
}

fn upload_of(row: uploads::Model) -> Outcome<Upload> {
    let unreadable = |error: Error| damaged("an upload breaks the rules of names").with_source(error);
    Ok(Upload {
        id: UploadId(row.id),
        tenant: TenantId(row.tenant_id),
        version_id: VersionId(row.version_id),
        header: UploadHeader {
            collection: CollectionId(row.collection_id),
            external_id: ExternalId::new(row.external_id).map_err(unreadable)?,
            filename: Filename::new(row.filename).map_err(unreadable)?,
            size: row.size.map(size),
            sha256: row
                .sha256
                .map(<[u8; 32]>::try_from)
                .transpose()
                .map_err(|_| damaged("the checksum of an upload has a wrong length"))?,
            metadata: row.metadata.map(|json| serde_json::from_str(&json)).transpose()?,
            allow_duplicate: row.allow_duplicate,
        },
        committed: size(row.committed),
        one_call: row.one_call,
        create_time: Timestamp(row.create_time),
        expire_time: Timestamp(row.expire_time),
    })
}
