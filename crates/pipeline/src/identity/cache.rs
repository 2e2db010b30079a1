//! Keys that were found valid a moment ago.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use vectrion_core::{ids::KeyId, tenancy::Principal};

/// How long a key that was found valid is taken for valid: below the 5 seconds within which a revocation is in force.
pub(super) const TTL: Duration = Duration::from_secs(4);
/// How often a key's last use is noted.
const TOUCH_EVERY: Duration = Duration::from_secs(60);
/// Keys that are remembered at the most.
const MAX_KEYS: usize = 4096;

/// Remembers valid keys only, so nobody without a key can fill it, and an unknown key costs one indexed read each time.
#[derive(Default)]
pub(super) struct KeyCache {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    principals: HashMap<[u8; 32], (Principal, Instant)>,
    touched: HashMap<KeyId, Instant>,
}

impl KeyCache {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Every change below is one insertion or removal: a panic leaves the maps whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who has the secret of this hash, if that is known and still holds at `now`.
    pub(super) fn get(&self, hash: &[u8; 32], now: Instant) -> Option<Principal> {
        let inner = self.lock();
        let (principal, until) = inner.principals.get(hash)?;
        (now < *until).then(|| principal.clone())
    }

    /// Remembers a key until `until`.
    pub(super) fn put(&self, hash: [u8; 32], principal: Principal, now: Instant, until: Instant) {
        let mut inner = self.lock();
        if inner.principals.len() >= MAX_KEYS {
            inner.principals.retain(|_, (_, until)| now < *until);
        }
        if inner.principals.len() < MAX_KEYS {
            inner.principals.insert(hash, (principal, until));
        }
    }

    /// Whether the use of a key is to be noted now; then it is not asked for again within a minute.
    pub(super) fn due_to_touch(&self, key: KeyId, now: Instant) -> bool {
        let mut inner = self.lock();
        if inner.touched.get(&key).is_some_and(|last| now.duration_since(*last) < TOUCH_EVERY) {
            return false;
        }
        if inner.touched.len() >= MAX_KEYS {
            inner.touched.retain(|_, last| now.duration_since(*last) < TOUCH_EVERY);
        }
        if inner.touched.len() >= MAX_KEYS {
            return false;
        }
        inner.touched.insert(key, now);
        true
    }

    /// Forgets a key.
    pub(super) fn forget(&self, key: KeyId) {
        self.lock().principals.retain(|_, (principal, _)| principal.key != key);
    }
}

#[cfg(test)]
mod tests {
    use vectrion_core::{ids::TenantId, tenancy::Role};

    use super::*;

    fn principal() -> Principal {
        Principal { key: KeyId::new(), tenant: TenantId::new(), role: Role::User }
    }

    #[test]
    fn a_key_is_known_until_its_time_and_not_after_it_was_forgotten() {
        let (cache, now, who) = (KeyCache::default(), Instant::now(), principal());
        cache.put([1; 32], who.clone(), now, now + TTL);
        assert_eq!(cache.get(&[1; 32], now), Some(who.clone()));
        assert_eq!(cache.get(&[2; 32], now), None);
        assert_eq!(cache.get(&[1; 32], now + TTL), None);
        cache.forget(who.key);
        assert_eq!(cache.get(&[1; 32], now), None);
    }

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let (cache, now, key) = (KeyCache::default(), Instant::now(), KeyId::new());
        assert!(cache.due_to_touch(key, now));
        assert!(!cache.due_to_touch(key, now + Duration::from_secs(59)));
        assert!(cache.due_to_touch(KeyId::new(), now));
        assert!(cache.due_to_touch(key, now + TOUCH_EVERY));
    }

    #[test]
    fn it_stays_bounded_and_makes_room_when_entries_end() {
        let (cache, now) = (KeyCache::default(), Instant::now());
        for n in 0..=MAX_KEYS {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            cache.put(hash, principal(), now, now + TTL);
        }
        assert_eq!(cache.lock().principals.len(), MAX_KEYS);
        cache.put([255; 32], principal(), now + TTL, now + 2 * TTL);
        assert_eq!(cache.lock().principals.len(), 1);
    }
}
