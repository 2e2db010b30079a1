//! Vectors out of a response.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::Value;

use super::{Break, Failure, UpstreamError};

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    data: Vec<Embedding>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Embedding {
    index: Option<usize>,
    #[serde(rename = "embedding")]
    numbers: Numbers,
}

/// Floats as a list, or little-endian in base64; servers send the one although asked for the other.
struct Numbers(Vec<f32>);

/// The vectors of a response to `count` inputs, in the order of the inputs, of unit length. Without `dimension` any
/// length will do, as long as all have the same.
pub(super) fn vectors(body: &[u8], count: usize, dimension: Option<usize>) -> Result<Vec<Vec<f32>>, Failure> {
    let response: Response =
        serde_json::from_slice(body).map_err(|error| Failure::Broken(Break::NotJson(error.classify())))?;
    if let Some(error) = response.error {
        let upstream = UpstreamError::from_value(&error);
        return Err(match upstream.as_status() {
            Some(status) => Failure::from_status(status, upstream, None),
            None => Failure::Broken(Break::ErrorObject(upstream)),
        });
    }
    if response.data.len() != count {
        return Err(broken("the response has another number of vectors than the request has inputs"));
    }
    let indexed = response.data.iter().any(|embedding| embedding.index.is_some());
    let mut ordered: Vec<Option<Vec<f32>>> = vec![None; count];
    let mut expected = dimension;
    for (position, Embedding { index, numbers: Numbers(mut vector) }) in response.data.into_iter().enumerate() {
        let expected = *expected.get_or_insert(vector.len());
        if vector.len() != expected {
            return Err(Failure::Dimension { expected, actual: vector.len() });
        }
        normalise(&mut vector)?;
        let slot = if indexed { index.and_then(|index| ordered.get_mut(index)) } else { ordered.get_mut(position) };
        match slot {
            Some(slot) if slot.is_none() => *slot = Some(vector),
            Some(_) | None => return Err(broken("the indexes of the vectors are not those of the inputs")),
        }
    }
    // As many vectors as slots, and none twice: every slot is taken.
    Ok(ordered.into_iter().flatten().collect())
}

/// Makes the length 1.
pub(super) fn normalise(vector: &mut [f32]) -> Result<(), Failure> {
    let squares: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    if !squares.is_normal() {
        return Err(broken("a vector is zero or not finite"));
    }
    let scale = squares.sqrt().recip();
    vector.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
    Ok(())
}

fn broken(what: &'static str) -> Failure {
    Failure::Broken(Break::Vectors(what))
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumbersVisitor)
    }
}

/// Reads either form without an intermediate value, for a response holds a hundred thousand floats.
struct NumbersVisitor;

impl<'de> Visitor<'de> for NumbersVisitor {
    type Value = Numbers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of floats or base64")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Numbers, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element()? {
            numbers.push(number);
        }
        Ok(Numbers(numbers))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Numbers, E> {
        let bytes = STANDARD.decode(text).map_err(|_| E::custom("not base64"))?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(E::custom("not a list of four-byte floats"));
        }
        Ok(Numbers(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(data: Value, count: usize, dimension: Option<usize>) -> Result<Vec<Vec<f32>>, Failure> {
        vectors(json!({ "data": data }).to_string().as_bytes(), count, dimension)
    }

    #[test]
    fn vectors_come_in_the_order_of_the_inputs_and_of_unit_length() {
        let data = json!([{ "index": 1, "embedding": [0.0, 2.0] }, { "index": 0, "embedding": [3.0, 4.0] }]);
        assert_eq!(read(data, 2, Some(2)).unwrap(), [vec![0.6, 0.8], vec![0.0, 1.0]]);
        let base64 = STANDARD.encode([0.0_f32, -5.0].map(f32::to_le_bytes).concat());
        assert_eq!(read(json!([{ "embedding": base64 }]), 1, None).unwrap(), [vec![0.0, -1.0]]);
        let huge = read(json!([{ "index": 0, "embedding": [0.0, 4e30] }]), 1, Some(2)).unwrap();
        assert_eq!(huge, [vec![0.0, 1.0]], "although its square is no f32");
    }

    #[test]
    fn what_does_not_fit_is_an_error_of_its_own() {
        let one = |embedding: Value| read(json!([{ "index": 0, "embedding": embedding }]), 1, Some(2));
        assert!(matches!(one(json!([1.0])), Err(Failure::Dimension { expected: 2, actual: 1 })));
        for wrong in [json!([0.0, 0.0]), json!([1e39, 0.0]), json!("AAAA"), json!("?"), json!([null, 1.0]), json!({})] {
            assert!(matches!(one(wrong.clone()), Err(Failure::Broken(_))), "{wrong}");
        }
        let two = |a: usize, b: usize| {
            read(json!([{ "index": a, "embedding": [1.0] }, { "index": b, "embedding": [1.0] }]), 2, Some(1))
        };
        assert!(two(0, 1).is_ok());
        assert!(matches!(two(0, 0), Err(Failure::Broken(Break::Vectors(_)))));
        assert!(matches!(two(0, 2), Err(Failure::Broken(Break::Vectors(_)))));
        assert!(matches!(read(json!([]), 1, None), Err(Failure::Broken(Break::Vectors(_)))));
        let uneven = json!([{ "index": 0, "embedding": [1.0] }, { "index": 1, "embedding": [1.0, 1.0] }]);
        assert!(matches!(read(uneven, 2, None), Err(Failure::Dimension { .. })));
    }

    #[test]
    fn an_error_in_place_of_vectors_has_its_status() {
        let limited = vectors(br#"{"error":{"code":"rate_limit_exceeded"}}"#, 1, None);
        assert!(matches!(limited, Err(Failure::RateLimited { .. })));
        assert!(matches!(vectors(br#"{"error":"x"}"#, 1, None), Err(Failure::Broken(Break::ErrorObject(_)))));
        assert!(matches!(vectors(b"<html>", 1, None), Err(Failure::Broken(Break::NotJson(_)))));
    }
}
