//! The vector of a question, computed or remembered.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use vectrion_core::{Result, ids::TenantId, ports::cache::CacheKey};

use crate::Ports;

/// How long a question's vector is remembered. It never becomes wrong: the key names the model.
const KEPT: Duration = Duration::from_secs(3600);

/// The vector of a question of this tenant, for a caller who waits until `by` at the most.
pub(super) async fn of_question(
    ports: &Ports,
    tenant: TenantId,
    question: &str,
    by: Option<Instant>,
) -> Result<Vec<f32>> {
    // What is embedded is what the key is made of, so that nothing depends on what is remembered.
    let question = normalised(question);
    let embedder = &ports.embedder;
    let hash: [u8; 32] = Sha256::digest(question.as_bytes()).into();
    let key = CacheKey::query_embedding(tenant, embedder.query_model(), &hash);
    if let Some(cached) = ports.cache.get(&key).await
        && let Some(vector) = decode(&cached.value, embedder.dimension())
    {
        return Ok(vector);
    }
    let vector = embedder.embed_query_by(&question, by).await?;
    ports.cache.set(&key, encode(&vector), KEPT).await;
    Ok(vector)
}

/// The question with single spaces and none at its ends.
fn normalised(question: &str) -> String {
    question.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The components in order, four bytes each, the lowest first.
fn encode(vector: &[f32]) -> Bytes {
    vector.iter().flat_map(|component| component.to_le_bytes()).collect()
}

/// The vector; none if the bytes are not one of this length.
fn decode(bytes: &[u8], dimension: usize) -> Option<Vec<f32>> {
    let (components, rest) = bytes.as_chunks::<4>();
    if components.len() != dimension || !rest.is_empty() {
        return None;
    }
    let vector: Vec<f32> = components.iter().copied().map(f32::from_le_bytes).collect();
    vector.iter().all(|component| component.is_finite()).then_some(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_survives_its_encoding_bit_by_bit() {
        let vector = vec![0.0, -0.0, 1.5, f32::MIN_POSITIVE, -3.402_823_5e38];
        let decoded = decode(&encode(&vector), 5).expect("a vector");
        assert!(vector.iter().zip(&decoded).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn bytes_that_are_no_vector_are_not_taken_for_one() {
        let bytes = encode(&[1.0, 2.0]);
        assert!(decode(&bytes, 2).is_some());
        assert!(decode(&bytes, 3).is_none() && decode(&bytes[..7], 2).is_none() && decode(&[], 2).is_none());
        assert!(decode(&encode(&[1.0, f32::NAN]), 2).is_none());
    }

    #[test]
    fn spaces_make_no_difference() {
        assert_eq!(normalised("  How\tlong \n does it last? "), "How long does it last?");
        assert_ne!(normalised("how long"), normalised("How long"));
    }
}
