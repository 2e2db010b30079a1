//! How common words are in the texts of a tenant.
//!
//! The server's own inverse document frequencies are those of a whole shard, in which all tenants are: another tenant's
//! documents would change the scores. So the words of a query are counted among the tenant's points, exactly, and
//! weighed here by the formula of the engine.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;
use uuid::Uuid;
use vectrion_core::{Result, ids::TenantId};

/// The texts of one tenant in one generation.
pub(super) type Corpus = (Uuid, TenantId);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    /// Points that hold any word.
    All,
    /// Points that hold this word.
    Word(u32),
}

/// Frequencies that were counted a moment ago.
#[derive(Debug)]
pub(super) struct Frequencies {
    ttl: Duration,
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last age that was given.
    last_age: u64,
    corpora: HashMap<Corpus, Known>,
}

#[derive(Debug)]
struct Known {
    /// Another one after each change of the corpus by this process: what was counted before one is not kept after it.
    age: u64,
    counts: HashMap<Counted, (u64, Instant)>,
}

impl State {
    fn of(&mut self, corpus: Corpus) -> &mut Known {
        self.corpora.entry(corpus).or_insert_with(|| {
            self.last_age += 1;
            Known { age: self.last_age, counts: HashMap::new() }
        })
    }
}

impl Frequencies {
    /// Remembers at most `capacity` frequencies, each for `ttl`.
    pub(super) fn new(ttl: Duration, capacity: usize) -> Self {
        Self { ttl, capacity, state: Mutex::default() }
    }

    /// Forgets a corpus that this process changed, so that its own changes count at once.
    pub(super) fn forget(&self, corpus: Corpus) {
        self.lock().corpora.remove(&corpus);
    }

    /// Forgets everything about a tenant.
    pub(super) fn forget_tenant(&self, tenant: TenantId) {
        self.lock().corpora.retain(|(_, owner), _| *owner != tenant);
    }

    /// The weights of a query's words, each its weight in the query times its inverse document frequency. Words that no
    /// text of the corpus holds are left out. `count` counts, at most `concurrency` of it at once.
    pub(super) async fn weigh<F: Future<Output = Result<u64>>>(
        &self,
        corpus: Corpus,
        words: impl Iterator<Item = (u32, f32)>,
        concurrency: usize,
        count: impl Fn(Counted) -> F,
    ) -> Result<Vec<(u32, f32)>> {
        let words: Vec<(u32, f32)> = words.collect();
        let wanted = std::iter::once(Counted::All).chain(words.iter().map(|(word, _)| Counted::Word(*word)));
        let (mut counts, missing, age) = self.look_up(corpus, wanted);
        let counted: Vec<(Counted, u64)> = stream::iter(missing)
            .map(|what| {
                let counting = count(what);
                async move { counting.await.map(|counted| (what, counted)) }
            })
            .buffer_unordered(concurrency)
            .try_collect()
            .await?;
        self.remember(corpus, age, &counted);
        counts.extend(counted);
        let total = counts.get(&Counted::All).copied().unwrap_or(0);
        let found = words.into_iter().filter_map(|(word, weight)| {
            let frequency = counts.get(&Counted::Word(word)).copied().unwrap_or(0);
            (frequency > 0).then(|| (word, weight * inverse_frequency(total, frequency)))
        });
        Ok(found.collect())
    }

    /// What is known, what is not, and the age of it.
    fn look_up(
        &self,
        corpus: Corpus,
        wanted: impl Iterator<Item = Counted>,
    ) -> (HashMap<Counted, u64>, Vec<Counted>, u64) {
        let now = Instant::now();
        let mut state = self.lock();
        let known = state.of(corpus);
        let (mut counts, mut missing) = (HashMap::new(), Vec::new());
        for what in wanted {
            match known.counts.get(&what) {
                Some((count, at)) if now.duration_since(*at) < self.ttl => {
                    counts.insert(what, *count);
                }
                _ => missing.push(what),
            }
        }
        (counts, missing, known.age)
    }

    fn remember(&self, corpus: Corpus, age: u64, counted: &[(Counted, u64)]) {
        let now = Instant::now();
        let mut state = self.lock();
        let held: usize = state.corpora.values().map(|known| known.counts.len() + 1).sum();
        if held + counted.len() > self.capacity {
            state.corpora.clear();
            return;
        }
        let Some(known) = state.corpora.get_mut(&corpus).filter(|known| known.age == age) else { return };
        // What is not there may be written by another process at any time, and must then be found.
        let there = counted.iter().filter(|(_, count)| *count > 0);
        known.counts.extend(there.map(|(what, count)| (*what, (*count, now))));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counts that were half noted are counts all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The inverse document frequency as the engine has it, which is never negative, in the engine's own precision: a word
/// that `frequency` of `total` texts hold. Counts that were not made at the same moment may contradict each other.
fn inverse_frequency(total: u64, frequency: u64) -> f32 {
    let (total, frequency) = (total.max(frequency) as f32, frequency as f32);
    ((total - frequency + 0.5) / (frequency + 0.5) + 1.0).ln()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use vectrion_core::Error;

    use super::*;

    fn corpus() -> Corpus {
        (Uuid::from_u128(1), TenantId(Uuid::from_u128(2)))
    }

    struct Server {
        total: AtomicU64,
        asked: AtomicU64,
    }

    impl Server {
        /// Word 1 is in one text, word 2 in two, and so on; word 0 in none.
        async fn count(&self, what: Counted) -> Result<u64> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            Ok(match what {
                Counted::All => self.total.load(Ordering::SeqCst),
                Counted::Word(word) => u64::from(word),
            })
        }
    }

    async fn weigh(frequencies: &Frequencies, server: &Server, words: &[u32]) -> (Vec<(u32, f32)>, u64) {
        server.asked.store(0, Ordering::SeqCst);
        let words = words.iter().map(|word| (*word, 1.0));
        let weighed = frequencies.weigh(corpus(), words, 4, |what| server.count(what)).await.unwrap();
        (weighed, server.asked.load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn frequencies_are_asked_for_once_in_a_while_and_after_a_change() {
        let frequencies = Frequencies::new(Duration::from_secs(10), 1000);
        let server = Server { total: AtomicU64::new(10), asked: AtomicU64::new(0) };
        let (weighed, asked) = weigh(&frequencies, &server, &[0, 1, 7]).await;
        assert_eq!(weighed.iter().map(|(word, _)| *word).collect::<Vec<_>>(), [1, 7], "what is nowhere is left out");
        assert!(weighed[0].1 > weighed[1].1 && weighed[1].1 > 0.0, "{weighed:?}");
        assert!((f64::from(weighed[0].1) - (1.0f64 + 9.5 / 1.5).ln()).abs() < 1e-6);
        assert_eq!(asked, 4);

        server.total.store(20, Ordering::SeqCst);
        let (again, asked) = weigh(&frequencies, &server, &[0, 1, 7]).await;
        assert_eq!((again, asked), (weighed.clone(), 1), "what was nowhere is asked for again");
        frequencies.forget((Uuid::from_u128(9), corpus().1));
        assert_eq!(weigh(&frequencies, &server, &[1]).await.1, 0);
        frequencies.forget(corpus());
        let (changed, asked) = weigh(&frequencies, &server, &[1, 7]).await;
        assert!(asked == 3 && changed[0].1 > weighed[0].1, "{changed:?}");
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(weigh(&frequencies, &server, &[1, 7]).await.1, 3);
        frequencies.forget_tenant(corpus().1);
        assert_eq!(weigh(&frequencies, &server, &[1, 7]).await.1, 3);
    }

    #[tokio::test]
    async fn what_was_counted_before_a_change_is_not_kept_after_it() {
        let frequencies = Frequencies::new(Duration::from_secs(10), 1000);
        let count = async |_| {
            frequencies.forget(corpus());
            Ok::<u64, Error>(1)
        };
        frequencies.weigh(corpus(), [(1, 1.0)].into_iter(), 1, count).await.unwrap();
        let server = Server { total: AtomicU64::new(10), asked: AtomicU64::new(0) };
        assert_eq!(weigh(&frequencies, &server, &[1]).await.1, 2);
    }

    #[tokio::test]
    async fn no_more_is_remembered_than_there_is_room_for() {
        let frequencies = Frequencies::new(Duration::from_secs(10), 8);
        let server = Server { total: AtomicU64::new(10), asked: AtomicU64::new(0) };
        for round in 0..50 {
            weigh(&frequencies, &server, &[round * 2 + 1, round * 2 + 2]).await;
            let held: usize = frequencies.lock().corpora.values().map(|known| known.counts.len()).sum();
            assert!(held <= 8, "{held}");
        }
        // Two counts that contradict each other.
        assert!(inverse_frequency(1, 5) > 0.0);
    }
}
