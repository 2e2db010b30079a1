//! A connection that works, until it does not.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{StreamExt as _, future::try_join_all};
use lapin::{
    Channel, Confirmation, Connection, Consumer,
    message::Delivery,
    options::{BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions},
    types::FieldTable,
};
use tokio::{sync::Mutex, time::timeout};
use vectrion_core::{
    Result,
    ids::OutboxId,
    job::Stage,
    ports::{outbox::OUTBOX_BATCH, wakeups::Announcement},
};

use super::{Prefetch, failure, message, socket::CutOnDrop, topology::Topology};

/// Longest wait for an orderly end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Publish,
    Consume,
}

impl Purpose {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publisher",
            Self::Consume => "consumer",
        }
    }
}

pub(super) struct Session {
    connection: Connection,
    /// Declared everything; publishes, in confirm mode.
    channel: Channel,
    topology: Topology,
    consumers: Vec<StageConsumer>,
    /// One batch at a time, so that what is returned belongs to it.
    turn: Mutex<()>,
    given_up: AtomicBool,
    line: CutOnDrop,
}

/// A channel of its own for each stage, because the prefetch is the channel's.
struct StageConsumer {
    stage: Stage,
    channel: Channel,
    messages: Mutex<Consumer>,
}

impl Session {
    pub(super) async fn on(
        connection: Connection,
        line: CutOnDrop,
        topology: &Topology,
        purpose: Purpose,
        prefetch: Prefetch,
    ) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        topology.declare(&channel).await?;
        let mut consumers = Vec::new();
        match purpose {
            Purpose::Publish => channel.confirm_select(ConfirmSelectOptions::default()).await?,
            Purpose::Consume => {
                for stage in Stage::ALL {
                    consumers.push(subscribe(&connection, topology, stage, prefetch.of(stage)).await?);
                }
            }
        }
        let topology = topology.clone();
        Ok(Self {
            connection,
            channel,
            topology,
            consumers,
            turn: Mutex::new(()),
            given_up: AtomicBool::new(false),
            line,
        })
    }

    /// Whether connection and channels are as they should be.
    pub(super) fn is_alive(&self) -> bool {
        let consumes = self.consumers.iter().all(|consumer| consumer.channel.status().connected());
        consumes
            && self.connection.status().connected()
            && self.channel.status().connected()
            && !self.given_up.load(Ordering::Acquire)
    }

    /// Whether the broker takes no messages for now.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Notes that it is not to be used any more.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    /// Ends it at once, for those too who still use it.
    pub(super) fn cut(&self) {
        self.line.0.cut();
    }

    /// Ends it in good order.
    pub(super) async fn close(&self) {
        self.give_up();
        if !matches!(timeout(CLOSE_TIMEOUT, self.connection.close(200, "OK".into())).await, Ok(Ok(()))) {
            tracing::debug!("the connection to the broker did not end in good order");
        }
        self.cut();
    }

    /// Publishes and waits for the confirms. Those that the broker refused, or could not route to a queue, are not among
    /// the result.
    pub(super) async fn publish(&self, batch: &[Announcement], within: Duration) -> Result<Vec<OutboxId>> {
        let _turn = self.turn.lock().await;
        let mut confirmed = Vec::with_capacity(batch.len());
        for part in batch.chunks(OUTBOX_BATCH) {
            // Frames that cannot be sent would pile up in this process.
            if self.is_blocked() {
                return Err(failure::away().with_source(Blocked));
            }
            let published = match timeout(within, self.publish_part(part)).await {
                Ok(Ok(ids)) => Ok(ids),
                Ok(Err(error)) => Err(failure::away().with_source(error)),
                Err(_) => Err(failure::silent()),
            };
            // What is in flight on it is unknown then; a new connection knows where it stands.
            confirmed.extend(published.inspect_err(|_| self.give_up())?);
        }
        Ok(confirmed)
    }

    async fn publish_part(&self, part: &[Announcement]) -> lapin::Result<Vec<OutboxId>> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let publishing = part.iter().map(async |announcement| {
            let (body, properties) = (message::body(announcement), message::properties(announcement));
            let key = announcement.stage.as_str().into();
            let confirm = self.channel.basic_publish(self.topology.exchange(), key, options, &body, properties).await?;
            Ok::<_, lapin::Error>((announcement.id, confirm.await?))
        });
        let outcomes = try_join_all(publishing).await?;
        // lapin hands a returned message to some confirm of the channel, not always its own: its id tells whose it is.
        let mut returned = BTreeSet::new();
        let mut taken = Vec::with_capacity(part.len());
        for (id, outcome) in outcomes {
            let message = match outcome {
                Confirmation::Ack(message) => {
                    taken.push(id);
                    message
                }
                Confirmation::Nack(message) => message,
                Confirmation::NotRequested => None,
            };
            returned
                .extend(message.and_then(|message| message.properties.message_id().clone()).map(|id| id.to_string()));
        }
        if !returned.is_empty() || taken.len() < part.len() {
            let refused = part.len() - taken.len();
            tracing::warn!(
                returned = returned.len(),
                refused,
                "the broker did not take some wake-ups; they are sent again"
            );
            // A queue is missing: the next connection declares it.
            self.give_up();
        }
        taken.retain(|id| !returned.contains(&id.to_string()));
        Ok(taken)
    }

    /// The next wake-up of a stage. None: the session is over. Cancelled, it takes nothing.
    pub(super) async fn next(&self, stage: Stage) -> Option<Delivery> {
        let consumer = self.consumers.iter().find(|consumer| consumer.stage == stage)?;
        match consumer.messages.lock().await.next().await {
            Some(Ok(delivery)) => Some(delivery),
            Some(Err(error)) => {
                tracing::debug!(stage = stage.as_str(), %error, "no more deliveries");
                None
            }
            None => None,
        }
    }
}

async fn subscribe(
    connection: &Connection,
    topology: &Topology,
    stage: Stage,
    prefetch: u16,
) -> lapin::Result<StageConsumer> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(prefetch.max(1), BasicQosOptions::default()).await?;
    let consumer = channel
        .basic_consume(topology.queue(stage), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    Ok(StageConsumer { stage, channel, messages: Mutex::new(consumer) })
}

/// RabbitMQ stops connections that publish while it is short of memory or disk.
#[derive(Debug, thiserror::Error)]
#[error("the broker is short of memory or disk and takes no messages")]
struct Blocked;
