//! Limits of the calls of a model, from outside.

use std::time::Duration;

use tonic::{Code, Request};
use tonic_types::StatusExt as _;
use vectrion::v1::{DocumentState, ListJobsRequest, RetrieveRequest};
use vectrion_testkit::openai::OpenAiServer;

use crate::support::{TestApp, client::reason};

#[tokio::test]
async fn jobs_wait_for_a_limited_model_and_questions_are_told() {
    let model = OpenAiServer::start().await;
    let url = model.base_url();
    let app = TestApp::start_with(&[
        ("models.embed", url.as_str()),
        ("models.embed_model", "scripted"),
        ("models.embed_dimension", "384"),
        // One request in ten seconds, which is longer than a lease.
        ("models.embed_requests_per_minute", "6"),
        ("worker.lease_s", "2"),
    ])
    .await;
    let client = app.operator().await;
    let mut ids = Vec::new();
    for n in 0..2 {
        let text = format!("Lighthouse number {n} stands at mile {n} of the northern shore.\n");
        ids.push(client.upload(&format!("{n}.txt"), text.as_bytes()).await.document_id);
    }
    let mut refused = 0;
    for n in 0..4 {
        let query = format!("Which lighthouse stands at mile {n}?");
        let mut request = Request::new(RetrieveRequest { query, ..RetrieveRequest::default() });
        request.set_timeout(Duration::from_secs(1));
        let Err(status) = client.query.clone().retrieve(request).await else { continue };
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "EMBEDDER_RATE_LIMITED"));
        let details = status.get_error_details();
        assert!(details.retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
        refused += 1;
    }
    assert!(refused >= 3, "{refused}");
    for id in ids {
        assert_eq!(client.settled(&id).await.state(), DocumentState::Indexed);
        let request = ListJobsRequest { document_id: id, ..ListJobsRequest::default() };
        let jobs = client.admin.clone().list_jobs(request).await.unwrap().into_inner().jobs;
        assert!(jobs.iter().all(|job| job.attempts == 1), "waiting costs no try and no lease: {jobs:?}");
    }
    app.stop().await;
}
