//! Whether whoever called is still there, and if not, how they left.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// A dropped call and the end of its connection are seen by different tasks; after this time both have been.
const SETTLE: Duration = Duration::from_millis(20);
/// A client that cancels and then ends its connection means both.
const GOODBYE: Duration = Duration::from_millis(250);

/// What is known of the client at the other end of a connection.
pub(crate) struct Presence {
    began: Instant,
    /// Milliseconds since `began`, plus 1, of the last RST_STREAM or GOAWAY; 0: none.
    goodbye: AtomicU64,
    /// The same for the end of the connection.
    lost: AtomicU64,
}

/// How a caller left before the end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// They cancelled the call.
    Cancelled,
    /// The connection was lost, or they stopped to read.
    Lost,
}

impl Presence {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), goodbye: AtomicU64::new(0), lost: AtomicU64::new(0) }
    }

    fn stamp(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// The client cancelled a call or said that it leaves.
    pub(super) fn said_goodbye(&self) {
        self.goodbye.store(self.stamp(), Ordering::Release);
    }

    /// Nothing comes through any more. Only the first time counts.
    pub(crate) fn lost(&self) {
        let _ = self.lost.compare_exchange(0, self.stamp(), Ordering::AcqRel, Ordering::Acquire);
    }

    fn departure(&self) -> Departure {
        let (lost, goodbye) = (self.lost.load(Ordering::Acquire), self.goodbye.load(Ordering::Acquire));
        let announced = goodbye != 0 && u128::from(lost.saturating_sub(goodbye)) <= GOODBYE.as_millis();
        if lost == 0 || announced { Departure::Cancelled } else { Departure::Lost }
    }
}

/// The caller of one call.
pub(crate) struct Attendance {
    presence: Arc<Presence>,
    stalled: AtomicBool,
}

impl Attendance {
    pub(crate) fn new(presence: Arc<Presence>) -> Self {
        Self { presence, stalled: AtomicBool::new(false) }
    }

    /// The caller does not read any more.
    pub(crate) fn stalled(&self) {
        self.stalled.store(true, Ordering::Release);
    }

    /// How the caller of a call that was just dropped left.
    pub(crate) async fn departure(&self) -> Departure {
        if self.stalled.load(Ordering::Acquire) {
            return Departure::Lost;
        }
        tokio::time::sleep(SETTLE).await;
        self.presence.departure()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_live_connection_means_cancelled() {
        let attendance = Attendance::new(Arc::new(Presence::new()));
        assert_eq!(attendance.departure().await, Departure::Cancelled);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ends_without_a_word_is_lost() {
        let presence = Arc::new(Presence::new());
        presence.lost();
        assert_eq!(Attendance::new(presence).departure().await, Departure::Lost);
    }

    #[tokio::test(start_paused = true)]
    async fn a_goodbye_just_before_the_end_means_cancelled_and_an_old_one_does_not() {
        for (between_ms, departure) in [(0, Departure::Cancelled), (200, Departure::Cancelled), (5000, Departure::Lost)]
        {
            let presence = Arc::new(Presence::new());
            presence.said_goodbye();
            tokio::time::advance(Duration::from_millis(between_ms)).await;
            presence.lost();
            assert_eq!(Attendance::new(presence).departure().await, departure, "{between_ms} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_connection_may_be_seen_a_moment_later() {
        let presence = Arc::new(Presence::new());
        let attendance = Attendance::new(Arc::clone(&presence));
        let (departure, ()) = tokio::join!(attendance.departure(), async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            presence.lost();
        });
        assert_eq!(departure, Departure::Lost);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_lost() {
        let attendance = Attendance::new(Arc::new(Presence::new()));
        attendance.stalled();
        assert_eq!(attendance.departure().await, Departure::Lost);
    }
}
