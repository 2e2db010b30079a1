//! `amqps`: a broker whose certificate a private authority has signed.

use vectrion_backends::wakeups::amqp::AmqpSettings;
use vectrion_core::ports::Wakeups as _;
use vectrion_testkit::tls_service::TlsService;

use crate::{broker, open, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_is_trusted_by_its_authority_alone() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if broker().is_none() {
        return;
    }
    let service = TlsService::start("rabbitmq");
    assert!(service.url.starts_with("amqps://"), "{}", service.url);
    let trusting = AmqpSettings { ca_path: Some(service.authority()), ..settings() };
    open(&service.url, &trusting).await.check().await.expect("it can be used");

    let strange = vectrion_backends::wakeups::amqp::AmqpWakeups::open(&service.url, &settings()).await;
    assert_eq!(strange.expect_err("nobody vouches for it").reason(), "QUEUE_TLS_FAILED");
}
