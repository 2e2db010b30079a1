//! A unit of work: what a method of a port does, bounded in time, and done again when a concurrent change won.
//!
//! A database that stands still answers nothing, not even that it is out of service, and the kernel of its machine goes on
//! to confirm what is sent. So the time is kept here. What is dropped then changes nothing, or, if it was dropped while it
//! was being committed, changes all of it: as with any connection that is lost at that moment.

mod answering;

use std::time::Duration;

use sea_orm::DbBackend;
use tokio::time::{Instant, timeout_at};
use vectrion_core::{Error, Result};

use crate::{
    Store,
    failure::{Outcome, is_conflict},
};

/// Tries of a unit whose transaction lost against another. Each loser means a winner, so there are seldom two.
const TRIES: u32 = 6;
/// Wait before the second try; doubled before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(5);
/// What writes or removes all rows of a large document may take so many times as long.
const LONG: u32 = 20;
/// One statement of it may take so many times as long. A longer silence means that nobody is there any more.
const LONG_STATEMENT: u32 = 2;

impl Store {
    /// Does a unit of work. Nothing that it does outside of its transaction may matter: it may be done again.
    ///
    /// # Errors
    /// Those of the unit; `UNAVAILABLE`, reason `DATABASE_UNAVAILABLE`, if the database does not answer.
    pub(crate) async fn unit<T, F: Future<Output = Outcome<T>>>(&self, work: impl Fn() -> F) -> Result<T> {
        within(self.call_timeout(), work).await
    }

    /// The same, for what may take long.
    ///
    /// # Errors
    /// Those of [`Store::unit`].
    pub(crate) async fn long_unit<T, F: Future<Output = Outcome<T>>>(&self, work: impl Fn() -> F) -> Result<T> {
        within(self.call_timeout().saturating_mul(LONG), || self.answered(work())).await
    }

    /// The same, for what is too large to be kept for another try.
    ///
    /// # Errors
    /// Those of the unit, and `DATABASE_UNAVAILABLE`.
    pub(crate) async fn long_once<T>(&self, work: impl Future<Output = Outcome<T>>) -> Result<T> {
        let time = self.call_timeout().saturating_mul(LONG);
        Ok(tokio::time::timeout(time, self.answered(work)).await.map_err(|_elapsed| silent(time))??)
    }

    /// Long work, ended early when the server does not answer. SQLite, in this process, always does.
    async fn answered<T>(&self, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        if self.backend() != DbBackend::Postgres {
            return work.await;
        }
        let at_most = self.call_timeout().saturating_mul(LONG_STATEMENT);
        answering::answering(at_most, work).await.ok_or_else(|| silent(at_most))?
    }
}

async fn within<T, F: Future<Output = Outcome<T>>>(time: Duration, work: impl Fn() -> F) -> Result<T> {
    let limit = Instant::now() + time;
    let (mut tries, mut wait) = (1, FIRST_WAIT);
    loop {
        let outcome = timeout_at(limit, work()).await.map_err(|_elapsed| silent(time))?;
        match outcome {
            Err(failure) if tries < TRIES && is_conflict(&failure) && Instant::now() + wait < limit => {
                tracing::debug!(
                    tries,
                    error = &failure as &(dyn std::error::Error + 'static),
                    "transaction lost, trying again"
                );
                tokio::time::sleep(wait).await;
                tries += 1;
                wait *= 2;
            }
            outcome => return outcome.map_err(Error::from),
        }
    }
}

fn silent(time: Duration) -> Error {
    Error::unavailable(
        "DATABASE_UNAVAILABLE",
        format!("the database did not answer within {} ms; try again", time.as_millis()),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use vectrion_core::ErrorKind;

    use super::*;
    use crate::failure::Failure;

    fn conflict() -> Failure {
        Error::new(ErrorKind::Aborted, "TRANSACTION_CONFLICT", "a concurrent change won").into()
    }

    #[tokio::test(start_paused = true)]
    async fn what_lost_is_done_again_and_then_told() {
        for (losses, done) in [(0, true), (TRIES - 1, true), (TRIES, false)] {
            let tries = AtomicU32::new(0);
            let outcome = within(Duration::from_secs(15), || async {
                if tries.fetch_add(1, Ordering::SeqCst) < losses { Err(conflict()) } else { Ok(7) }
            })
            .await;
            assert_eq!(outcome.as_ref().map_err(Error::reason).ok(), done.then_some(&7), "{losses}");
            assert_eq!(tries.into_inner(), (losses + 1).min(TRIES));
        }
        let other: Result<()> =
            within(Duration::from_secs(15), || async { Err(Error::not_found("GONE", "gone").into()) }).await;
        assert_eq!(other.expect_err("at once").reason(), "GONE");
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_dropped() {
        let began = Instant::now();
        let outcome: Result<()> = within(Duration::from_secs(15), std::future::pending).await;
        let error = outcome.expect_err("no answer");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "DATABASE_UNAVAILABLE"));
        assert_eq!(began.elapsed(), Duration::from_secs(15));
    }
}
