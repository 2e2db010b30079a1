//! Points as the server holds them.

use std::collections::HashMap;

use prost::Message as _;
use qdrant_client::qdrant::{
    DenseVector, ListValue, NamedVectors, PointId, PointStruct, SparseVector, Value, Vector, Vectors,
    point_id::PointIdOptions, value::Kind, vector, vectors::VectorsOptions,
};
use qdrant_edge::bm25_embed::EdgeBm25;
use uuid::Uuid;
use vectrion_core::{
    Result,
    ids::{ChunkId, TenantId},
    ports::vectors::Point,
};

use super::failure;

/// Names of the vectors.
pub(super) const DENSE: &str = "dense";
pub(super) const SPARSE: &str = "sparse";

/// Names of the payload's fields.
pub(super) const TENANT: &str = "tenant_id";
pub(super) const DOCUMENT: &str = "document_id";
pub(super) const VERSION: &str = "version_id";
pub(super) const COLLECTION: &str = "collection_id";
pub(super) const CHUNK: &str = "chunk_id";
/// The distinct words of the text as the numbers that BM25 gives them; what document frequencies are counted from.
pub(super) const WORDS: &str = "words";

/// Bytes of a point's message besides those of the point itself.
const FRAME_BYTES: usize = 8;

/// A point for the server. Tenants share a collection and may have chunks of the same id, so the point has another one.
pub(super) fn record(tenant: TenantId, point: &Point, bm25: &EdgeBm25) -> PointStruct {
    let words = bm25.embed_document(&point.text);
    let texts = [
        (TENANT, tenant.0),
        (DOCUMENT, point.document.0),
        (VERSION, point.version_id.0),
        (COLLECTION, point.collection.0),
        (CHUNK, point.id.0),
    ];
    let mut payload: HashMap<String, Value> =
        texts.into_iter().map(|(name, id)| (name.to_owned(), value(Kind::StringValue(id.to_string())))).collect();
    let dense = vector::Vector::Dense(DenseVector { data: point.dense.clone() });
    let mut vectors = HashMap::from([(DENSE.to_owned(), named(dense))]);
    if !words.indices.is_empty() {
        let values = words.indices.iter().map(|word| value(Kind::IntegerValue(i64::from(*word)))).collect();
        payload.insert(WORDS.to_owned(), value(Kind::ListValue(ListValue { values })));
        let sparse = vector::Vector::Sparse(SparseVector { values: words.values, indices: words.indices });
        vectors.insert(SPARSE.to_owned(), named(sparse));
    }
    PointStruct {
        id: Some(point_id(Uuid::new_v5(&tenant.0, point.id.0.as_bytes()))),
        payload,
        vectors: Some(Vectors { vectors_options: Some(VectorsOptions::Vectors(NamedVectors { vectors })) }),
    }
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn named(vector: vector::Vector) -> Vector {
    Vector { vector: Some(vector), ..Vector::default() }
}

/// The id of a point on the server.
pub(super) fn point_id(id: Uuid) -> PointId {
    PointId { point_id_options: Some(PointIdOptions::Uuid(id.to_string())) }
}

/// The id of a point on the server as text.
pub(super) fn text_of(id: PointId) -> Result<String> {
    match id.point_id_options {
        Some(PointIdOptions::Uuid(id)) => Ok(id),
        _ => Err(failure::odd_answer("a point that we did not write")),
    }
}

/// Gathers records into batches that are bounded in number and in bytes. A record that is larger than that goes alone.
pub(super) struct Batches<I> {
    records: I,
    /// What did not fit into the batch before.
    left: Option<(PointStruct, usize)>,
    max_points: usize,
    max_bytes: usize,
}

impl<I: Iterator<Item = PointStruct>> Batches<I> {
    pub(super) fn new(records: I, max_points: usize, max_bytes: usize) -> Self {
        Self { records, left: None, max_points, max_bytes }
    }
}

impl<I: Iterator<Item = PointStruct>> Iterator for Batches<I> {
    type Item = Vec<PointStruct>;

    fn next(&mut self) -> Option<Vec<PointStruct>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < self.max_points {
            let next = self.left.take().or_else(|| {
                let record = self.records.next()?;
                let bytes = record.encoded_len() + FRAME_BYTES;
                Some((record, bytes))
            });
            let Some((record, more)) = next else { break };
            if !batch.is_empty() && bytes + more > self.max_bytes {
                self.left = Some((record, more));
                break;
            }
            bytes += more;
            batch.push(record);
        }
        (!batch.is_empty()).then_some(batch)
    }
}

/// A field of a point that we wrote.
pub(super) fn id_in(payload: &HashMap<String, Value>, name: &str) -> Result<Uuid> {
    match payload.get(name).and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => Uuid::try_parse(text).ok(),
        _ => None,
    }
    .ok_or_else(|| failure::odd_answer("a point that we did not write"))
}

/// The chunk of a point that we wrote.
pub(super) fn chunk_in(payload: &HashMap<String, Value>) -> Result<ChunkId> {
    id_in(payload, CHUNK).map(ChunkId)
}

#[cfg(test)]
mod tests {
    use vectrion_testkit::conformance::vectors::point;

    use super::*;
    use crate::vectors::bm25::Bm25Settings;

    fn records(texts: &[&str]) -> Vec<PointStruct> {
        let bm25 = Bm25Settings::default().embedder("bm25").unwrap();
        let tenant = TenantId(Uuid::from_u128(7));
        texts.iter().zip(1..).map(|(text, number)| record(tenant, &point(number, &[1.0], text), &bm25)).collect()
    }

    #[test]
    fn batches_are_bounded_in_number_and_in_bytes_and_lose_nothing() {
        let long = (0..500).map(|i| format!("word{i} ")).collect::<String>();
        let all = records(&["a b c", "reactor", &long, "valve", "pressure", "tank"]);
        let small = all[1].encoded_len();
        for (max_points, max_bytes, sizes) in [
            (4, usize::MAX, vec![4, 2]),
            (1, usize::MAX, vec![1; 6]),
            (100, 1, vec![1; 6]),
            (100, 2 * small + 100, vec![2, 1, 2, 1]),
        ] {
            let batches: Vec<_> = Batches::new(all.clone().into_iter(), max_points, max_bytes).collect();
            assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{max_points} {max_bytes}");
            assert_eq!(batches.concat(), all);
        }
        assert_eq!(Batches::new(std::iter::empty(), 4, 100).count(), 0);
    }

    #[test]
    fn tenants_with_chunks_of_the_same_id_have_points_of_their_own() {
        let bm25 = Bm25Settings::default().embedder("bm25").unwrap();
        let chunk = point(1, &[1.0], "the reactor, the reactor's valve");
        let [a, b] = [1, 2].map(|tenant| record(TenantId(Uuid::from_u128(tenant)), &chunk, &bm25));
        assert_ne!(a.id, b.id);
        assert_eq!(a.id, record(TenantId(Uuid::from_u128(1)), &chunk, &bm25).id, "the same again");
        assert_eq!(chunk_in(&a.payload).unwrap(), chunk.id);
        let Some(Kind::ListValue(words)) = a.payload[WORDS].kind.clone() else { panic!("no list") };
        assert_eq!(words.values.len(), 2, "each word once: {words:?}");
    }
}
