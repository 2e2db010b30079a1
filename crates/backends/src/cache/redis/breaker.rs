//! Leaving a server alone that does not answer.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Time that a server is left alone after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Open for a while after each failure. Says once when the server is lost, and once when it is back.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    until: Option<Instant>,
    is_lost: bool,
}

impl Breaker {
    /// Whether the server is to be left alone now.
    pub(super) fn is_open(&self) -> bool {
        self.lock().until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn succeeded(&self) {
        let mut state = self.lock();
        state.until = None;
        if std::mem::take(&mut state.is_lost) {
            tracing::info!("the cache can be used again");
        }
    }

    pub(super) fn failed(&self, operation: &'static str, why: &str) {
        metrics::counter!("vectrion_cache_failures_total", "operation" => operation).increment(1);
        let mut state = self.lock();
        state.until = Some(Instant::now() + PAUSE);
        if !std::mem::replace(&mut state.is_lost, true) {
            tracing::warn!(operation, why, "the cache cannot be used; going on without it");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_open_after_a_failure_until_a_success() {
        let breaker = Breaker::default();
        assert!(!breaker.is_open());
        breaker.failed("get", "too slow");
        assert!(breaker.is_open() && breaker.lock().is_lost);
        breaker.succeeded();
        assert!(!breaker.is_open() && !breaker.lock().is_lost);
    }
}
