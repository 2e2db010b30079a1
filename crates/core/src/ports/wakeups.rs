//! Telling workers that there is something to do.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Result,
    ids::{JobId, OutboxId},
    job::Stage,
};

/// A delivery is settled by whoever holds it no later than this, whatever has become of the job: RabbitMQ closes the
/// channel of a message that nobody acknowledges for 30 minutes.
pub const HOLD_DELIVERY_AT_MOST: Duration = Duration::from_secs(20 * 60);

/// A wake-up to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its row in the outbox.
    pub id: OutboxId,
    /// The job that is ready.
    pub job: JobId,
    /// Its stage.
    pub stage: Stage,
    /// Trace of the call that caused the job.
    pub trace_id: String,
}

/// A wake-up that was taken. Dropped unsettled, it is delivered again, to anybody.
#[async_trait]
pub trait Delivery: Send + Sync {
    /// Says that what it led to is committed, or that there was nothing to do. It may be delivered again all the same.
    async fn settle(self: Box<Self>) -> Result<()>;
}

/// Carries wake-ups from whoever commits a job to whoever runs jobs. A wake-up says that a job of a stage may be ready:
/// the jobs table says which, and the fairest is claimed, whichever job the wake-up was sent for. A lost wake-up delays
/// work until the next look; a doubled one costs an empty look.
///
/// A carrier that others share (a broker) delivers what [`Wakeups::announce`] published, and each to one waiter of all
/// processes. Out of reach, it loses nothing that was confirmed, and heals by itself.
#[async_trait]
pub trait Wakeups: Send + Sync {
    /// Says that a job of this stage became ready. Called after the commit; cheap, and only heard in this process: by
    /// those who wait, or by the relay that publishes.
    async fn notify(&self, stage: Stage) -> Result<()>;

    /// Publishes, and waits until the carrier has taken over the responsibility. Gives the ids of those of which it is
    /// certain; the others may have been published or not.
    ///
    /// # Errors
    /// `UNAVAILABLE`, reason `QUEUE_UNAVAILABLE`, if the carrier is out of reach: nothing is certain then.
    async fn announce(&self, batch: &[Announcement]) -> Result<Vec<OutboxId>>;

    /// Waits until there may be a job of this stage, or until `at_most` has passed; with the carrier out of reach, that
    /// is all that happens. A delivery is to be settled when what it led to is committed. None if the carrier needs no
    /// such thing, or time ran out.
    async fn wait(&self, stage: Stage, at_most: Duration) -> Result<Option<Box<dyn Delivery>>>;

    /// Whether the carrier can be used now.
    ///
    /// # Errors
    /// `UNAVAILABLE`, reason `QUEUE_UNAVAILABLE`.
    async fn check(&self) -> Result<()>;
}
