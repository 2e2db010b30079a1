//! A message that was taken.

use std::time::Duration;

use async_trait::async_trait;
use lapin::{
    Acker,
    options::{BasicAckOptions, BasicNackOptions},
};
use tokio::{runtime::Handle, time::timeout};
use vectrion_core::{Result, ports::wakeups::Delivery};

use super::failure;

/// Longest wait for an acknowledgement to be written to the connection.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct AmqpDelivery {
    /// None once it is settled.
    acker: Option<Acker>,
}

impl AmqpDelivery {
    pub(super) fn new(delivery: lapin::message::Delivery) -> Self {
        Self { acker: Some(delivery.acker) }
    }
}

#[async_trait]
impl Delivery for AmqpDelivery {
    async fn settle(mut self: Box<Self>) -> Result<()> {
        let Some(acker) = self.acker.take() else { return Ok(()) };
        match timeout(WRITE_TIMEOUT, acker.ack(BasicAckOptions::default())).await {
            // False: its connection is gone, and the broker delivers it again.
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failure::away().with_source(error)),
            Err(_) => Err(failure::away()),
        }
    }
}

impl Drop for AmqpDelivery {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and its connection with it.
        let (Some(acker), Ok(runtime)) = (self.acker.take(), Handle::try_current()) else { return };
        runtime.spawn(async move {
            let back = acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() });
            if !matches!(timeout(WRITE_TIMEOUT, back).await, Ok(Ok(_))) {
                tracing::debug!("a wake-up could not be given back; the broker does it when the connection ends");
            }
        });
    }
}
