//! What others see on the broker.

use std::time::Duration;

use lapin::{
    options::{BasicGetOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use vectrion_core::{job::Stage, ports::Wakeups as _};
use vectrion_testkit::conformance::wakeups::announcement;

use crate::{beside, broker, open, remove, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_durable_and_carries_its_trace() {
    let Some(url) = broker() else { return };
    let settings = settings();
    let wakeups = open(&url, &settings).await;
    let sent = announcement(Stage::EmbedDocument);
    assert_eq!(wakeups.announce(std::slice::from_ref(&sent)).await.unwrap(), [sent.id]);

    let (_connection, channel) = beside(&url).await;
    let queue = format!("{}.embed_document", settings.prefix);
    let message = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap().expect("the message");
    let properties = &message.properties;
    assert_eq!(properties.delivery_mode(), &Some(2));
    assert_eq!(properties.message_id().as_ref().map(|id| id.to_string()), Some(sent.id.to_string()));
    let headers = properties.headers().as_ref().expect("headers").inner();
    let Some(AMQPValue::LongString(parent)) = headers.get("traceparent") else { panic!("{headers:?}") };
    let expected = format!("00-{}-{}-00", sent.trace_id, &sent.id.0.simple().to_string()[16..]);
    assert_eq!(parent.to_string(), expected);
    let body: serde_json::Value = serde_json::from_slice(&message.data).unwrap();
    assert_eq!(body["job_id"], sent.job.to_string());
    remove(&url, &settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_queue_takes_is_not_confirmed() {
    let Some(url) = broker() else { return };
    let settings = settings();
    let wakeups = open(&url, &settings).await;
    let (_connection, channel) = beside(&url).await;
    let (queue, exchange) = (format!("{}.delete_document", settings.prefix), format!("{}.jobs", settings.prefix));
    let unbind = channel.queue_unbind(queue.into(), exchange.into(), "delete_document".into(), FieldTable::default());
    unbind.await.unwrap();

    let batch: Vec<_> = (0..300).map(|i| announcement(Stage::ALL[i % 3])).collect();
    let confirmed = wakeups.announce(&batch).await.unwrap();
    let expected: Vec<_> =
        batch.iter().filter(|sent| sent.stage != Stage::DeleteDocument).map(|sent| sent.id).collect();
    assert_eq!(confirmed, expected, "the two hundred that a queue took");
    remove(&url, &settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_back_too_often_is_dead_and_does_not_stand_in_the_way() {
    let Some(url) = broker() else { return };
    let settings = settings();
    let wakeups = open(&url, &settings).await;
    let stage = Stage::EmbedDocument;
    wakeups.announce(&[announcement(stage)]).await.unwrap();
    let mut deliveries = 0;
    while let Some(delivery) = wakeups.wait(stage, Duration::from_secs(2)).await.unwrap() {
        deliveries += 1;
        assert!(deliveries < 100, "it comes for ever");
        drop(delivery);
    }
    assert!(deliveries > 10, "{deliveries}");
    let (_connection, channel) = beside(&url).await;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    let dead = format!("{}.dead", settings.prefix);
    let dead = channel.queue_declare(dead.into(), passive, FieldTable::default()).await.unwrap();
    assert_eq!(dead.message_count(), 1);
    remove(&url, &settings).await;
}
