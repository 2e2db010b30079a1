//! The local embedder against the float64 reference, and under load.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{num::NonZero, sync::LazyLock};

use serde::Deserialize;
use vectrion_core::ports::{Embedder, Tokenizer as _, models::EmbedInput};
use vectrion_models::{LocalEmbedder, LocalEmbedderSettings, Variant};
use vectrion_testkit::assets_dir;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    text: String,
    token_ids: Vec<u32>,
    embedding: Vec<f32>,
}

fn cases() -> Vec<Case> {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/minilm_reference.json")).unwrap();
    assert!(fixture.cases.len() >= 20);
    fixture.cases
}

static F32: LazyLock<LocalEmbedder> = LazyLock::new(|| load(Variant::F32));
static INT8: LazyLock<LocalEmbedder> = LazyLock::new(|| load(Variant::Int8));

fn load(variant: Variant) -> LocalEmbedder {
    let two = NonZero::new(2).unwrap();
    LocalEmbedder::load(&LocalEmbedderSettings { variant, threads: two, ..LocalEmbedderSettings::new(assets_dir()) })
        .unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn by_ids(ids: &[u32]) -> EmbedInput {
    EmbedInput { text: String::new(), token_ids: ids.to_vec() }
}

async fn agrees_with_the_reference(embedder: &LocalEmbedder, at_least: f64) {
    let cases = cases();
    let passages = embedder.embed(cases.iter().map(|case| by_ids(&case.token_ids)).collect()).await.unwrap();
    let texts: Vec<String> = cases.iter().map(|case| case.text.clone()).collect();
    let texts = embedder.embed_texts(&texts).await.unwrap();
    assert_eq!((passages.len(), texts.len()), (cases.len(), cases.len()));
    for ((case, passage), text) in cases.iter().zip(&passages).zip(&texts) {
        let agreement = cosine(passage, &case.embedding);
        assert!(agreement >= at_least, "{}: {agreement}", case.name);
        assert_eq!(passage.len(), embedder.dimension());
        assert!((cosine(passage, passage) - 1.0).abs() < 1e-6);
        let length = passage.iter().map(|value| value * value).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() < 1e-5, "{}: length {length}", case.name);
        // However the text came in, and whatever it was computed beside.
        let query = embedder.embed_query(&case.text).await.unwrap();
        assert_eq!(&query, passage, "{}", case.name);
        assert_eq!(text, passage, "{}", case.name);
    }
}

#[tokio::test]
async fn f32_agrees_with_the_reference() {
    assert_eq!(F32.model(), "all-MiniLM-L6-v2/f32");
    agrees_with_the_reference(&F32, 0.9999).await;
}

#[tokio::test]
async fn int8_agrees_with_the_reference() {
    assert_eq!(INT8.model(), "all-MiniLM-L6-v2/int8");
    agrees_with_the_reference(&INT8, 0.98).await;
}

#[tokio::test]
async fn f32_conforms_to_the_port() {
    vectrion_testkit::conformance::embedder::suite(&*F32).await;
}

#[tokio::test]
async fn int8_conforms_to_the_port() {
    vectrion_testkit::conformance::embedder::suite(&*INT8).await;
}

#[tokio::test]
async fn order_and_values_do_not_depend_on_the_company() {
    let embedder = &INT8;
    let ids: Vec<u32> = (2000..2254).collect();
    let lengths = [254, 3, 17, 3, 254, 1, 90, 17, 3, 64, 64];
    let inputs: Vec<_> = lengths.iter().map(|length| by_ids(&ids[254 - length..])).collect();
    let together = embedder.embed(inputs.clone()).await.unwrap();
    for (input, vector) in inputs.into_iter().zip(&together) {
        assert_eq!(&embedder.embed(vec![input]).await.unwrap()[0], vector);
    }
    assert!(cosine(&together[0], &together[1]) < 0.99);
    assert!(embedder.embed(Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_passage_without_ids_is_tokenised_and_a_long_text_is_the_mean_of_its_windows() {
    let embedder = &F32;
    let text = "The archive keeps letters and maps. ".repeat(60);
    let ids = embedder.tokenizer().encode(&text).unwrap().ids;
    let half = ids.len() / 2;
    assert!(half > 127 && half <= 254);
    let whole = embedder.embed_query(&text).await.unwrap();
    let halves = embedder.embed(vec![by_ids(&ids[..half]), by_ids(&ids[half..])]).await.unwrap();
    let mean: Vec<f32> = halves[0].iter().zip(&halves[1]).map(|(a, b)| a + b).collect();
    assert!(cosine(&whole, &mean) > 0.999_999);
    assert!((cosine(&whole, &whole) - 1.0).abs() < 1e-6);

    let passage = EmbedInput { text: "Short.".to_owned(), token_ids: Vec::new() };
    assert_eq!(embedder.embed(vec![passage]).await.unwrap()[0], embedder.embed_query("Short.").await.unwrap());
    embedder.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_answered_while_many_passages_wait() {
    let passages: Vec<_> = (0..80).map(|shift| by_ids(&(2000 + shift..2254 + shift).collect::<Vec<_>>())).collect();
    let ingest = tokio::spawn(async { INT8.embed(passages).await.map(|vectors| vectors.len()) });
    for _ in 0..3 {
        INT8.embed_query("Who signed the contract?").await.unwrap();
    }
    assert!(!ingest.is_finished(), "the passages were done before the questions");
    assert_eq!(ingest.await.unwrap().unwrap(), 80);
}

#[tokio::test]
async fn assets_that_are_missing_or_broken_are_named() {
    let assets = tempfile::tempdir().unwrap();
    let load = || LocalEmbedder::load(&LocalEmbedderSettings::new(assets.path())).err().unwrap();
    let real = assets_dir();
    let model = assets.path().join("all-MiniLM-L6-v2");
    std::fs::create_dir_all(&model).unwrap();
    std::fs::create_dir_all(assets.path().join("onnxruntime")).unwrap();
    let assert_named = |error: vectrion_core::Error, reason: &str, file: &str| {
        assert_eq!((error.reason(), error.message().contains(file)), (reason, true), "{error:?}");
        assert!(error.message().contains("make assets"), "{error:?}");
        assert!(!error.is_transient());
    };

    assert_named(load(), "MODEL_ASSETS_MISSING", "tokenizer.json");
    std::fs::copy(real.join("all-MiniLM-L6-v2/tokenizer.json"), model.join("tokenizer.json")).unwrap();
    // ONNX Runtime may be loaded already by another test of this process; the model is looked for in any case.
    LazyLock::force(&INT8);
    assert_named(load(), "MODEL_ASSETS_MISSING", "int8.onnx");
    std::fs::copy(real.join("all-MiniLM-L6-v2/int8.onnx"), model.join("int8.onnx")).unwrap();
    assert_named(load(), "MODEL_ASSETS_MISSING", "words.bin");
    std::fs::write(model.join("words.bin"), b"too short").unwrap();
    assert_named(load(), "MODEL_ASSETS_UNUSABLE", "int8.onnx");
    std::fs::write(model.join("int8.onnx"), b"no graph").unwrap();
    assert_named(load(), "MODEL_ASSETS_UNUSABLE", "int8.onnx");
}
