//! Points in time at which waiting ends, and what that means.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Failure;

/// The longest time that is told from "for ever"; beyond it, a point in time may not be representable.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The point in time after `within`.
pub(crate) fn from_now(within: Duration) -> Instant {
    Instant::now() + within.min(FOR_EVER)
}

/// How long to wait for something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    at: Instant,
    expiry: Expiry,
}

#[derive(Clone, Copy, Debug)]
enum Expiry {
    Silent,
    Stalled,
    Deadline,
}

impl Limit {
    /// For the beginning of an answer: `at`, but not beyond `total`.
    pub(crate) fn first(at: Instant, total: Instant) -> Self {
        Self::new(at, total, Expiry::Silent)
    }

    /// For its next piece: `within`, but not beyond `total`.
    pub(crate) fn next(within: Duration, total: Instant) -> Self {
        Self::new(from_now(within), total, Expiry::Stalled)
    }

    fn new(at: Instant, total: Instant, expiry: Expiry) -> Self {
        if at < total { Self { at, expiry } } else { Self { at: total, expiry: Expiry::Deadline } }
    }

    /// When it is.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// The result of `work`, unless the limit comes first. Work that is always ready is ended too: a server may send
    /// without pause what says nothing.
    pub(crate) async fn hold<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        if Instant::now() >= self.at {
            return Err(self.failure());
        }
        timeout_at(self.at, work).await.unwrap_or_else(|_elapsed| Err(self.failure()))
    }

    fn failure(&self) -> Failure {
        match self.expiry {
            Expiry::Silent => Failure::Silent,
            Expiry::Stalled => Failure::Stalled,
            Expiry::Deadline => Failure::Deadline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_is_always_ready_is_ended_too() {
        let total = from_now(Duration::from_secs(10));
        let limit = Limit::next(Duration::from_millis(20), total);
        let mut steps = 0_u64;
        let failure = loop {
            assert!(Instant::now() < total, "it never ends");
            match limit.hold(std::future::ready(Ok(()))).await {
                Ok(()) => steps += 1,
                Err(failure) => break failure,
            }
        };
        assert!(matches!(failure, Failure::Stalled) && steps > 0);
    }

    #[tokio::test]
    async fn the_earlier_limit_gives_the_reason() {
        let (past, far) = (Instant::now(), from_now(Duration::MAX));
        let of = |limit: Limit| async move { limit.hold(std::future::pending::<Result<(), _>>()).await };
        assert!(matches!(of(Limit::first(past, far)).await, Err(Failure::Silent)));
        assert!(matches!(of(Limit::first(far, past)).await, Err(Failure::Deadline)));
        assert!(matches!(of(Limit::next(Duration::MAX, past)).await, Err(Failure::Deadline)));
        assert!(matches!(of(Limit::next(Duration::ZERO, far)).await, Err(Failure::Stalled)));
    }
}
