//! The index against a server: the one of `VECTRION_TEST_QDRANT_URL`, or else a stand-in, which the output says.

mod creation;
mod faults;
mod scores;
mod server;
mod tls;

use std::time::Duration;

use vectrion_core::{
    ErrorKind,
    ids::{CollectionId, DocumentId, VersionId},
};
use vectrion_testkit::conformance::vectors::{self as conformance, point, scope, unit};

use self::server::TestServer;
use super::*;

/// Points of one version, ids from `first` on, in directions that differ.
fn points_of(document: DocumentId, version: VersionId, first: u128, count: u128) -> Vec<Point> {
    (first..first + count)
        .map(|number| Point {
            id: ChunkId(Uuid::from_u128(number)),
            document,
            version_id: version,
            collection: CollectionId(Uuid::from_u128(1)),
            dense: unit(&[1.0, (number % 101) as f32, (number % 37) as f32, (number % 11) as f32]),
            text: format!("chunk number w{number} of many"),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let server = TestServer::shared().await;
    conformance::suite(async || server.index()).await;
    server.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_more_than_a_batch_or_a_page_is_whole() {
    let server = TestServer::shared().await;
    let settings = QdrantSettings { batch_points: 400, batch_bytes: 100_000, ..QdrantSettings::default() };
    let (index, scope) = (server.index_with(settings), scope());
    let (document, version) = (DocumentId::new(), VersionId::new());
    let count = u128::from(PAGE) + 300;
    index.upsert(&scope, points_of(document, version, 1, count)).await.unwrap();
    assert_eq!(index.count(&scope, &[version]).await.unwrap(), [count as u64]);
    let mut ids: Vec<u128> = index.point_ids(&scope, document).await.unwrap().iter().map(|id| id.0.as_u128()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=count).collect::<Vec<_>>());
    server.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn installations_with_prefixes_of_their_own_share_a_server() {
    let server = TestServer::shared().await;
    let (ours, theirs, scope) = (server.index(), server.index(), scope());
    for index in [&ours, &theirs] {
        index.upsert(&scope, vec![point(1, &[1.0], "word")]).await.unwrap();
    }
    ours.drop_tenant(scope.tenant).await.unwrap();
    let query = VectorQuery::Sparse("word".to_owned());
    for (index, found) in [(&ours, 0), (&theirs, 1)] {
        let hits = index.search(&scope, &query, &VectorFilter::default(), 10).await.unwrap();
        assert_eq!(hits.len(), found);
    }
    server.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_wrote_is_found_at_once() {
    let server = TestServer::shared().await;
    let (writer, scope) = (server.index(), scope());
    let reader = server.index_beside(&writer);
    let query = VectorQuery::Sparse("reactor valve".to_owned());
    let found = async || {
        let hits = reader.search(&scope, &query, &VectorFilter::default(), 10).await.unwrap();
        hits.iter().map(|hit| hit.id.0.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(found().await, [0; 0]);
    writer.upsert(&scope, vec![point(1, &[1.0], "the valve")]).await.unwrap();
    assert_eq!(found().await, [1]);
    // The reader remembers how many texts there are and how many have the valve, but not that none has the reactor.
    writer.upsert(&scope, vec![point(2, &[1.0], "the reactor")]).await.unwrap();
    let mut both = found().await;
    both.sort_unstable();
    assert_eq!(both, [1, 2]);
    server.clean().await;
}
