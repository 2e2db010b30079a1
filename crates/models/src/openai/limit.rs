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
