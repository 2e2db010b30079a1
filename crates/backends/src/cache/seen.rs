//! Counting what a cache was asked.

use vectrion_core::ports::cache::CacheKind;

/// How a look-up ended.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    Hit,
    Miss,
    /// The cache could not be asked, or answered nonsense.
    Failed,
    /// The cache is out of reach, and was not asked.
    Skipped,
}

pub(super) fn looked_up(kind: CacheKind, outcome: Outcome) {
    let outcome = match outcome {
        Outcome::Hit => "hit",
        Outcome::Miss => "miss",
        Outcome::Failed => "failed",
        Outcome::Skipped => "skipped",
    };
    metrics::counter!("vectrion_cache_lookups_total", "kind" => kind.as_str(), "outcome" => outcome).increment(1);
}
