//! How many retries all calls together may make.

use tokio::time::Instant;

/// A bucket of retries: twenty calls put one in, ten seconds put one in, a retry takes one out. So a storm of a hundred
/// calls or more costs at most a tenth more requests than calls, whatever share of them fails.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    retries: f64,
    updated: Instant,
}

impl RetryBudget {
    /// The most that it holds, and what it begins with.
    const RESERVE: f64 = 5.0;
    const PER_CALL: f64 = 0.05;
    const PER_SECOND: f64 = 0.1;

    pub(crate) fn new(now: Instant) -> Self {
        Self { retries: Self::RESERVE, updated: now }
    }

    /// Counts a call.
    pub(crate) fn call(&mut self) {
        self.add(Self::PER_CALL);
    }

    /// Takes a retry out, if one is there.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.add(now.saturating_duration_since(self.updated).as_secs_f64() * Self::PER_SECOND);
        self.updated = now;
        let granted = self.retries >= 1.0;
        if granted {
            self.retries -= 1.0;
        }
        granted
    }

    fn add(&mut self, retries: f64) {
        self.retries = (self.retries + retries).min(Self::RESERVE);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn retries_are_a_twentieth_of_the_calls_but_for_the_reserve() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(now);
        let granted = (0..1_000)
            .filter(|_| {
                budget.call();
                budget.take(now)
            })
            .count();
        assert!((52..=55).contains(&granted), "{granted}");
    }

    #[test]
    fn time_fills_it_up_to_the_reserve() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(now);
        assert_eq!((0..100).filter(|_| budget.take(now)).count(), 5);
        assert!(budget.take(now + Duration::from_secs(11)), "one in ten seconds");
        assert!(!budget.take(now + Duration::from_secs(12)));
        let later = now + Duration::from_secs(100_000);
        assert_eq!((0..100).filter(|_| budget.take(later)).count(), 5);
    }
}
