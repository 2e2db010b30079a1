//! Keys that some server of the installation found valid a moment ago.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use vectrion_core::{
    ids::{KeyId, TenantId},
    ports::cache::{Cache, CacheKey},
    tenancy::{Principal, Role},
    time::{Clock, Timestamp},
};

use super::cache;

/// How long a process takes a key for valid without asking the shared cache again, from which a revocation removes it.
const LOCAL_TTL: Duration = Duration::from_secs(1);
/// What clocks of servers may differ by, for an entry of the future to be taken.
const AHEAD: Duration = Duration::from_millis(250);
/// Tells these codes from others under the same pepper, and this form of entries from later ones.
const PURPOSE: &[u8] = b"vectrion shared API key, form 1";
const MAC_BYTES: usize = 32;

/// The cache that the servers of an installation share; with a cache that is not shared it does nothing, because
/// [`KeyCache`](super::cache::KeyCache) does the same for less.
///
/// An entry carries a code under the installation's pepper over the secret's hash, so that nobody who can write to the
/// cache makes a principal; and the time of its look-up, so that none holds for longer than
/// [`TTL`](super::cache::TTL), whenever it came to be written.
pub(super) struct Shared<'a> {
    pub(super) cache: &'a dyn Cache,
    pub(super) clock: &'a dyn Clock,
    pub(super) pepper: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct Entry {
    tenant: TenantId,
    key: KeyId,
    role: Role,
    found: Timestamp,
}

impl Shared<'_> {
    /// How long a key that was found valid is taken for valid in this process.
    pub(super) fn local_ttl(&self) -> Duration {
        if self.cache.is_shared() { LOCAL_TTL } else { cache::TTL }
    }

    /// Who has the secret of this hash, and until when that holds.
    pub(super) async fn get(&self, prefix: &str, hash: &[u8; 32], now: Instant) -> Option<(Principal, Instant)> {
        if !self.cache.is_shared() {
            return None;
        }
        let cached = self.cache.get(&CacheKey::api_key(prefix)).await?;
        let entry = self.decode(&cached.value, hash)?;
        let (read, found) = (self.clock.now(), entry.found);
        let age = read.since(found);
        if age >= cache::TTL || found.since(read) > AHEAD {
            return None;
        }
        let left = cached.expires_in.min(cache::TTL - age);
        Some((Principal { key: entry.key, tenant: entry.tenant, role: entry.role }, now + left))
    }

    /// Tells the other servers.
    pub(super) async fn put(&self, prefix: &str, hash: &[u8; 32], principal: &Principal, until: Instant) {
        if !self.cache.is_shared() {
            return;
        }
        let left = until.saturating_duration_since(Instant::now());
        // The look-up came before this moment by what is missing of its time.
        let found = Timestamp(self.clock.now().0 - millis(cache::TTL.saturating_sub(left)));
        let entry = Entry { tenant: principal.tenant, key: principal.key, role: principal.role, found };
        if let Some(value) = self.encode(&entry, hash) {
            self.cache.set(&CacheKey::api_key(prefix), value, left).await;
        }
    }

    fn encode(&self, entry: &Entry, hash: &[u8; 32]) -> Option<Bytes> {
        let body = serde_json::to_vec(entry).ok()?;
        let mut value = self.mac(hash, &body).finalize().into_bytes().to_vec();
        value.extend_from_slice(&body);
        Some(value.into())
    }

    fn decode(&self, value: &[u8], hash: &[u8; 32]) -> Option<Entry> {
        let (code, body) = value.split_at_checked(MAC_BYTES)?;
        self.mac(hash, body).verify_slice(code).ok()?;
        serde_json::from_slice(body).ok()
    }

    fn mac(&self, hash: &[u8; 32], body: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.pepper).expect("HMAC takes keys of any length");
        mac.update(PURPOSE);
        mac.update(hash);
        mac.update(body);
        mac
    }
}

/// Forgets a key, for all servers.
pub(super) async fn forget(cache: &dyn Cache, prefix: &str) {
    if cache.is_shared() {
        cache.delete(&CacheKey::api_key(prefix)).await;
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
