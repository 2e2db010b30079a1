//! Wake-ups that are written with what they announce, and published later.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Result, ids::OutboxId};

use super::wakeups::Announcement;

/// Rows taken in a call at the most.
pub const OUTBOX_BATCH: usize = 256;

/// Wake-ups to be published. Whatever makes a job ready writes a row in the same transaction, if the store was opened
/// with the outbox on; a relay publishes it and removes it. So a job that is ready was announced, or will be.
///
/// - A row is published at least once: a relay that dies between the two leaves it to be published again.
/// - Time is the database's.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Takes up to `limit` rows (at most [`OUTBOX_BATCH`]) whose job's time has come, longest due first. For `hold_for`
    /// nobody else gets them; then they are due again.
    async fn take_announcements(&self, limit: usize, hold_for: Duration) -> Result<Vec<Announcement>>;

    /// Removes rows that were published. Those that are not there any more are no error. Returns how many were removed.
    async fn mark_announced(&self, ids: &[OutboxId]) -> Result<u64>;

    /// Rows that wait, held ones and those of delayed jobs included, and for how long the one that is due longest has
    /// been due.
    async fn outbox_backlog(&self) -> Result<OutboxBacklog>;
}

/// What waits to be published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxBacklog {
    /// Rows.
    pub rows: u64,
    /// Milliseconds since the oldest of them was due; 0 if none is.
    pub oldest_ms: u64,
}
