//! Wake-ups through RabbitMQ.
//!
//! A connection publishes, with confirms, and in processes that run jobs a second one consumes: a broker that is short of
//! memory stops connections that publish, and acknowledgements must go on. Each is kept by a task that opens it again,
//! with everything declared anew, whenever it is lost. Nothing is carried over from a lost connection: what was not
//! confirmed is published again by whoever keeps the outbox, and what was not acknowledged is delivered again by the
//! broker.

mod delivery;
mod dial;
mod failure;
mod keeper;
mod message;
mod session;
mod socket;
mod topology;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::Deserialize;
use tokio::{
    sync::{Notify, OnceCell},
    time::timeout,
};
use vectrion_core::{
    Result,
    ids::OutboxId,
    job::Stage,
    ports::wakeups::{Announcement, Delivery, Wakeups},
};

use self::{delivery::AmqpDelivery, dial::Dial, keeper::Keeper, session::Purpose};

/// Settings of RabbitMQ as the carrier of wake-ups.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AmqpSettings {
    /// Beginning of the names of all queues and exchanges, so that installations can share a virtual host.
    pub prefix: String,
    /// Authorities (PEM) that may have signed the broker's certificate, beside those of the system.
    pub ca_path: Option<PathBuf>,
    /// Seconds between heartbeats; a broker that is silent for twice as long is gone.
    pub heartbeat_s: u16,
    /// Milliseconds that it may take to connect and declare.
    pub connect_timeout_ms: u64,
    /// Milliseconds that the broker may take to confirm a batch.
    pub confirm_timeout_ms: u64,
    /// Deliveries that this process may hold unsettled, by stage: as many as it works on at once.
    pub prefetch: Prefetch,
}

impl Default for AmqpSettings {
    fn default() -> Self {
        Self {
            prefix: "vectrion".to_owned(),
            ca_path: None,
            heartbeat_s: 10,
            connect_timeout_ms: 5_000,
            confirm_timeout_ms: 10_000,
            prefetch: Prefetch::default(),
        }
    }
}

/// Deliveries held unsettled by stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prefetch {
    /// Of `process_document`.
    pub process_document: u16,
    /// Of `embed_document`.
    pub embed_document: u16,
    /// Of `delete_document`.
    pub delete_document: u16,
}

impl Default for Prefetch {
    fn default() -> Self {
        Self { process_document: 1, embed_document: 1, delete_document: 1 }
    }
}

impl Prefetch {
    fn of(&self, stage: Stage) -> u16 {
        match stage {
            Stage::ProcessDocument => self.process_document,
            Stage::EmbedDocument => self.embed_document,
            Stage::DeleteDocument => self.delete_document,
        }
    }
}

/// Wake-ups through RabbitMQ: a durable quorum queue for each stage.
pub struct AmqpWakeups {
    dial: Arc<Dial>,
    publishing: Keeper,
    /// Opened when somebody waits for the first time; a process that only publishes never does.
    consuming: OnceCell<Keeper>,
    nudge: Notify,
    confirm_timeout: Duration,
}

impl fmt::Debug for AmqpWakeups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpWakeups").field("dial", &self.dial).finish_non_exhaustive()
    }
}

/// Whether the URL and the settings can be right.
pub(super) fn validate(url: &str, settings: &AmqpSettings) -> Result<()> {
    Dial::new(url, settings).map(drop)
}

impl AmqpWakeups {
    /// Connects to `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://`, and declares queues and exchanges.
    ///
    /// # Errors
    /// - `INVALID_ARGUMENT`, `INVALID_BACKEND_URL`: the URL, or a setting;
    /// - `UNAVAILABLE`, `QUEUE_UNAVAILABLE`: nobody answers there;
    /// - `FAILED_PRECONDITION`: `QUEUE_LOGIN_REFUSED`, `QUEUE_VHOST_REFUSED` (missing, or not for this user),
    ///   `QUEUE_PERMISSION_DENIED`, `QUEUE_CONFLICT` (there is a queue of the same name and another kind),
    ///   `QUEUE_TLS_FAILED`.
    pub async fn open(url: &str, settings: &AmqpSettings) -> Result<Self> {
        let dial = Arc::new(Dial::new(url, settings)?);
        let first = dial.open(Purpose::Publish).await?;
        let publishing = Keeper::start(Arc::clone(&dial), Purpose::Publish, Some(first));
        Ok(Self {
            dial,
            publishing,
            consuming: OnceCell::new(),
            nudge: Notify::new(),
            confirm_timeout: Duration::from_millis(settings.confirm_timeout_ms),
        })
    }

    /// Waits until [`Wakeups::notify`] was called in this process since the last time, or until `at_most` has passed.
    pub async fn nudged(&self, at_most: Duration) {
        let _ = timeout(at_most, self.nudge.notified()).await;
    }

    /// Ends the connections in good order. What is held unsettled is delivered to others.
    pub async fn close(&self) {
        if let Some(consuming) = self.consuming.get() {
            consuming.close().await;
        }
        self.publishing.close().await;
    }

    async fn consuming(&self) -> &Keeper {
        let start = async || Keeper::start(Arc::clone(&self.dial), Purpose::Consume, None);
        self.consuming.get_or_init(start).await
    }
}

#[async_trait]
impl Wakeups for AmqpWakeups {
    async fn notify(&self, _stage: Stage) -> Result<()> {
        self.nudge.notify_one();
        Ok(())
    }

    async fn announce(&self, batch: &[Announcement]) -> Result<Vec<OutboxId>> {
        let session = self.publishing.current().ok_or_else(failure::away)?;
        session.publish(batch, self.confirm_timeout).await
    }

    async fn wait(&self, stage: Stage, at_most: Duration) -> Result<Option<Box<dyn Delivery>>> {
        let keeper = self.consuming().await;
        let delivery = async {
            loop {
                let session = keeper.session().await;
                match session.next(stage).await {
                    Some(delivery) => return delivery,
                    None => keeper.give_up(&session),
                }
            }
        };
        let delivery = timeout(at_most, delivery).await.ok();
        Ok(delivery.map(|delivery| Box::new(AmqpDelivery::new(delivery)) as Box<dyn Delivery>))
    }

    async fn check(&self) -> Result<()> {
        let consumes = self.consuming.get().is_none_or(|keeper| keeper.current().is_some());
        let publishes = self.publishing.current().is_some_and(|session| !session.is_blocked());
        if consumes && publishes { Ok(()) } else { Err(failure::away()) }
    }
}
