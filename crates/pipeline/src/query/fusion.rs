//! Fusing ranked lists.

use std::collections::HashMap;

use vectrion_core::{ids::ChunkId, ports::vectors::Hit};

/// Constant of reciprocal rank fusion; 60 as in the original (Cormack, Clarke and Büttcher, SIGIR 2009).
const RANK_CONSTANT: f32 = 60.0;

/// A chunk with its scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scored {
    pub(super) id: ChunkId,
    pub(super) score: f32,
    pub(super) dense: Option<f32>,
    pub(super) sparse: Option<f32>,
}

/// Ranks by the sum over both lists of 1 / (60 + rank), ranks counted from 1; best first. Ties, such as the best of one
/// list and the best of the other, go to the higher cosine, then to the higher BM25 sum, and only then by id: the same
/// documents, uploaded again under other ids, are found in the same order.
pub(super) fn reciprocal_rank(dense: &[Hit], sparse: &[Hit]) -> Vec<Scored> {
    let mut fused: HashMap<ChunkId, Scored> = HashMap::with_capacity(dense.len() + sparse.len());
    let mut add = |hits: &[Hit], set: fn(&mut Scored, f32)| {
        for (position, hit) in hits.iter().enumerate() {
            let entry = fused.entry(hit.id).or_insert(Scored { id: hit.id, score: 0.0, dense: None, sparse: None });
            #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
            let rank = (position + 1) as f32;
            entry.score += 1.0 / (RANK_CONSTANT + rank);
            set(entry, hit.score);
        }
    };
    add(dense, |entry, score| entry.dense = Some(score));
    add(sparse, |entry, score| entry.sparse = Some(score));
    sorted(fused.into_values().collect())
}

/// One list alone, by its own scores.
pub(super) fn single(hits: &[Hit], dense: bool) -> Vec<Scored> {
    let scored = hits.iter().map(|hit| Scored {
        id: hit.id,
        score: hit.score,
        dense: dense.then_some(hit.score),
        sparse: (!dense).then_some(hit.score),
    });
    sorted(scored.collect())
}

fn sorted(mut scored: Vec<Scored>) -> Vec<Scored> {
    let order = |a: Option<f32>, b: Option<f32>| b.unwrap_or(f32::MIN).total_cmp(&a.unwrap_or(f32::MIN));
    scored.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| order(a.dense, b.dense))
            .then_with(|| order(a.sparse, b.sparse))
            .then_with(|| a.id.cmp(&b.id))
    });
    scored
}

#[cfg(test)]
mod tests {
    use vectrion_core::ids::{DocumentId, VersionId};

    use super::*;

    fn hits(ids: &[ChunkId]) -> Vec<Hit> {
        let (document, version_id) = (DocumentId::new(), VersionId::new());
        ids.iter().map(|id| Hit { id: *id, document, version_id, score: 0.5 }).collect()
    }

    #[test]
    fn what_both_lists_find_comes_first() {
        let [a, b, c] = [ChunkId::new(), ChunkId::new(), ChunkId::new()];
        let fused = reciprocal_rank(&hits(&[a, b]), &hits(&[c, b]));
        assert_eq!(fused[0].id, b);
        assert!((fused[0].score - 2.0 / 62.0).abs() < 1e-6);
        assert!(fused[0].dense.is_some() && fused[0].sparse.is_some());
        assert_eq!(
            fused[1].id, a,
            "of two that one list alone has in the same place, the one near in meaning comes first"
        );
        assert_eq!(fused[2].id, c);
        let [x, y] = [ChunkId::new(), ChunkId::new()];
        let alike = single(&hits(&[x, y]), true);
        assert!(alike[0].id < alike[1].id, "what is alike in all is in the order of the ids");
    }
}
