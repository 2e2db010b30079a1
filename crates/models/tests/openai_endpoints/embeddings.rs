//! The embedder.

use std::time::Duration;

use vectrion_core::{
    Error, ErrorKind,
    ports::models::{EmbedInput, Embedder as _},
};
use vectrion_models::openai::{EmbedderSettings, EndpointSettings, OpenAiEmbedder, VectorEncoding};
use vectrion_testkit::openai::{Answers, OpenAiServer, Reply, RequestEnd, Step, hash_embedding};

use super::LONG;

const DIMENSION: usize = 48;

fn settings(base_url: String) -> EmbedderSettings {
    super::secrecy::logs();
    let mut endpoint = EndpointSettings::new(base_url, "test-embedder");
    endpoint.retries.first_delay = Duration::from_millis(2);
    let mut settings = EmbedderSettings::new(endpoint);
    settings.dimension = Some(DIMENSION);
    settings.attempt_timeout = LONG;
    settings.query_timeout = LONG;
    settings
}

async fn server() -> OpenAiServer {
    OpenAiServer::start_with_dimension(DIMENSION).await
}

fn embedder(settings: EmbedderSettings) -> OpenAiEmbedder {
    OpenAiEmbedder::new(settings, 42).expect("the settings are right")
}

fn passages(count: usize) -> Vec<EmbedInput> {
    let passage = |number| EmbedInput { text: format!("passage number {number}"), token_ids: vec![1; 3] };
    (0..count).map(passage).collect()
}

fn assert_near(vector: &[f32], text: &str) {
    let expected = hash_embedding(text, vector.len());
    let cosine: f32 = vector.iter().zip(&expected).map(|(a, b)| a * b).sum();
    assert!((cosine - 1.0).abs() < 1e-4, "{cosine} of {text}");
}

/// The error of one kind of answer.
async fn wrong(reply: Reply, change: impl FnOnce(&mut EmbedderSettings)) -> (Error, usize) {
    let server = server().await;
    server.answer_embeddings(move |_| reply.clone());
    let mut settings = settings(server.base_url());
    settings.endpoint.retries.max_retries = 1;
    change(&mut settings);
    let error = embedder(settings).embed(passages(3)).await.expect_err("the answer is wrong");
    (error, server.attempts())
}

#[tokio::test]
async fn each_passage_gets_its_vector_in_order_and_of_unit_length() {
    for (encoding, answers) in [
        (VectorEncoding::Float, Answers::Right),
        (VectorEncoding::Base64, Answers::Right),
        (VectorEncoding::Base64, Answers::FloatsOnly),
        (VectorEncoding::Float, Answers::Reversed),
        (VectorEncoding::Float, Answers::WithoutIndex),
        (VectorEncoding::Base64, Answers::Scaled(17.0)),
    ] {
        let server = server().await;
        server.answer_embeddings(move |_| Reply::wrong_embeddings(answers));
        let mut settings = settings(server.base_url());
        settings.encoding = encoding;
        let vectors = embedder(settings).embed(passages(5)).await.expect("vectors");
        assert_eq!(vectors.len(), 5);
        for (number, vector) in vectors.iter().enumerate() {
            assert_eq!(vector.len(), DIMENSION);
            assert_near(vector, &format!("passage number {number}"));
            let length: f32 = vector.iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-5);
        }
        let format = &server.requests()[0].body["encoding_format"];
        assert_eq!(format, if encoding == VectorEncoding::Float { "float" } else { "base64" });
    }
}

#[tokio::test]
async fn requests_are_bounded_by_number_and_by_tokens() {
    let server = server().await;
    let mut settings = settings(server.base_url());
    settings.batch_inputs = 4;
    settings.batch_tokens = 9;
    settings.concurrency = 3;
    let embedder = embedder(settings);
    assert_eq!((embedder.model(), embedder.dimension(), embedder.batch_size()), ("test-embedder/48", DIMENSION, 4));
    let mut inputs = passages(20);
    inputs[7].token_ids = vec![1; 50];
    let vectors = embedder.embed(inputs).await.expect("vectors");
    for (number, vector) in vectors.iter().enumerate() {
        assert_near(vector, &format!("passage number {number}"));
    }
    let sizes: Vec<usize> =
        server.requests().iter().map(|request| request.body["input"].as_array().map_or(0, Vec::len)).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 20);
    assert!(sizes.iter().all(|size| *size <= 3), "three tokens each, nine in a request: {sizes:?}");
    assert!(embedder.embed(Vec::new()).await.expect("nothing to do").is_empty());
}

#[tokio::test]
async fn large_responses_are_read_in_full() {
    let server = OpenAiServer::start_with_dimension(1_024).await;
    let mut settings = settings(server.base_url());
    settings.dimension = Some(1_024);
    let vectors = embedder(settings).embed(passages(64)).await.expect("vectors");
    assert_near(&vectors[63], "passage number 63");
}

#[tokio::test]
async fn questions_and_passages_have_their_prefixes_and_the_name_tells() {
    let server = server().await;
    let mut settings = settings(server.base_url());
    settings.query_prefix = "query: ".to_owned();
    settings.passage_prefix = "passage: ".to_owned();
    settings.request_dimension = true;
    let embedder = embedder(settings);
    embedder.embed_query("why?").await.expect("a vector");
    embedder.embed_texts(&["a".to_owned(), "b".to_owned()]).await.expect("vectors");
    let requests = server.requests();
    assert_eq!(requests[0].body["input"], serde_json::json!(["query: why?"]));
    assert_eq!(requests[0].body["dimensions"], DIMENSION);
    assert_eq!(requests[1].body["input"], serde_json::json!(["passage: a", "passage: b"]));
    assert_eq!(embedder.model(), "test-embedder/48/passage: ");
}

#[tokio::test]
async fn a_long_question_is_the_mean_of_its_windows() {
    let server = server().await;
    let mut settings = settings(server.base_url());
    settings.max_input_tokens = 10;
    let embedder = embedder(settings);
    let question = "apple banana cherry dates elderberry figs grapes";
    let vector = embedder.embed_query(question).await.expect("a vector");
    let request = &server.requests()[0].body["input"];
    let windows: Vec<&str> = request.as_array().expect("a list").iter().filter_map(|text| text.as_str()).collect();
    assert!(windows.len() > 1 && windows.join(" ") == question, "{windows:?}");
    let mut mean = [0.0; DIMENSION];
    for window in windows {
        mean.iter_mut().zip(hash_embedding(window, DIMENSION)).for_each(|(sum, x)| *sum += x);
    }
    let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
    let cosine: f32 = mean.iter().zip(&vector).map(|(a, b)| a * b / length).sum();
    assert!((cosine - 1.0).abs() < 1e-4, "{cosine}");
}

#[tokio::test]
async fn vectors_that_do_not_fit_are_typed_errors() {
    let (error, attempts) = wrong(Reply::wrong_embeddings(Answers::Dimension(7)), |_| {}).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::FailedPrecondition, "EMBEDDER_DIMENSION_MISMATCH"));
    assert_eq!(attempts, 1, "another try has no other dimension");
    for answers in [Answers::OneMissing, Answers::SameIndex, Answers::Scaled(0.0)] {
        let (error, attempts) = wrong(Reply::wrong_embeddings(answers), |_| {}).await;
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "EMBEDDER_ANSWER_BROKEN"), "{answers:?}");
        assert_eq!(attempts, 2);
    }
}

#[tokio::test]
async fn failures_have_the_reasons_of_the_port() {
    let hurried = |settings: &mut EmbedderSettings| settings.attempt_timeout = Duration::from_millis(50);
    let bounded = |settings: &mut EmbedderSettings| settings.endpoint.max_response_bytes = 1_000;
    let (error, attempts) = wrong(Reply::hang(), hurried).await;
    assert_eq!((error.kind(), error.reason(), attempts), (ErrorKind::DeadlineExceeded, "EMBEDDER_TIMEOUT", 2));
    let (error, _) = wrong(Reply::body("application/json", [Step::raw("{\"data\": ["), Step::Hang]), hurried).await;
    assert_eq!(error.reason(), "EMBEDDER_TIMEOUT");
    let (error, attempts) = wrong(Reply::error(500, "x"), |_| {}).await;
    assert_eq!((error.kind(), error.reason(), attempts), (ErrorKind::Unavailable, "EMBEDDER_UNAVAILABLE", 2));
    let (error, attempts) = wrong(Reply::rate_limited(3_600), |_| {}).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::ResourceExhausted, "EMBEDDER_RATE_LIMITED"));
    assert_eq!((error.retry_after(), attempts), (Some(Duration::from_secs(3_600)), 1));
    let (error, attempts) = wrong(Reply::error(401, "invalid_api_key"), |_| {}).await;
    assert_eq!((error.kind(), error.reason(), attempts), (ErrorKind::FailedPrecondition, "EMBEDDER_REFUSED", 1));
    let (error, _) = wrong(Reply::embeddings(), bounded).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "EMBEDDER_ANSWER_BROKEN"));
    let (error, _) = wrong(Reply::body("text/html", [Step::raw("<html>")]), |_| {}).await;
    assert_eq!(error.reason(), "EMBEDDER_ANSWER_BROKEN");
}

#[tokio::test]
async fn a_failure_that_passes_is_not_seen() {
    let server = server().await;
    server.queue_embeddings([Reply::error(500, "x"), Reply::error(429, "x").header("retry-after-ms", "5")]);
    assert_near(&embedder(settings(server.base_url())).embed_query("why?").await.expect("a vector"), "why?");
    assert_eq!(server.attempts(), 3);
}

#[tokio::test]
async fn questions_do_not_wait_behind_passages_and_who_leaves_aborts() {
    let server = server().await;
    server.answer_embeddings(|request| {
        let is_question = request.body["input"][0] == "why?";
        if is_question { Reply::embeddings() } else { Reply::hang() }
    });
    let mut settings = settings(server.base_url());
    settings.batch_inputs = 1;
    settings.concurrency = 2;
    let embedder = std::sync::Arc::new(embedder(settings));
    let busy = std::sync::Arc::clone(&embedder);
    let task = tokio::spawn(async move { busy.embed(passages(10)).await });
    assert!(server.wait_until(LONG, |requests| requests.len() == 2).await);
    assert_near(&embedder.embed_query("why?").await.expect("a vector"), "why?");
    assert_eq!(server.attempts(), 3, "two requests with passages at once, and the question");
    task.abort();
    let left = |requests: &[vectrion_testkit::openai::Request]| {
        requests.iter().filter(|request| matches!(request.end, RequestEnd::ClientLeft { .. })).count() == 2
    };
    assert!(server.wait_until(Duration::from_secs(1), left).await, "{:?}", server.requests());
}

#[tokio::test]
async fn the_dimension_can_be_asked_for() {
    let server = server().await;
    let mut settings = settings(server.base_url());
    settings.dimension = None;
    let error = OpenAiEmbedder::new(settings.clone(), 1).expect_err("no dimension");
    assert_eq!(error.violations()[0].field, "dimension");
    let embedder = OpenAiEmbedder::discover(settings, 1).await.expect("the model is there");
    assert_eq!(embedder.dimension(), DIMENSION);
    assert_near(&embedder.embed_query("why?").await.expect("a vector"), "why?");
}

#[tokio::test]
async fn the_check_calls_the_model_only_if_nothing_did_lately() {
    let server = server().await;
    let mut settings = settings(server.base_url());
    settings.endpoint.retries.max_retries = 0;
    let embedder = embedder(settings);
    server.queue_embeddings([Reply::error(503, "x")]);
    assert_eq!(embedder.check().await.expect_err("it fails").reason(), "EMBEDDER_UNAVAILABLE");
    embedder.check().await.expect("it works");
    embedder.check().await.expect("it worked a moment ago");
    assert_eq!(server.attempts(), 2);
}
