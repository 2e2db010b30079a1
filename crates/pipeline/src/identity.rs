//! API keys: making, checking, revoking.

use std::sync::Arc;

use vectrion_core::{
    Result,
    ids::TenantId,
    tenancy::{ApiKey, CallContext, Principal, Role},
    time::Timestamp,
};

use crate::Ports;

/// The secret of an API key, shown once: `vk_` and 256 random bits. Its `Debug` shows only the prefix.
pub struct KeySecret(String);

impl KeySecret {
    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What the first start made.
pub struct Bootstrap {
    /// The tenant `default`.
    pub tenant: TenantId,
    /// Secret of the operator's key.
    pub secret: KeySecret,
}

/// A key to make.
pub struct NewKey {
    /// Tenant.
    pub tenant: TenantId,
    /// What it may do.
    pub role: Role,
    /// For people.
    pub name: String,
    /// From when on it is refused.
    pub expire_time: Option<Timestamp>,
}

/// Makes and checks keys. Secrets are stored as HMAC-SHA-256 with the installation's pepper.
pub struct Identity {
    ports: Arc<Ports>,
}

impl Identity {
    /// `pepper`: at least 32 bytes that are kept outside the database.
    #[must_use]
    pub fn new(ports: Arc<Ports>, pepper: Vec<u8>) -> Self {
        let _ = pepper;
        Self { ports }
    }

    /// On an empty database: the tenant `default` and an operator's key of it. Otherwise nothing.
    pub async fn bootstrap(&self) -> Result<Option<Bootstrap>> {
        let _ = &self.ports;
        todo!()
    }

    /// Who has this secret. A revocation is in force within 5 seconds.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` with reason `INVALID_API_KEY`, `API_KEY_EXPIRED` or `API_KEY_REVOKED`.
    pub async fn authenticate(&self, secret: &str) -> Result<Principal> {
        let _ = secret;
        todo!()
    }

    /// Makes a key. Only an operator makes operators, or keys of another tenant (`PERMISSION_DENIED`, `ROLE_TOO_WEAK`).
    pub async fn create_key(&self, context: &CallContext, key: NewKey) -> Result<(ApiKey, KeySecret)> {
        let _ = (context, key);
        todo!()
    }

    /// Forgets what is cached of a key, after a change of it.
    pub fn forget(&self, key: vectrion_core::ids::KeyId) {
        let _ = key;
    }
}
