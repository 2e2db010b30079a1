//! An embedding server without a model.

use std::io::Write as _;

use anyhow::Context as _;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::Response,
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The largest request that is taken.
const MAX_BODY_BYTES: usize = 64 << 20;

#[derive(Args)]
pub(crate) struct StubArguments {
    /// Length of the vectors.
    #[arg(long, default_value_t = 384)]
    dimension: usize,
}

#[derive(Deserialize)]
struct Request {
    model: Value,
    input: Input,
    #[serde(default)]
    encoding_format: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

/// Prints the URL up to and with `/v1`, and serves until it is killed.
pub(crate) async fn run(arguments: StubArguments) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no loopback port is free")?;
    println!("http://{}/v1", listener.local_addr()?);
    std::io::stdout().flush()?;
    let app = Router::new()
        .route("/v1/embeddings", post(embed))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(arguments.dimension);
    Ok(axum::serve(listener, app).await?)
}

async fn embed(State(dimension): State<usize>, body: Bytes) -> Response {
    let (status, answer) = match serde_json::from_slice::<Request>(&body) {
        Ok(request) => (StatusCode::OK, answer(request, dimension)),
        Err(error) => (StatusCode::BAD_REQUEST, json!({ "error": { "message": error.to_string() } })),
    };
    let mut response = Response::new(Body::from(answer.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("application/json"));
    response
}

fn answer(request: Request, dimension: usize) -> Value {
    let texts = match request.input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    let words: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = vector(text, dimension);
            let embedding = match request.encoding_format.as_str() {
                "base64" => {
                    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                    Value::String(STANDARD.encode(bytes))
                }
                _ => json!(vector),
            };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    json!({
        "object": "list", "model": request.model, "data": data,
        "usage": { "prompt_tokens": words, "total_tokens": words },
    })
}

/// The sum of a random direction for each word, made unit length: equal texts have equal vectors, and texts that share
/// words are nearer to each other than others, so that an index built of them is searched as a real one is.
fn vector(text: &str, dimension: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; dimension];
    add_direction(&mut sum, 0);
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
        });
        add_direction(&mut sum, hash);
    }
    let length = sum.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length > 0.0 {
        sum.iter_mut().for_each(|number| *number /= length);
    }
    sum
}

/// Adds +1 or −1 to each number, by the bits of a generator (xorshift64*) seeded with the word.
fn add_direction(sum: &mut [f32], seed: u64) {
    let mut state = seed | 1;
    for numbers in sum.chunks_mut(64) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let mut bits = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        for number in numbers {
            *number += if bits & 1 == 1 { 1.0 } else { -1.0 };
            bits >>= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &str, b: &str) -> f32 {
        vector(a, 384).iter().zip(vector(b, 384)).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn texts_that_share_words_are_nearer() {
        let text = "the quick brown fox jumps over the lazy dog";
        assert!((cosine(text, text) - 1.0).abs() < 1e-5);
        let near = cosine(text, "a quick brown fox");
        let far = cosine(text, "quarterly earnings of nine companies");
        assert!(near > far + 0.2, "near {near}, far {far}");
        assert!((cosine("", "") - 1.0).abs() < 1e-5);
    }

    #[test]
    fn vectors_travel_as_numbers_and_in_base64() {
        let ask = |format: &str| {
            let request = json!({ "model": "m", "input": ["a", "b"], "encoding_format": format });
            answer(serde_json::from_value(request).expect("a request"), 4)
        };
        let numbers = ask("float");
        assert_eq!(numbers["data"][1]["embedding"].as_array().map(Vec::len), Some(4));
        assert_eq!(numbers["data"][1]["index"], 1);
        let encoded = ask("base64");
        let bytes = STANDARD.decode(encoded["data"][0]["embedding"].as_str().expect("a text")).expect("base64");
        let first = f32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
        assert_eq!(f64::from(first), numbers["data"][0]["embedding"][0].as_f64().expect("a number"));
    }
}
