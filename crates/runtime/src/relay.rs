//! The relay: publishes what the outbox holds.
//!
//! Every process of an installation with a broker runs one. A row is taken for a while, published, and removed when the
//! broker has confirmed it. A relay that dies in between leaves a row that is taken again, and a second wake-up for the
//! same job has no second effect.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use vectrion_backends::wakeups::WakeupBackend;
use vectrion_core::{
    Result,
    ports::{Outbox, Wakeups as _, outbox::OUTBOX_BATCH},
};

/// Every point of the relay at which a test build stops, fails or dies (see [`vectrion_pipeline::faults`]): rows are
/// taken; the broker has confirmed them; they are removed.
pub const FAILPOINTS: &[&str] = &["relay::taken", "relay::confirmed", "relay::marked"];

/// For how long a row belongs to who took it: longer than a batch takes to be confirmed or to fail.
const HOLD: Duration = Duration::from_secs(20);
/// Waits after a failure: the first, doubled up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// Time between measurements of what waits.
const MEASURE_EVERY: Duration = Duration::from_secs(15);

/// Publishes what the outbox holds, until it is told to stop.
pub struct Relay {
    outbox: Arc<dyn Outbox>,
    wakeups: Arc<WakeupBackend>,
    poll: Duration,
}

impl Relay {
    /// Looks into the outbox when this process wrote something, and every `poll` for what others wrote and what has
    /// become due.
    #[must_use]
    pub fn new(outbox: Arc<dyn Outbox>, wakeups: Arc<WakeupBackend>, poll: Duration) -> Self {
        Self { outbox, wakeups, poll }
    }

    /// Publishes until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut wait = FIRST_WAIT;
        let mut failing = false;
        let mut measured: Option<Instant> = None;
        while !stop.is_cancelled() {
            if measured.is_none_or(|at| at.elapsed() >= MEASURE_EVERY) {
                self.measure().await;
                measured = Some(Instant::now());
            }
            let pause = match self.pass().await {
                Ok(published) => {
                    if failing {
                        tracing::info!("wake-ups are published again");
                    }
                    (failing, wait) = (false, FIRST_WAIT);
                    if published == OUTBOX_BATCH {
                        continue;
                    }
                    self.poll
                }
                Err(error) => {
                    // Once per outage: meanwhile jobs are found by looking.
                    if !failing {
                        tracing::warn!(reason = error.reason(), ?error, "wake-ups cannot be published for now");
                    }
                    failing = true;
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                    wait = (wait * 2).min(LAST_WAIT);
                    continue;
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wakeups.nudged(pause) => {}
            }
        }
    }

    async fn measure(&self) {
        match self.outbox.outbox_backlog().await {
            Ok(backlog) => {
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
                let (rows, seconds) = (backlog.rows as f64, backlog.oldest_ms as f64 / 1e3);
                metrics::gauge!("vectrion_outbox_rows").set(rows);
                metrics::gauge!("vectrion_outbox_oldest_seconds").set(seconds);
            }
            Err(error) => tracing::debug!(reason = error.reason(), %error, "cannot measure the outbox"),
        }
    }

    /// Takes, publishes and removes a batch. Gives the number of rows taken.
    ///
    /// # Errors
    /// Those of the outbox and of the carrier; the rows are due again later.
    pub async fn pass(&self) -> Result<usize> {
        // Rows that cannot be published now are left to others who can.
        self.wakeups.check().await?;
        let batch = self.outbox.take_announcements(OUTBOX_BATCH, HOLD).await?;
        if batch.is_empty() {
            return Ok(0);
        }
        fail::fail_point!("relay::taken", |what: Option<String>| vectrion_pipeline::faults::strike(what.as_deref()));
        let confirmed = self.wakeups.announce(&batch).await?;
        fail::fail_point!("relay::confirmed", |what: Option<String>| vectrion_pipeline::faults::strike(
            what.as_deref()
        ));
        self.outbox.mark_announced(&confirmed).await?;
        fail::fail_point!("relay::marked", |what: Option<String>| vectrion_pipeline::faults::strike(what.as_deref()));
        metrics::counter!("vectrion_wakeups_published_total").increment(u64::try_from(confirmed.len()).unwrap_or(0));
        Ok(batch.len())
    }
}
