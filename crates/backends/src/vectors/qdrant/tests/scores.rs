//! Scores.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use vectrion_testkit::conformance::vectors::DIMENSION;

use super::*;

/// Points with texts of words that no stemmer changes, some common, most rare.
fn corpus(seed: u64, count: u128) -> Vec<Point> {
    let mut random = StdRng::seed_from_u64(seed);
    let points = (1..=count).map(|number| {
        let length = random.random_range(3..60);
        let words: Vec<String> = (0..length)
            .map(|_| format!("zq{}x", random.random_range(0..60usize).min(random.random_range(0..60))))
            .collect();
        let direction: Vec<f32> = (0..DIMENSION).map(|_| random.random_range(-1.0..1.0)).collect();
        point(number, &direction, &words.join(" "))
    });
    points.collect()
}

const QUERIES: [&str; 4] = ["zq3x zq17x zq41x", "zq0x", "zq59x zq58x zq57x zq56x", "zq1x zq2x zq3x nowhere zq4x"];

async fn sparse(index: &impl VectorIndex, scope: &VectorScope, words: &str) -> Vec<Hit> {
    index.search(scope, &VectorQuery::Sparse(words.to_owned()), &VectorFilter::default(), 300).await.unwrap()
}

#[cfg(feature = "edge")]
#[tokio::test(flavor = "multi_thread")]
async fn the_scores_are_those_of_the_engine_in_the_process() {
    use crate::vectors::edge::{EdgeIndex, EdgeSettings};

    let server = TestServer::shared().await;
    let dir = tempfile::tempdir().unwrap();
    let settings = EdgeSettings { min_free_bytes: 1 << 20, ..EdgeSettings::default() };
    let (engine, index) = (EdgeIndex::open(dir.path(), &settings).unwrap(), server.index());
    let scope = scope();
    let others = VectorScope { tenant: TenantId::new(), ..scope.clone() };
    index.upsert(&others, corpus(3, 100)).await.unwrap();
    let points = corpus(7, 300);
    engine.upsert(&scope, points.clone()).await.unwrap();
    index.upsert(&scope, points.clone()).await.unwrap();
    for words in QUERIES {
        let (expected, found) = (sparse(&engine, &scope, words).await, sparse(&index, &scope, words).await);
        assert_eq!(found.len(), expected.len(), "{words}");
        assert!(!found.is_empty());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found.score - expected.score).abs() < 1e-5 * expected.score, "{found:?}, expected {expected:?}");
        }
    }
    for point in &points[..20] {
        let query = VectorQuery::Dense(point.dense.clone());
        let filter = VectorFilter::default();
        let expected = engine.search(&scope, &query, &filter, 10).await.unwrap();
        let found = index.search(&scope, &query, &filter, 10).await.unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.id, expected.id);
            assert!((found.score - expected.score).abs() < 1e-5, "{found:?}, expected {expected:?}");
        }
    }
    server.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_documents_change_no_score_and_no_rank() {
    let server = TestServer::shared().await;
    let (index, scope) = (server.index(), scope());
    // Nothing is remembered: every search counts anew.
    let settings = QdrantSettings { frequencies_ttl_ms: 0, ..QdrantSettings::default() };
    let fresh = server.index_beside_with(&index, settings);
    index.upsert(&scope, corpus(7, 200)).await.unwrap();
    let all = async |index: &QdrantIndex| {
        let mut found = Vec::new();
        for words in QUERIES {
            found.push(sparse(index, &scope, words).await);
        }
        found
    };
    let before = all(&fresh).await;
    let others = VectorScope { tenant: TenantId::new(), ..scope.clone() };
    // Texts that would make the rarest word of the first tenant the most common one.
    let theirs: Vec<Point> = (1..=400).map(|number| point(number, &[1.0], "zq59x zq41x zq41x zq3x")).collect();
    index.upsert(&others, theirs).await.unwrap();
    assert_eq!(all(&fresh).await, before);
    assert_eq!(all(&index).await, before);
    index.drop_tenant(others.tenant).await.unwrap();
    assert_eq!(all(&fresh).await, before);
    server.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_documents_count_at_once() {
    let server = TestServer::shared().await;
    let (index, scope) = (server.index(), scope());
    let own = points_of(DocumentId::new(), VersionId::new(), 1, 5);
    index.upsert(&scope, own.clone()).await.unwrap();
    let before = sparse(&index, &scope, "w3").await;
    let more: Vec<Point> = (10..30).map(|number| point(number, &[1.0], "something else")).collect();
    let document = more[0].document;
    index.upsert(&scope, more).await.unwrap();
    let rarer = sparse(&index, &scope, "w3").await;
    assert!(rarer[0].score > before[0].score, "{rarer:?} {before:?}");
    index.delete_document(&scope, document).await.unwrap();
    assert!(sparse(&index, &scope, "w3").await[0].score < rarer[0].score);
    server.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_very_many_words_is_cut() {
    let server = TestServer::shared().await;
    let settings = QdrantSettings { max_query_words: 40, concurrent_counts: 3, ..QdrantSettings::default() };
    let (index, scope) = (server.index_with(settings), scope());
    index.upsert(&scope, points_of(DocumentId::new(), VersionId::new(), 1, 100)).await.unwrap();
    let words: String = (1..=100).map(|number| format!("w{number} ")).collect();
    assert_eq!(sparse(&index, &scope, &words).await.len(), 40, "each point has a word of its own");
    server.clean().await;
}
