//! Scores against their definitions.

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use vectrion_testkit::conformance::vectors::DIMENSION;

use super::*;
use crate::vectors::Bm25Settings;

/// BM25 as Robertson and Zaragoza write it (2009, eq. 3.15), with the logarithm that is never negative.
fn bm25(query: &[&str], texts: &[Vec<&str>], settings: &Bm25Settings) -> Vec<f64> {
    let total = texts.len() as f64;
    let score = |text: &Vec<&str>| {
        query
            .iter()
            .map(|word| {
                let containing = texts.iter().filter(|text| text.contains(word)).count() as f64;
                let idf = (1.0 + (total - containing + 0.5) / (containing + 0.5)).ln();
                let frequency = text.iter().filter(|other| *other == word).count() as f64;
                let length = 1.0 - settings.b + settings.b * text.len() as f64 / settings.average_length;
                idf * frequency * (settings.k1 + 1.0) / (frequency + settings.k1 * length)
            })
            .sum()
    };
    texts.iter().map(score).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sparse_scores_are_those_of_the_formula_before_and_after_optimising() {
    let dir = tempfile::tempdir().unwrap();
    let scope = scope();
    let index = open(dir.path());
    let mut random = StdRng::seed_from_u64(7);
    // Words that no stemmer changes.
    let words: Vec<String> = (0..60).map(|i| format!("zq{i}x")).collect();
    let texts: Vec<Vec<&str>> = (0..500)
        .map(|_| {
            let length = random.random_range(3..60);
            (0..length)
                .map(|_| words[random.random_range(0..60usize).min(random.random_range(0..60))].as_str())
                .collect()
        })
        .collect();
    let points: Vec<Point> = texts.iter().zip(0..).map(|(text, i)| point(i, &[1.0], &text.join(" "))).collect();
    index.upsert(&scope, points).await.unwrap();
    let query = [words[3].as_str(), words[17].as_str(), words[41].as_str()];
    let expected = bm25(&query, &texts, &small().bm25);
    for optimized in [false, true] {
        if optimized {
            index.flush(&scope).await.unwrap();
            until_indexed(&index, &scope).await;
        }
        let sparse = VectorQuery::Sparse(query.join(" "));
        let hits = index.search(&scope, &sparse, &VectorFilter::default(), 500).await.unwrap();
        assert_eq!(hits.len(), expected.iter().filter(|score| **score > 0.0).count());
        for hit in hits {
            let wanted = expected[usize::try_from(hit.id.0.as_u128()).unwrap()];
            assert!((f64::from(hit.score) - wanted).abs() < 1e-3 * wanted, "{hit:?}, expected {wanted}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_finds_what_comparing_every_vector_finds() {
    let dir = tempfile::tempdir().unwrap();
    let scope = scope();
    let index = open(dir.path());
    let mut random = StdRng::seed_from_u64(11);
    let mut direction = || -> Vec<f32> { (0..DIMENSION).map(|_| random.random_range(-1.0..1.0)).collect() };
    let vectors: Vec<Vec<f32>> = (0..1500).map(|_| unit(&direction())).collect();
    let points = vectors.iter().zip(0..).map(|(vector, i)| point(i, vector, "x")).collect();
    index.upsert(&scope, points).await.unwrap();
    index.flush(&scope).await.unwrap();
    until_indexed(&index, &scope).await;
    let mut found = 0;
    for _ in 0..50 {
        let query = unit(&direction());
        let cosine = |vector: &Vec<f32>| vector.iter().zip(&query).map(|(a, b)| a * b).sum::<f32>();
        let mut exact: Vec<(usize, f32)> = vectors.iter().map(cosine).enumerate().collect();
        exact.sort_by(|a, b| b.1.total_cmp(&a.1));
        let hits = index.search(&scope, &VectorQuery::Dense(query), &VectorFilter::default(), 10).await.unwrap();
        for hit in &hits {
            let number = usize::try_from(hit.id.0.as_u128()).unwrap();
            found += usize::from(exact[..10].iter().any(|(best, _)| *best == number));
        }
    }
    assert!(found >= 490, "{found} of 500");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_finds_the_best_within_it_beside_a_graph() {
    let dir = tempfile::tempdir().unwrap();
    let scope = scope();
    let index = open(dir.path());
    let mut random = StdRng::seed_from_u64(13);
    let collections: Vec<CollectionId> = (0..20).map(|_| CollectionId::new()).collect();
    let points: Vec<Point> = (0..2000u128)
        .map(|i| {
            let direction: Vec<f32> = (0..DIMENSION).map(|_| random.random_range(-1.0..1.0)).collect();
            Point { collection: collections[random.next_u32() as usize % 20], ..point(i, &direction, "x") }
        })
        .collect();
    index.upsert(&scope, points.clone()).await.unwrap();
    index.flush(&scope).await.unwrap();
    until_indexed(&index, &scope).await;
    for collection in collections {
        let query = points[5].dense.clone();
        let mut exact: Vec<(f32, u128)> = points
            .iter()
            .filter(|point| point.collection == collection)
            .map(|point| (point.dense.iter().zip(&query).map(|(a, b)| a * b).sum(), point.id.0.as_u128()))
            .collect();
        exact.sort_by(|a, b| b.0.total_cmp(&a.0));
        let filter = VectorFilter { collections: vec![collection], documents: vec![] };
        let hits = index.search(&scope, &VectorQuery::Dense(query), &filter, 5).await.unwrap();
        let found: Vec<u128> = hits.iter().map(|hit| hit.id.0.as_u128()).collect();
        assert_eq!(found, exact[..5].iter().map(|(_, id)| *id).collect::<Vec<_>>());
    }
}
