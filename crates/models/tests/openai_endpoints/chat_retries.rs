//! When a call is made again, and when it is not made at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::json;
use vectrion_core::{ErrorKind, ports::models::ChatModel as _};
use vectrion_testkit::openai::{End, OpenAiServer, Reply, Step};

use super::{LONG, answer, ask, model, patient, patient_model, question, refused};

#[tokio::test]
async fn failures_before_the_first_text_are_tried_again() {
    for failures in [
        vec![Reply::error(500, "x"), Reply::error(503, "x")],
        vec![Reply::error(429, "x"), Reply::error(408, "x")],
        vec![Reply::script([Step::Role]).ending(End::Reset), Reply::script([]).ending(End::Cut)],
        vec![Reply::script([Step::Role, Step::Done]), Reply::script([Step::Event("nonsense".to_owned())])],
        vec![Reply::script([Step::event(&json!({ "error": { "code": 503 } }))]), Reply::body("text/html", [])],
    ] {
        let server = OpenAiServer::start().await;
        let count = failures.len();
        server.queue_chat(failures);
        assert_eq!(answer(&patient_model(&server)).await, "This is an answer.");
        assert_eq!(server.attempts(), count + 1);
    }
}

#[tokio::test]
async fn the_last_failure_is_told_when_the_tries_are_used_up() {
    let server = OpenAiServer::start().await;
    server.answer_chat(|_| Reply::error(503, "overloaded").header("retry-after-ms", "1500"));
    let mut settings = patient(server.base_url());
    settings.endpoint.retries.max_retries = 0;
    let error = refused(&model(settings)).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "MODEL_UNAVAILABLE"));
    assert_eq!(error.retry_after(), Some(Duration::from_millis(1_500)));
    assert_eq!(error.metadata()["model_code"], "overloaded");

    server.answer_chat(|_| Reply::error(500, "x"));
    refused(&patient_model(&server)).await;
    assert_eq!(server.attempts(), 1 + 3, "two retries by default");
}

#[tokio::test]
async fn retry_after_is_honoured_if_there_is_time_and_handed_on_if_not() {
    let server = OpenAiServer::start().await;
    let model = patient_model(&server);
    server.queue_chat([Reply::rate_limited(1)]);
    answer(&model).await;
    let requests = server.requests();
    let pause = requests[1].received.duration_since(requests[0].received);
    assert!(pause >= Duration::from_secs(1), "{pause:?}");

    server.queue_chat([Reply::rate_limited(3_600)]);
    let began = Instant::now();
    let error = refused(&model).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::ResourceExhausted, "MODEL_RATE_LIMITED"));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3_600)));
    assert!(began.elapsed() < LONG / 2);
    assert_eq!(server.attempts(), 3);

    assert_eq!(refused(&model).await.reason(), "MODEL_RATE_LIMITED");
    assert_eq!(server.attempts(), 3, "it is left alone meanwhile");
    let model = patient_model(&server);
    server.queue_chat([Reply::error(429, "insufficient_quota")]);
    assert_eq!(refused(&model).await.reason(), "MODEL_RATE_LIMITED");
    assert_eq!(server.attempts(), 4, "waiting fills no quota");
    answer(&model).await;
}

#[tokio::test]
async fn a_storm_of_failures_opens_the_breaker_and_costs_few_requests() {
    let server = OpenAiServer::start().await;
    server.answer_chat(|_| Reply::error(500, "x"));
    let mut settings = patient(server.base_url());
    settings.endpoint.breaker.pause = LONG * 10;
    let model = model(settings);
    for round in 0..4 {
        let errors = join_all((0..50).map(|_| refused(&model))).await;
        assert!(errors.iter().all(|error| error.reason() == "MODEL_UNAVAILABLE"));
        if round > 0 {
            assert!(errors.iter().all(|error| error.retry_after().is_some_and(|after| after > LONG)));
        }
    }
    assert!(server.attempts() <= 55, "of 200 calls, those of the first round at the most: {}", server.attempts());
}

#[tokio::test]
async fn a_storm_that_spares_some_calls_costs_a_tenth_more() {
    let server = OpenAiServer::start().await;
    let turn = AtomicU32::new(0);
    server.answer_chat(move |_| {
        let works = turn.fetch_add(1, Ordering::SeqCst) % 2 == 1;
        if works { Reply::chat(["ok"]) } else { Reply::error(500, "x") }
    });
    let model = patient_model(&server);
    for _ in 0..300 {
        let _some_fail = ask(&model).await;
    }
    assert!((301..=330).contains(&server.attempts()), "{}", server.attempts());
}

#[tokio::test]
async fn the_breaker_lets_a_probe_through_and_closes_when_it_works() {
    let server = OpenAiServer::start().await;
    let broken = Arc::new(AtomicU32::new(1));
    let switch = Arc::clone(&broken);
    server.answer_chat(
        move |_| {
            if switch.load(Ordering::SeqCst) == 1 { Reply::error(500, "x") } else { Reply::chat(["ok"]) }
        },
    );
    let mut settings = patient(server.base_url());
    settings.endpoint.breaker.failures = 3;
    settings.endpoint.breaker.pause = Duration::from_millis(50);
    let model = model(settings);
    refused(&model).await;
    assert_eq!(server.attempts(), 3);
    broken.store(0, Ordering::SeqCst);
    let began = Instant::now();
    let text = loop {
        match ask(&model).await {
            (_, Some(error)) => {
                assert_eq!(error.reason(), "MODEL_UNAVAILABLE");
                let wait = error.retry_after().expect("the breaker says when");
                assert!(wait <= Duration::from_millis(50), "{wait:?}");
                tokio::time::sleep(wait).await;
            }
            (events, None) => break super::text(&events),
        }
        assert!(began.elapsed() < LONG, "it recovers");
    };
    assert_eq!((text.as_str(), server.attempts()), ("ok", 4));
}

#[tokio::test]
async fn streams_that_always_break_off_open_the_breaker_too() {
    let server = OpenAiServer::start().await;
    server.answer_chat(|_| Reply::script([Step::delta("so ")]));
    let mut settings = patient(server.base_url());
    settings.endpoint.breaker.failures = 3;
    settings.endpoint.breaker.pause = LONG * 10;
    let model = model(settings);
    let mut reasons = Vec::new();
    for _ in 0..4 {
        let (_, error) = ask(&model).await;
        reasons.push(error.expect("it fails").reason());
    }
    let broken = "MODEL_STREAM_BROKEN";
    assert_eq!(reasons, [broken, broken, broken, "MODEL_UNAVAILABLE"]);
    assert_eq!(server.attempts(), 3);
}

#[tokio::test]
async fn callers_that_leave_or_have_no_time_do_not_open_the_breaker() {
    let server = OpenAiServer::start().await;
    let mut settings = patient(server.base_url());
    settings.endpoint.breaker.failures = 2;
    settings.endpoint.breaker.pause = LONG * 10;
    let model = model(settings);
    server.queue_chat(vec![Reply::hang(); 8]);
    for hurried in 0..4 {
        let mut request = question();
        request.deadline = Some(Instant::now() + Duration::from_millis(30));
        assert_eq!(model.stream(request).await.err().expect("no time").reason(), "MODEL_TIMEOUT");
        let left = tokio::time::timeout(Duration::from_millis(30), model.stream(question())).await;
        assert!(left.is_err());
        assert!(server.wait_until(LONG, |requests| requests.len() == 2 * (hurried + 1)).await);
    }
    assert_eq!(answer(&model).await, "This is an answer.");
}

#[tokio::test]
async fn refusals_and_limits_do_not_open_the_breaker() {
    let server = OpenAiServer::start().await;
    let mut settings = patient(server.base_url());
    settings.endpoint.breaker.failures = 2;
    settings.endpoint.retries.max_retries = 0;
    let model = model(settings);
    server.queue_chat((0..10).map(|turn| Reply::error(if turn % 2 == 0 { 400 } else { 429 }, "x")));
    for _ in 0..10 {
        refused(&model).await;
    }
    answer(&model).await;
    assert_eq!(server.attempts(), 11);
}
