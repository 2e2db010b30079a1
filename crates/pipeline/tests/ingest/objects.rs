//! Ingestion over a real S3 server that breaks.

use vectrion_backends::objects::{ObjectBackend, ObjectSettings};
use vectrion_core::{document::DocumentState, ids::TenantId};
use vectrion_testkit::{
    fault_proxy::{Fault, FaultProxy},
    services::address,
};

use super::world::{World, paragraphs};

/// An installation whose bytes come through a proxy.
async fn over_s3() -> Option<(World, FaultProxy)> {
    let url = address("VECTRION_TEST_S3_URL")?;
    let (user, place) = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).expect("a key");
    let (key, secret) = user.split_once(':').expect("a secret");
    let (host, bucket) = place.split_once('/').expect("a bucket");
    let proxy = FaultProxy::start(host).await;
    let mut settings = ObjectSettings::default();
    settings.s3.endpoint = format!("http://{}", proxy.address());
    settings.s3.allow_http = true;
    settings.s3.access_key_id = key.to_owned();
    settings.s3.secret_access_key = secret.into();
    let url = format!("s3://{bucket}/test-{}", TenantId::new());
    let objects = ObjectBackend::open(&url, &settings).await.expect("the bucket");
    Some((World::with_objects(objects).await, proxy))
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_come_cut_or_changed_are_read_again_and_never_indexed() {
    let Some((world, proxy)) = over_s3().await else { return };
    let text = paragraphs(2000);
    for (at, fault) in [Fault::CutResponse(60_000), Fault::FlipResponse(60_000), Fault::Refuse].iter().enumerate() {
        let (view, _) = world.upload(&format!("{at}.txt"), &format!("{at} {text}")).await.expect("an upload");
        // The check of the store is the first request of the job, the document the second.
        proxy.order(fault, 2);
        world.work().await;
        let document = world.document(&view.document).await.document;
        assert_eq!(document.state, DocumentState::Indexed, "{fault:?}: {:?}", document.failure);
        assert_eq!(proxy.ordered(), 0, "{fault:?} happened");
    }

    let (view, _) = world.upload("damaged.txt", &format!("damaged {text}")).await.expect("an upload");
    proxy.order(&Fault::FlipResponse(60_000), 1000);
    world.work().await;
    let document = world.document(&view.document).await.document;
    assert_eq!(document.state, DocumentState::Failed);
    assert_eq!(document.failure.expect("a failure").reason, "OBJECT_CORRUPT");
    proxy.heal();
}
