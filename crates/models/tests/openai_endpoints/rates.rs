//! Limits of how often, and by how many at once, an endpoint is called.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use vectrion_core::{
    ErrorKind,
    ports::models::{ChatModel as _, EmbedInput, Embedder as _},
};
use vectrion_models::openai::{EmbedderSettings, EndpointSettings, OpenAiEmbedder, RateSettings};
use vectrion_testkit::openai::{OpenAiServer, Reply, RequestEnd};

use super::{LONG, answer, model, patient, question};

fn embedder(server: &OpenAiServer, rate: RateSettings) -> OpenAiEmbedder {
    super::secrecy::logs();
    let mut endpoint = EndpointSettings::new(server.base_url(), "test-embedder");
    endpoint.retries.first_delay = Duration::from_millis(2);
    endpoint.rate = rate;
    let mut settings = EmbedderSettings::new(endpoint);
    settings.dimension = Some(48);
    settings.batch_inputs = 1;
    settings.attempt_timeout = LONG;
    settings.query_timeout = LONG;
    OpenAiEmbedder::new(settings, 42).expect("the settings are right")
}

fn passages(count: usize) -> Vec<EmbedInput> {
    (0..count).map(|n| EmbedInput { text: format!("passage {n}"), token_ids: vec![1; 10] }).collect()
}

#[tokio::test]
async fn a_429_slows_every_call_and_jobs_wait_it_out() {
    let server = OpenAiServer::start_with_dimension(48).await;
    let embedder = Arc::new(embedder(&server, RateSettings::default()));
    server.queue_embeddings([Reply::rate_limited(2)]);
    let began = Instant::now();
    let job = tokio::spawn({
        let embedder = Arc::clone(&embedder);
        async move { embedder.embed(passages(1)).await }
    });
    assert!(
        server.wait_until(LONG, |requests| requests.iter().any(|request| request.end == RequestEnd::Answered)).await
    );
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = embedder
        .embed_query_by("why?", Some(Instant::now() + Duration::from_millis(300)))
        .await
        .expect_err("no room in its time");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::ResourceExhausted, "EMBEDDER_RATE_LIMITED"));
    assert!(error.retry_after().is_some_and(|after| after > Duration::from_millis(500)), "{error:?}");
    assert!(began.elapsed() < Duration::from_millis(1_500), "it is told before the pause is over");
    embedder.embed_query("who waits?").await.expect("who has time waits");
    job.await.expect("no panic").expect("the job waited");
    let requests = server.requests();
    assert_eq!(requests.len(), 3, "{requests:?}");
    for later in &requests[1..] {
        let pause = later.received.duration_since(requests[0].received);
        assert!(pause >= Duration::from_secs(2), "{pause:?}");
    }
}

#[tokio::test]
async fn jobs_wait_for_ever_new_429s_without_being_counted_out() {
    let server = OpenAiServer::start_with_dimension(48).await;
    server.queue_embeddings((0..8).map(|_| Reply::error(429, "x").header("retry-after-ms", "30")));
    let vectors = embedder(&server, RateSettings::default()).embed(passages(1)).await.expect("it gets there");
    assert_eq!((vectors.len(), server.attempts()), (1, 9));
}

#[tokio::test]
async fn no_more_requests_than_allowed_are_under_way_and_one_place_is_a_questions() {
    let server = OpenAiServer::start_with_dimension(48).await;
    server.answer_embeddings(|_| Reply::embeddings().after(Duration::from_millis(80)));
    let embedder = embedder(&server, RateSettings { max_concurrency: 3, ..RateSettings::default() });
    let (vectors, question) = tokio::join!(embedder.embed(passages(12)), embedder.embed_query("why?"));
    assert_eq!(vectors.expect("vectors").len(), 12);
    question.expect("a vector");
    let requests = server.requests();
    let begins: Vec<Instant> = requests.iter().map(|request| request.received).collect();
    let at_once = |at: Instant| {
        let window = Duration::from_millis(60);
        begins.iter().filter(|begin| **begin <= at && at.duration_since(**begin) < window).count()
    };
    assert!(begins.iter().all(|at| at_once(*at) <= 3), "{begins:?}");
    let of_question = requests.iter().position(|request| request.body["input"][0] == "why?").expect("it came");
    assert!(of_question < 4, "it did not wait behind the passages: {of_question}");
}

#[tokio::test]
async fn a_question_beyond_the_limit_is_told_when_there_is_room() {
    let server = OpenAiServer::start_with_dimension(48).await;
    let embedder = embedder(&server, RateSettings { requests_per_minute: 6, ..RateSettings::default() });
    embedder.embed_query("one").await.expect("the first");
    let soon = Some(Instant::now() + Duration::from_secs(2));
    let error = embedder.embed_query_by("two", soon).await.expect_err("one in ten seconds");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::ResourceExhausted, "EMBEDDER_RATE_LIMITED"));
    assert!(error.retry_after().is_some_and(|after| (8..=10).contains(&after.as_secs())), "{error:?}");
    assert_eq!(server.attempts(), 1);
}

#[tokio::test]
async fn answers_hold_their_place_to_their_end() {
    let server = OpenAiServer::start().await;
    server.answer_chat(|_| Reply::chat(["a ", "b ", "c"]).delta_every(Duration::from_millis(60)));
    let mut settings = patient(server.base_url());
    settings.endpoint.rate.max_concurrency = 1;
    let model = model(settings);
    let began = Instant::now();
    let answers = join_all((0..3).map(|_| answer(&model))).await;
    assert_eq!(answers, ["a b c", "a b c", "a b c"]);
    assert!(began.elapsed() >= Duration::from_millis(3 * 100), "one after the other: {:?}", began.elapsed());
    let stream = model.stream(question()).await.expect("a stream");
    drop(stream);
    answer(&model).await;

    let mut settings = patient(server.base_url());
    settings.endpoint.rate.tokens_per_minute = 60;
    settings.first_token_timeout = Duration::from_secs(1);
    let model = self::model(settings);
    answer(&model).await;
    let refused = model.stream(question()).await.err().expect("its tokens are used up");
    assert_eq!((refused.kind(), refused.reason()), (ErrorKind::ResourceExhausted, "MODEL_RATE_LIMITED"));
    assert!(refused.retry_after().is_some_and(|after| after > Duration::from_secs(60)), "{refused:?}");
}
