//! Who gets in, and what they learn if not.

use std::time::Duration;

use tonic::{
    Code, IntoRequest as _, Request, Status,
    client::Grpc,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use vectrion::v1::{RetrieveRequest, query_service_client::QueryServiceClient};
use vectrion_core::tenancy::Role;

use super::support::{Running, ask, reason, search, settings, start, start_with};
use crate::roles::{Access, RULES};

async fn channel(server: &Running) -> Channel {
    Endpoint::from_shared(server.url()).expect("a URL").connect().await.expect("the server is there")
}

/// A call of any path with any authorization.
async fn call(channel: Channel, path: &str, authorization: Option<&str>) -> Result<(), Status> {
    let mut request = Request::new(());
    // Streams end by it; long enough for a busy machine to refuse all the others.
    request.set_timeout(Duration::from_secs(4));
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value.parse().expect("ascii"));
    }
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.expect("ready");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    grpc.unary(request, path.parse().expect("a path"), codec).await.map(drop)
}

#[tokio::test]
async fn every_call_but_health_takes_a_key() {
    let server = start().await;
    let channel = channel(&server).await;
    for rule in RULES {
        let path = format!("/{}/{}", rule.service, rule.method);
        let outcome = call(channel.clone(), &path, None).await;
        let refused = outcome.as_ref().is_err_and(|status| status.code() == Code::Unauthenticated);
        assert_eq!(refused, rule.access != Access::Public, "{path}: {outcome:?}");
        if let Err(status) = outcome
            && refused
        {
            assert_eq!(reason(&status), "API_KEY_MISSING");
        }
    }
}

#[tokio::test]
async fn every_role_reaches_what_the_table_says() {
    let server = start().await;
    let channel = channel(&server).await;
    let cells = RULES.iter().filter(|rule| rule.access != Access::Public).flat_map(|rule| {
        let channel = &channel;
        Role::ALL.into_iter().map(move |role| async move {
            let path = format!("/{}/{}", rule.service, rule.method);
            // The script panics without a question: whatever a call that was let in comes to, it is no refusal.
            let outcome = call(channel.clone(), &path, Some(&format!("Bearer vk_{}", role.as_str()))).await;
            let refused = outcome.as_ref().is_err_and(|status| status.code() == Code::PermissionDenied);
            assert_eq!(refused, rule.check(role).is_err(), "{path} for {}: {outcome:?}", role.as_str());
            if let Err(status) = outcome
                && refused
            {
                assert_eq!(reason(&status), "ROLE_TOO_WEAK");
            }
        })
    });
    futures::future::join_all(cells).await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_whatever_its_form() {
    let server = start().await;
    let channel = channel(&server).await;
    let path = "/vectrion.v1.QueryService/Retrieve";
    for (authorization, expected) in [
        ("Bearer vk_nobody", "INVALID_API_KEY"),
        ("Bearer user", "INVALID_API_KEY"),
        ("Basic dXNlcjpwYXNz", "API_KEY_MISSING"),
        ("vk_user", "API_KEY_MISSING"),
        ("Bearer ", "API_KEY_MISSING"),
        ("", "API_KEY_MISSING"),
    ] {
        let status = call(channel.clone(), path, Some(authorization)).await.expect_err("refused");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, expected), "{authorization:?}");
    }
    assert!(call(channel, path, Some("bearer vk_user")).await.is_ok(), "the scheme's case does not matter");
}

#[tokio::test]
async fn a_path_that_is_not_there_is_told_to_those_with_a_key() {
    let server = start().await;
    let channel = channel(&server).await;
    for path in ["/vectrion.v1.QueryService/Nonsense", "/other.Service/Retrieve", "/vectrion.v1.QueryService/retrieve"]
    {
        assert_eq!(call(channel.clone(), path, None).await.expect_err("refused").code(), Code::Unauthenticated);
        let status = call(channel.clone(), path, Some("Bearer vk_operator")).await.expect_err("not there");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "UNKNOWN_METHOD"));
    }
}

#[tokio::test]
async fn a_guesser_is_slowed_down_and_a_good_key_beside_it_is_not() {
    let server = start_with(crate::ServerSettings { failed_logins_per_minute: 3, ..settings() }).await;
    server.client("user").await.query().retrieve(search("x")).await.expect("a good key");
    let channel = channel(&server).await;
    let path = "/vectrion.v1.QueryService/Retrieve";
    for _ in 0..3 {
        let status = call(channel.clone(), path, Some("Bearer vk_guess")).await.expect_err("refused");
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    let status = call(channel.clone(), path, Some("Bearer vk_guess")).await.expect_err("refused");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "TOO_MANY_FAILED_LOGINS"));
    let details = vectrion::error::details(&status).expect("details");
    assert!(details.retry_after.is_some_and(|after| after > Duration::from_secs(5)), "{details:?}");
    server.client("user").await.query().retrieve(search("x")).await.expect("still a good key");
}

#[tokio::test]
async fn a_revoked_key_ends_its_streams_within_five_seconds() {
    let mut server = start().await;
    let mut stream = server.client("user").await.query().answer(ask("trickle")).await.expect("begun").into_inner();
    assert!(stream.message().await.expect("an event").is_some());
    server.revoked.lock().expect("not poisoned").insert("vk_user".into());
    let revoked = std::time::Instant::now();
    let status = loop {
        match stream.message().await {
            Ok(message) => assert!(message.is_some(), "ended without a status"),
            Err(status) => break status,
        }
    };
    assert!(revoked.elapsed() < Duration::from_secs(5));
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "API_KEY_REVOKED"));
    server.departure().await;
}

fn trace_of(metadata: &MetadataMap) -> (&str, &str) {
    let text = |name| metadata.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    (text("trace-id"), text("traceparent"))
}

#[tokio::test]
async fn a_call_goes_on_in_its_callers_trace_and_errors_name_it() {
    let server = start().await;
    let client = server.client("user").await;
    let id = "0af7651916cd43dd8448eb211c80319c";
    let traced = |query: &str| -> Request<RetrieveRequest> {
        let mut request = search(query).into_request();
        let parent = format!("00-{id}-b7ad6b7169203331-01");
        request.metadata_mut().insert("traceparent", parent.parse().expect("ascii"));
        request
    };
    let response = client.query().retrieve(traced("x")).await.expect("fine");
    let (trace, parent) = trace_of(response.metadata());
    assert_eq!(trace, id);
    assert!(parent.starts_with(&format!("00-{id}-")) && !parent.contains("b7ad6b7169203331"), "{parent}");

    let status = client.query().retrieve(traced("broken")).await.expect_err("broken");
    assert_eq!(vectrion::error::details(&status).expect("details").trace_id(), Some(id));
    assert_eq!(trace_of(status.metadata()).0, id);
    assert!(status.message().contains(id) && !status.message().contains("disk"), "{}", status.message());

    let mut unknown = QueryServiceClient::new(channel(&server).await);
    let status = unknown.retrieve(search("x")).await.expect_err("no key");
    assert_eq!(vectrion::error::details(&status).expect("details").trace_id().map(str::len), Some(32));
}

#[tokio::test]
async fn health_is_open_and_knows_each_service() {
    let server = start().await;
    let mut health = HealthClient::new(channel(&server).await);
    for service in ["", "vectrion.v1.IngestionService", "vectrion.v1.QueryService", "vectrion.v1.AdminService"] {
        let response = health.check(HealthCheckRequest { service: service.into() }).await.expect("health").into_inner();
        assert_eq!(response.status, 1, "{service:?} serves");
    }
    let status = health.check(HealthCheckRequest { service: "other".into() }).await.expect_err("unknown");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NOT_FOUND"));
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions_to_those_with_a_key() {
    use tonic_reflection::pb::{v1, v1alpha};
    let server = start().await;
    let channel = channel(&server).await;
    let key = |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", "Bearer vk_user".parse().expect("ascii"));
        Ok(request)
    };

    let mut client = v1::server_reflection_client::ServerReflectionClient::with_interceptor(channel.clone(), key);
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut stream = client.server_reflection_info(tokio_stream::once(request)).await.expect("allowed").into_inner();
    let text = format!("{:?}", stream.message().await.expect("an answer"));
    for service in ["vectrion.v1.QueryService", "vectrion.v1.AdminService", "grpc.health.v1.Health"] {
        assert!(text.contains(service), "{service} in {text}");
    }

    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::with_interceptor(channel, key);
    let file = v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol("vectrion.v1.Document".into());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(file) };
    let mut stream = client.server_reflection_info(tokio_stream::once(request)).await.expect("allowed").into_inner();
    let text = format!("{:?}", stream.message().await.expect("an answer"));
    assert!(text.contains("FileDescriptorResponse"), "{text}");
}

#[tokio::test]
async fn reflection_can_be_switched_off() {
    let server = start_with(crate::ServerSettings { reflection: false, ..settings() }).await;
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let status = call(channel(&server).await, path, Some("Bearer vk_operator")).await.expect_err("not there");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "UNKNOWN_METHOD"));
}
