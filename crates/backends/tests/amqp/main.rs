//! Wake-ups through a real RabbitMQ, found by `VECTRION_TEST_AMQP_URL`.

#![cfg(feature = "amqp")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod faults;
mod opening;
mod tls;
mod wire;

use lapin::{Channel, Connection, ConnectionProperties};
use uuid::Uuid;
use vectrion_backends::wakeups::amqp::{AmqpSettings, AmqpWakeups, Prefetch};
use vectrion_testkit::{conformance::wakeups, services};

/// The broker to test on. None: there is nothing to test on.
fn broker() -> Option<String> {
    services::address("VECTRION_TEST_AMQP_URL")
}

/// Settings under a prefix that no other test has.
fn settings() -> AmqpSettings {
    AmqpSettings {
        prefix: format!("test-{}", Uuid::new_v4().simple()),
        prefetch: Prefetch { process_document: 2, embed_document: 1, delete_document: 1 },
        ..AmqpSettings::default()
    }
}

async fn open(url: &str, settings: &AmqpSettings) -> AmqpWakeups {
    AmqpWakeups::open(url, settings).await.expect("the broker")
}

/// A channel beside the adapter's, to look and to interfere.
async fn beside(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("the broker");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

/// Removes what a prefix left on the broker.
async fn remove(url: &str, settings: &AmqpSettings) {
    let (_connection, channel) = beside(url).await;
    for name in ["process_document", "embed_document", "delete_document", "dead"] {
        let queue = format!("{}.{name}", settings.prefix);
        let _ = channel.queue_delete(queue.into(), Default::default()).await;
    }
    for name in ["jobs", "dead"] {
        let exchange = format!("{}.{name}", settings.prefix);
        let _ = channel.exchange_delete(exchange.into(), Default::default()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let Some(url) = broker() else { return };
    let made = std::sync::Mutex::new(Vec::new());
    wakeups::suite(async || {
        let settings = settings();
        made.lock().unwrap().push(settings.clone());
        open(&url, &settings).await
    })
    .await;
    wakeups::delivery_suite(async || {
        let settings = settings();
        made.lock().unwrap().push(settings.clone());
        (open(&url, &settings).await, open(&url, &settings).await)
    })
    .await;
    for settings in made.into_inner().unwrap() {
        remove(&url, &settings).await;
    }
}
