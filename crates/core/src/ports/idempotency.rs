//! Replay of mutations.

use async_trait::async_trait;
use uuid::Uuid;

use crate::{Result, ids::TenantId};

/// What is known of a request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is new, and now taken by this call.
    New {
        /// Fencing token; grows with every time that the id is taken.
        token: i64,
    },
    /// It was used for the same call, whose outcome is this.
    Replay(Vec<u8>),
    /// It was used for another call.
    Reused,
    /// The same call is under way.
    InProgress,
}

/// Remembers outcomes of mutations by request id, per tenant, for 24 hours.
#[async_trait]
pub trait Idempotency: Send + Sync {
    /// Takes a request id for a call of `method` with parameters of this hash. A claim without outcome is void after
    /// `claim_ms` milliseconds.
    async fn claim_request(
        &self,
        tenant: TenantId,
        request: Uuid,
        method: &str,
        parameters: [u8; 32],
        claim_ms: i64,
    ) -> Result<Claimed>;

    /// Puts the end of a claim off: it is void `claim_ms` milliseconds from now. False if the id has an outcome or was
    /// taken again since.
    async fn renew_request(&self, tenant: TenantId, request: Uuid, token: i64, claim_ms: i64) -> Result<bool>;

    /// Stores the outcome of a call that took the id. False, and nothing is stored, if it has an outcome or was taken
    /// again since.
    async fn settle_request(&self, tenant: TenantId, request: Uuid, token: i64, outcome: Vec<u8>) -> Result<bool>;

    /// Gives the id free again, after an outcome that is not to be replayed. Nothing happens if it has an outcome or was
    /// taken again since.
    async fn forget_request(&self, tenant: TenantId, request: Uuid, token: i64) -> Result<()>;

    /// Removes outcomes older than `keep_ms` milliseconds.
    async fn purge_requests(&self, keep_ms: i64) -> Result<u64>;
}
