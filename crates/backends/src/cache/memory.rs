//! A cache of this process alone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use vectrion_core::{
    Result,
    ids::TenantId,
    ports::cache::{Cache, CacheKey, Cached},
};

use super::seen::{self, Outcome};

/// Bytes that an entry takes beside its key and value, about.
const OVERHEAD: usize = 200;

/// Keeps values in memory, up to a number of bytes; then those that were not used for the longest time go first.
pub struct MemoryCache {
    max_bytes: u64,
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryCache").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Inner {
    entries: HashMap<CacheKey, Entry>,
    /// The keys in the order of their last use.
    by_use: BTreeMap<u64, CacheKey>,
    uses: u64,
    bytes: u64,
}

struct Entry {
    value: Bytes,
    until: Instant,
    used: u64,
}

impl MemoryCache {
    /// Holds at most so many bytes, keys included.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic between two changes of one entry could only cost an entry: all of it may be lost anyway.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that are held now.
    #[cfg(test)]
    fn bytes(&self) -> u64 {
        self.lock().bytes
    }
}

fn size(key: &CacheKey, value: &Bytes) -> u64 {
    // The key is held twice.
    (2 * key.as_str().len() + value.len() + OVERHEAD) as u64
}

impl Inner {
    fn get(&mut self, key: &CacheKey, now: Instant) -> Option<Cached> {
        let entry = self.entries.get_mut(key)?;
        let expires_in = entry.until.saturating_duration_since(now);
        if expires_in.is_zero() {
            self.remove(key);
            return None;
        }
        self.uses += 1;
        if let Some(key) = self.by_use.remove(&entry.used) {
            self.by_use.insert(self.uses, key);
        }
        entry.used = self.uses;
        Some(Cached { value: entry.value.clone(), expires_in })
    }

    fn insert(&mut self, key: CacheKey, value: Bytes, until: Instant) {
        self.uses += 1;
        self.bytes += size(&key, &value);
        self.by_use.insert(self.uses, key.clone());
        self.entries.insert(key, Entry { value, until, used: self.uses });
    }

    fn remove(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.bytes -= size(key, &entry.value);
        }
    }

    fn make_room(&mut self, max_bytes: u64) {
        while self.bytes > max_bytes
            && let Some((_, key)) = self.by_use.pop_first()
        {
            if let Some(entry) = self.entries.remove(&key) {
                self.bytes -= size(&key, &entry.value);
            }
        }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &CacheKey) -> Option<Cached> {
        let found = self.lock().get(key, Instant::now());
        seen::looked_up(key.kind(), if found.is_some() { Outcome::Hit } else { Outcome::Miss });
        found
    }

    async fn set(&self, key: &CacheKey, value: Bytes, ttl: Duration) {
        let mut inner = self.lock();
        inner.remove(key);
        if ttl.is_zero() || size(key, &value) > self.max_bytes {
            return;
        }
        let Some(until) = Instant::now().checked_add(ttl) else { return };
        inner.insert(key.clone(), value, until);
        inner.make_room(self.max_bytes);
    }

    async fn delete(&self, key: &CacheKey) {
        self.lock().remove(key);
    }

    async fn delete_tenant(&self, tenant: TenantId) {
        let prefix = CacheKey::tenant_prefix(tenant);
        let mut inner = self.lock();
        let own: Vec<CacheKey> =
            inner.entries.keys().filter(|key| key.as_str().starts_with(&prefix)).cloned().collect();
        for key in own {
            inner.remove(&key);
        }
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vectrion_testkit::conformance::cache::a_key;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn it_stays_bounded_and_forgets_first_what_was_not_used() {
        let keys: Vec<CacheKey> = (0..1000).map(|_| a_key()).collect();
        let each = size(&keys[0], &Bytes::from(vec![0; 1000]));
        let cache = MemoryCache::new(10 * each);
        for key in &keys {
            cache.set(key, Bytes::from(vec![0; 1000]), LONG).await;
            assert!(cache.get(&keys[0]).await.is_some(), "what is used stays");
            assert!(cache.bytes() <= 10 * each);
        }
        assert_eq!(cache.lock().entries.len(), 10);
        assert_eq!(cache.lock().by_use.len(), 10);
        assert!(cache.get(&keys[999]).await.is_some() && cache.get(&keys[991]).await.is_some());
        assert!(cache.get(&keys[990]).await.is_none(), "the oldest of the rest went");

        cache.set(&keys[0], Bytes::from(vec![0; 20_000]), LONG).await;
        assert!(cache.get(&keys[0]).await.is_none(), "larger than the whole cache");
        assert!(cache.get(&keys[999]).await.is_some(), "and costs the others nothing");
    }

    #[tokio::test]
    async fn nothing_is_left_of_what_went() {
        let cache = MemoryCache::new(1 << 20);
        let (deleted, replaced, ended) = (a_key(), a_key(), a_key());
        cache.set(&deleted, Bytes::from_static(b"x"), LONG).await;
        cache.delete(&deleted).await;
        for len in [10, 0, 700] {
            cache.set(&replaced, Bytes::from(vec![1; len]), LONG).await;
        }
        cache.set(&replaced, Bytes::new(), Duration::ZERO).await;
        cache.set(&ended, Bytes::from_static(b"x"), Duration::from_millis(1)).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(cache.get(&ended).await.is_none());
        let inner = cache.lock();
        assert_eq!((inner.bytes, inner.entries.len(), inner.by_use.len()), (0, 0, 0));
    }
}
