//! Exchanges and queues.
//!
//! | name | what |
//! |---|---|
//! | `PREFIX.jobs` | direct exchange; the routing key is the stage |
//! | `PREFIX.STAGE` | quorum queue of a stage, with a delivery limit |
//! | `PREFIX.dead` | fanout exchange, and the queue behind it: wake-ups that were given back too often |
//!
//! A dead wake-up loses no work, because the jobs table says what is to be done; it tells an operator that processes end
//! while they hold it. Hence the queue keeps the latest only.

use lapin::{
    Channel, ExchangeKind, Result,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, LongString, ShortString},
};
use vectrion_core::job::Stage;

/// Times that a wake-up is given back before it is dead.
const DELIVERY_LIMIT: i32 = 20;
/// Dead wake-ups that are kept.
const DEAD_KEPT: i32 = 10_000;

#[derive(Clone, Debug)]
pub(super) struct Topology {
    prefix: String,
}

impl Topology {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn exchange(&self) -> ShortString {
        format!("{}.jobs", self.prefix).into()
    }

    pub(super) fn queue(&self, stage: Stage) -> ShortString {
        format!("{}.{}", self.prefix, stage.as_str()).into()
    }

    fn dead(&self) -> ShortString {
        format!("{}.dead", self.prefix).into()
    }

    /// Declares everything. What is there already, and is as declared here, stays as it is.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<()> {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let none = FieldTable::default;
        channel.exchange_declare(self.exchange(), ExchangeKind::Direct, durable, none()).await?;
        channel.exchange_declare(self.dead(), ExchangeKind::Fanout, durable, none()).await?;

        let mut arguments = quorum();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(DEAD_KEPT));
        arguments.insert("x-overflow".into(), text("drop-head"));
        channel.queue_declare(self.dead(), QueueDeclareOptions::durable(), arguments).await?;
        channel.queue_bind(self.dead(), self.dead(), "".into(), QueueBindOptions::default(), none()).await?;

        for stage in Stage::ALL {
            let mut arguments = quorum();
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
            arguments.insert("x-dead-letter-exchange".into(), text(self.dead().as_str()));
            let queue = self.queue(stage);
            channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), arguments).await?;
            let key = stage.as_str().into();
            channel.queue_bind(queue, self.exchange(), key, QueueBindOptions::default(), none()).await?;
        }
        Ok(())
    }
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}
