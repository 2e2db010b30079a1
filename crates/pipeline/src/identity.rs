//! API keys: making, checking, revoking.

mod cache;
mod secret;
mod shared;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use rand::{CryptoRng, rand_core::UnwrapErr, rngs::SysRng};
use subtle::ConstantTimeEq as _;
use tracing::Instrument as _;
use vectrion_core::{
    Error, ErrorKind, Result,
    ids::{KeyId, TenantId},
    page::PageRequest,
    ports::directory::NewApiKey,
    tenancy::{ApiKey, CallContext, DEFAULT_NAME, Principal, Role},
    time::Timestamp,
};

pub use self::secret::KeySecret;
use self::{cache::KeyCache, secret::invalid_key, shared::Shared};
use crate::Ports;

/// Bytes of a key's name at the most.
const MAX_NAME_BYTES: usize = 128;

/// What the first start made.
#[derive(Debug)]
pub struct Bootstrap {
    /// The tenant `default`.
    pub tenant: TenantId,
    /// Secret of the operator's key.
    pub secret: KeySecret,
}

/// What became of the secret that is kept in `admin.key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminKey {
    /// The installation was new: the secret is now that of its operator's key.
    Made,
    /// The installation knows the secret (which may have been revoked since).
    Known,
    /// The installation has other keys and does not know this one. Nothing was changed.
    Foreign,
}

/// A key to make.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Tenant.
    pub tenant: TenantId,
    /// What it may do.
    pub role: Role,
    /// For people; at most 128 bytes.
    pub name: String,
    /// From when on it is refused.
    pub expire_time: Option<Timestamp>,
}

/// Makes and checks keys. Secrets are stored as HMAC-SHA-256 with the installation's pepper.
pub struct Identity {
    ports: Arc<Ports>,
    pepper: Vec<u8>,
    rng: Mutex<Box<dyn CryptoRng + Send>>,
    cache: KeyCache,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// `pepper`: at least 32 bytes that are kept outside the database. Secrets come from the operating system's random
    /// numbers.
    #[must_use]
    pub fn new(ports: Arc<Ports>, pepper: Vec<u8>) -> Self {
        Self { ports, pepper, rng: Mutex::new(Box::new(UnwrapErr(SysRng))), cache: KeyCache::default() }
    }

    /// The same, with secrets from `rng`.
    #[must_use]
    pub fn with_rng(self, rng: Box<dyn CryptoRng + Send>) -> Self {
        Self { rng: Mutex::new(rng), ..self }
    }

    /// A new secret that no key has yet.
    #[must_use]
    pub fn generate_secret(&self) -> KeySecret {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        KeySecret::random(rng.as_mut())
    }

    /// Whether nobody has used this database yet: it has no tenant, or only the tenant `default` without any key, as a
    /// first start leaves it that was cut off.
    pub async fn is_new_installation(&self) -> Result<bool> {
        let directory = &self.ports.directory;
        if directory.is_empty().await? {
            return Ok(true);
        }
        let tenants = directory.list_tenants(&PageRequest { size: 2, token: None }).await?;
        match tenants.items.as_slice() {
            [only] if only.name == DEFAULT_NAME => {
                let keys = directory.list_keys(only.id, &PageRequest { size: 1, token: None }).await?;
                Ok(keys.items.is_empty())
            }
            _ => Ok(false),
        }
    }

    /// Makes `secret` that of the operator's key of a new installation, with the tenant `default`. Safe to repeat and to
    /// be cut off anywhere, if the caller has stored the secret durably before: the next start, with the same secret,
    /// finishes what this one began. An installation with keys is left as it is.
    pub async fn ensure_admin_key(&self, secret: &KeySecret) -> Result<AdminKey> {
        let directory = &self.ports.directory;
        let hash = secret.hash(&self.pepper);
        if directory.key_by_hash(&hash).await?.is_some() {
            return Ok(AdminKey::Known);
        }
        if !self.is_new_installation().await? {
            return Ok(AdminKey::Foreign);
        }
        let tenant = match directory.create_tenant(TenantId::new(), DEFAULT_NAME).await {
            Ok(tenant) => tenant,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                directory.tenant_by_name(DEFAULT_NAME).await?.ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        directory
            .create_key(NewApiKey {
                id: KeyId::new(),
                tenant: tenant.id,
                name: "first start".to_owned(),
                role: Role::Operator,
                prefix: secret.prefix().to_owned(),
                hash,
                expire_time: None,
            })
            .await?;
        tracing::info!(tenant_id = %tenant.id, key_prefix = secret.prefix(), "made the tenant and the operator's key of a new installation");
        Ok(AdminKey::Made)
    }

    /// On a new database: the tenant `default` and an operator's key of it. Otherwise nothing. A process that dies before
    /// it has stored the secret leaves an installation that nobody can enter: where that matters, store
    /// [`Identity::generate_secret`] first and call [`Identity::ensure_admin_key`].
    pub async fn bootstrap(&self) -> Result<Option<Bootstrap>> {
        let secret = self.generate_secret();
        match self.ensure_admin_key(&secret).await? {
            AdminKey::Made => {}
            AdminKey::Known | AdminKey::Foreign => return Ok(None),
        }
        let record = self.ports.directory.key_by_hash(&secret.hash(&self.pepper)).await?;
        Ok(record.map(|record| Bootstrap { tenant: record.key.tenant, secret }))
    }

    /// Who has this secret. A revocation is in force within 5 seconds everywhere, and at once in the process that was asked
    /// for it; where servers share a cache, within about one second as long as that cache can be reached.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` with reason `INVALID_API_KEY`, `API_KEY_EXPIRED` or `API_KEY_REVOKED`.
    pub async fn authenticate(&self, secret: &str) -> Result<Principal> {
        let secret = KeySecret::parse(secret)?;
        let hash = secret.hash(&self.pepper);
        let now = Instant::now();
        if let Some(principal) = self.cache.get(&hash, now) {
            self.touch(&principal, now);
            return Ok(principal);
        }
        let shared =
            Shared { cache: self.ports.cache.as_ref(), clock: self.ports.clock.as_ref(), pepper: &self.pepper };
        let (principal, until) = match shared.get(secret.prefix(), &hash, now).await {
            Some(found) => found,
            None => {
                let (principal, until) = self.look_up(&hash, now).await?;
                shared.put(secret.prefix(), &hash, &principal, until).await;
                (principal, until)
            }
        };
        self.cache.put(hash, principal.clone(), now, until.min(now + shared.local_ttl()));
        self.touch(&principal, now);
        Ok(principal)
    }

    /// Who has the secret of this hash by the database, and until when that holds.
    async fn look_up(&self, hash: &[u8; 32], now: Instant) -> Result<(Principal, Instant)> {
        let record = self.ports.directory.key_by_hash(hash).await?.ok_or_else(invalid_key)?;
        if !bool::from(record.hash.ct_eq(hash)) {
            return Err(invalid_key());
        }
        let key = &record.key;
        if key.revoke_time.is_some() {
            return Err(refused("API_KEY_REVOKED", "the API key was revoked; ask an administrator for another"));
        }
        let mut until = now + cache::TTL;
        if let Some(expire_time) = key.expire_time {
            let left = expire_time.since(record.read_time);
            if left.is_zero() {
                return Err(refused("API_KEY_EXPIRED", "the API key has expired; ask an administrator for another"));
            }
            until = now.checked_add(left).map_or(until, |end| until.min(end));
        }
        Ok((Principal { key: key.id, tenant: key.tenant, role: key.role }, until))
    }

    /// Makes a key. Only an operator makes operators, or keys of another tenant (`PERMISSION_DENIED`, `ROLE_TOO_WEAK`).
    pub async fn create_key(&self, context: &CallContext, key: NewKey) -> Result<(ApiKey, KeySecret)> {
        let caller = &context.principal;
        let crosses = key.tenant != caller.tenant && caller.role != Role::Operator;
        if caller.role < Role::Admin || key.role > caller.role || crosses {
            return Err(role_too_weak(format!(
                "a key of the role {} makes no key of the role {} for this tenant",
                caller.role.as_str(),
                key.role.as_str()
            )));
        }
        check_name(&key.name)?;
        if key.expire_time.is_some_and(|end| end <= self.ports.clock.now()) {
            return Err(Error::invalid_field("expire_time", "lies in the future"));
        }
        let secret = self.generate_secret();
        let stored = self
            .ports
            .directory
            .create_key(NewApiKey {
                id: KeyId::new(),
                tenant: key.tenant,
                name: key.name,
                role: key.role,
                prefix: secret.prefix().to_owned(),
                hash: secret.hash(&self.pepper),
                expire_time: key.expire_time,
            })
            .await?;
        Ok((stored, secret))
    }

    /// Forgets what is cached of a key, after a change of it.
    pub async fn forget(&self, key: &ApiKey) {
        self.cache.forget(key.id);
        shared::forget(self.ports.cache.as_ref(), &key.prefix).await;
    }

    /// Notes the use of a key, at most once a minute and beside the call.
    fn touch(&self, principal: &Principal, now: Instant) {
        if !self.cache.due_to_touch(principal.key, now) {
            return;
        }
        let (directory, tenant, key) = (Arc::clone(&self.ports.directory), principal.tenant, principal.key);
        let noted = async move {
            if let Err(error) = directory.touch_key(tenant, key).await {
                tracing::debug!(key_id = %key, reason = error.reason(), %error, "cannot note the use of a key");
            }
        };
        tokio::spawn(noted.in_current_span());
    }
}

/// A key's name: at most 128 bytes, no control characters.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(Error::invalid_field(
            "name",
            format!("has at most {MAX_NAME_BYTES} bytes and no control characters"),
        ));
    }
    Ok(())
}

/// `PERMISSION_DENIED`, reason `ROLE_TOO_WEAK`.
pub(crate) fn role_too_weak(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::PermissionDenied, "ROLE_TOO_WEAK", message)
}

fn refused(reason: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, reason, message)
}
