//! Every call ends by its deadline, with the right status.

use std::time::{Duration, Instant};

use tonic::{Code, IntoRequest, Request};
use vectrion::v1::answer_event::Event;

use super::support::{ask, event, reason, search, settings, start, start_with};
use crate::ServerSettings;

fn within<T>(request: impl IntoRequest<T>, timeout_ms: u64) -> Request<T> {
    let mut request = request.into_request();
    request.set_timeout(Duration::from_millis(timeout_ms));
    request
}

#[tokio::test]
async fn a_unary_call_out_of_time_is_told_so_before_its_caller_gives_up() {
    let server = start().await;
    let client = server.client("user").await;
    for timeout_ms in [600, 1500] {
        let status = client.query().retrieve(within(search("silent"), timeout_ms)).await.expect_err("out of time");
        // A caller whose own clock ran out first would say CANCELLED, and without details.
        assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    }
    let begun = Instant::now();
    client.query().retrieve(within(search("silent"), 50)).await.expect_err("out of time, whoever notices first");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn the_servers_limit_holds_without_a_timeout_and_against_a_longer_one() {
    let server = start_with(ServerSettings { unary_timeout_s: 1, ..settings() }).await;
    let client = server.client("user").await;
    for request in [search("silent").into_request(), within(search("silent"), 60_000)] {
        let begun = Instant::now();
        let status = client.query().retrieve(request).await.expect_err("out of time");
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(begun.elapsed() < Duration::from_secs(2), "within a second of the deadline: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn handlers_know_what_is_left() {
    let server = start().await;
    let client = server.client("user").await;
    let left = |timeout_ms| {
        let mut query = client.query();
        async move {
            let response = query.retrieve(within(search("deadline"), timeout_ms)).await.expect("fine");
            response.into_inner().latency.expect("the time left").total_ms
        }
    };
    let (short, long) = (left(2_000).await, left(3_600_000).await);
    assert!(short > 1_000.0 && short <= 2_000.0, "{short}");
    assert!(long > 20_000.0 && long <= 30_000.0, "capped to 30 s: {long}");
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline_even_if_its_source_is_silent() {
    let mut server = start().await;
    let client = server.client("user").await;
    let mut stream = client.query().answer(within(ask("silent"), 800)).await.expect("begun").into_inner();
    assert!(matches!(event(stream.message().await.expect("fine").expect("an event")), Event::Started(_)));
    let status = stream.message().await.expect_err("out of time");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    server.departure().await;
}

#[tokio::test]
async fn the_servers_limit_ends_a_stream_that_never_stops() {
    let server = start_with(ServerSettings { stream_timeout_s: 1, ..settings() }).await;
    let begun = Instant::now();
    let mut stream = server.client("user").await.query().answer(ask("trickle")).await.expect("begun").into_inner();
    let status = loop {
        if let Err(status) = stream.message().await {
            break status;
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(begun.elapsed() < Duration::from_secs(2), "within a second of the deadline: {:?}", begun.elapsed());
}

#[tokio::test]
async fn an_answer_says_itself_that_it_is_out_of_time_and_the_status_follows() {
    let server = start().await;
    let request = within(ask("keeps the deadline"), 700);
    let mut stream = server.client("user").await.query().answer(request).await.expect("begun").into_inner();
    stream.message().await.expect("fine").expect("started");
    let last = event(stream.message().await.expect("the event comes before the status").expect("an event"));
    assert!(matches!(last, Event::Error(error) if error.code == 4 && error.reason == "MODEL_STALLED"));
    let status = stream.message().await.expect_err("the status");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "MODEL_STALLED"));
}
