//! Outcomes of mutations by request id.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait as _, DbBackend, FromQueryResult, Value};
use uuid::Uuid;
use vectrion_core::{
    Result,
    ids::TenantId,
    ports::idempotency::{Claimed, Idempotency},
};

use crate::{Store, failure::Outcome, sql, time};

#[async_trait]
impl Idempotency for Store {
    async fn claim_request(
        &self,
        tenant: TenantId,
        request: Uuid,
        method: &str,
        parameters: [u8; 32],
        claim_ms: i64,
    ) -> Result<Claimed> {
        self.unit(|| claim(self, tenant, request, method, &parameters, claim_ms)).await
    }

    async fn renew_request(&self, tenant: TenantId, request: Uuid, token: i64, claim_ms: i64) -> Result<bool> {
        let change = format!("claim_expire_time = {} + $4", time::now_expression(self.backend()));
        self.unit(|| change_claim(self, tenant, request, token, &change, claim_ms.into())).await
    }

    async fn settle_request(&self, tenant: TenantId, request: Uuid, token: i64, outcome: Vec<u8>) -> Result<bool> {
        self.unit(|| change_claim(self, tenant, request, token, "outcome = $4", outcome.clone().into())).await
    }

    async fn forget_request(&self, tenant: TenantId, request: Uuid, token: i64) -> Result<()> {
        // The row stays, so that tokens grow: who stood still does not find its own again.
        self.unit(|| change_claim(self, tenant, request, token, "claim_expire_time = $4", 0_i64.into())).await?;
        Ok(())
    }

    async fn purge_requests(&self, keep_ms: i64) -> Result<u64> {
        let now = time::now_expression(self.backend());
        self.long_unit(|| async {
            let text = format!("DELETE FROM requests WHERE create_time < {now} - $1");
            Ok(sql::across_tenants(text, [keep_ms.into()]).execute(self.writer()).await?)
        })
        .await
    }
}

/// Changes a claim that is still this call's. Says whether it was.
async fn change_claim(
    store: &Store,
    tenant: TenantId,
    request: Uuid,
    token: i64,
    change: &str,
    value: Value,
) -> Outcome<bool> {
    let changed = sql::for_tenant(
        tenant,
        format!(
            "UPDATE requests SET {change}
                WHERE tenant_id = $1 AND request_id = $2 AND claim_token = $3 AND outcome IS NULL"
        ),
        [request.into(), token.into(), value],
    )
    .execute(store.writer())
    .await?;
    Ok(changed > 0)
}

#[derive(FromQueryResult)]
struct Known {
    method: String,
    parameters: Vec<u8>,
    outcome: Option<Vec<u8>>,
    claim_token: i64,
    claim_expire_time: i64,
}

async fn claim(
    store: &Store,
    tenant: TenantId,
    request: Uuid,
    method: &str,
    parameters: &[u8; 32],
    claim_ms: i64,
) -> Outcome<Claimed> {
    let tx = store.begin().await?;
    let now = time::now(&tx).await?;
    let inserted = sql::for_tenant(
        tenant,
        "INSERT INTO requests (tenant_id, request_id, method, parameters, create_time, claim_expire_time, claim_token)
            VALUES ($1, $2, $3, $4, $5, $6, 1) ON CONFLICT (tenant_id, request_id) DO NOTHING",
        [request.into(), method.into(), parameters.to_vec().into(), now.into(), now.saturating_add(claim_ms).into()],
    )
    .execute(&tx)
    .await?;
    if inserted > 0 {
        tx.commit().await?;
        return Ok(Claimed::New { token: 1 });
    }
    let lock = match tx.get_database_backend() {
        DbBackend::Postgres => " FOR UPDATE",
        _ => "",
    };
    let known: Option<Known> = sql::for_tenant(
        tenant,
        format!(
            "SELECT method, parameters, outcome, claim_token, claim_expire_time FROM requests
                WHERE tenant_id = $1 AND request_id = $2{lock}"
        ),
        [request.into()],
    )
    .one(&tx)
    .await?;
    // Gone between the two statements: its time was over.
    let Some(known) = known else { return Ok(Claimed::InProgress) };
    let same = known.method == method && known.parameters == parameters;
    match known.outcome {
        Some(outcome) if same => Ok(Claimed::Replay(outcome)),
        None if known.claim_expire_time <= time::now(&tx).await? => {
            let token = known.claim_token + 1;
            sql::for_tenant(
                tenant,
                "UPDATE requests SET method = $3, parameters = $4, create_time = $5, claim_expire_time = $6,
                    claim_token = $7
                    WHERE tenant_id = $1 AND request_id = $2",
                [
                    request.into(),
                    method.into(),
                    parameters.to_vec().into(),
                    now.into(),
                    now.saturating_add(claim_ms).into(),
                    token.into(),
                ],
            )
            .execute(&tx)
            .await?;
            tx.commit().await?;
            Ok(Claimed::New { token })
        }
        None if same => Ok(Claimed::InProgress),
        _ => Ok(Claimed::Reused),
    }
}
