//! Conformance of [`Embedder`].

use futures::future::join_all;
use vectrion_core::ports::{Embedder, models::EmbedInput};

const TEXTS: [&str; 6] = [
    "The pump is started after the pressure was checked.",
    "x",
    "Der Vertrag verlängert sich um ein Jahr.",
    "A bakery in the old town sells bread with walnuts, bread with olives, and on Fridays a cake.",
    "启动水泵之前",
    "Revenue rose by 14 % to $24.2 billion.",
];

/// Checks an adapter that computes real vectors.
///
/// # Panics
/// When the adapter breaks the contract.
pub async fn suite(embedder: &impl Embedder) {
    each_text_gets_its_vector_in_order(embedder).await;
    ways_in_lead_to_the_same_vector(embedder).await;
    nothing_in_gives_nothing(embedder).await;
    a_long_question_is_embedded(embedder).await;
    calls_at_once_do_not_disturb_each_other(embedder).await;
    a_dropped_call_leaves_the_next_alone(embedder).await;
    assert!(!embedder.model().is_empty() && embedder.batch_size() > 0);
    embedder.check().await.expect("it can be used");
}

fn passage(text: &str) -> EmbedInput {
    EmbedInput { text: text.to_owned(), token_ids: Vec::new() }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn assert_same(a: &[f32], b: &[f32], what: &str) {
    let cosine = cosine(a, b);
    assert!(cosine > 0.9999, "{what}: cosine {cosine}");
}

async fn one(embedder: &impl Embedder, text: &str) -> Vec<f32> {
    let mut vectors = embedder.embed(vec![passage(text)]).await.expect("a passage is embedded");
    assert_eq!(vectors.len(), 1);
    vectors.remove(0)
}

async fn each_text_gets_its_vector_in_order(embedder: &impl Embedder) {
    // More than a batch, each text several times.
    let count = embedder.batch_size() + TEXTS.len() + 1;
    let texts: Vec<&str> = TEXTS.into_iter().cycle().take(count).collect();
    let vectors =
        embedder.embed(texts.iter().map(|text| passage(text)).collect()).await.expect("passages are embedded");
    assert_eq!(vectors.len(), texts.len());
    for (text, vector) in texts.iter().zip(&vectors) {
        assert_eq!(vector.len(), embedder.dimension());
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() < 1e-3, "{text}: length {length}");
        let index = TEXTS.iter().position(|known| known == text).expect("one of them");
        assert_same(vector, &vectors[index], text);
    }
    for a in 0..TEXTS.len() {
        for b in 0..a {
            assert!(cosine(&vectors[a], &vectors[b]) < 0.99, "{} and {} have one vector", TEXTS[a], TEXTS[b]);
        }
    }
}

async fn ways_in_lead_to_the_same_vector(embedder: &impl Embedder) {
    let texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    let together = embedder.embed_texts(&texts).await.expect("texts are embedded");
    assert_eq!(together.len(), texts.len());
    for (text, vector) in TEXTS.iter().zip(&together) {
        assert_same(vector, &one(embedder, text).await, text);
        assert_same(vector, &embedder.embed_query(text).await.expect("a question is embedded"), text);
    }
}

async fn nothing_in_gives_nothing(embedder: &impl Embedder) {
    assert!(embedder.embed(Vec::new()).await.expect("no passages are no error").is_empty());
    assert!(embedder.embed_texts(&[]).await.expect("no texts are no error").is_empty());
}

async fn a_long_question_is_embedded(embedder: &impl Embedder) {
    let question = TEXTS.join(" ").repeat(30);
    let vector = embedder.embed_query(&question).await.expect("a long question is embedded");
    assert_eq!(vector.len(), embedder.dimension());
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    assert!((length - 1.0).abs() < 1e-3, "length {length}");
}

async fn calls_at_once_do_not_disturb_each_other(embedder: &impl Embedder) {
    let vectors = join_all(TEXTS.iter().cycle().take(24).map(|text| one(embedder, text))).await;
    for (index, vector) in vectors.iter().enumerate() {
        assert_same(vector, &vectors[index % TEXTS.len()], TEXTS[index % TEXTS.len()]);
    }
}

async fn a_dropped_call_leaves_the_next_alone(embedder: &impl Embedder) {
    let before = one(embedder, TEXTS[0]).await;
    let mut call = Box::pin(embedder.embed(TEXTS.map(passage).to_vec()));
    // Begun, and given up.
    let _ = futures::poll!(&mut call);
    drop(call);
    assert_same(&one(embedder, TEXTS[0]).await, &before, "after a dropped call");
}
