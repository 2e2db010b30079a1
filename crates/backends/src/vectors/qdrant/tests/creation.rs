//! Making collections.

use std::env;

use qdrant_client::qdrant::{DeleteCollection, ListCollectionAliasesRequest};

use super::*;
use crate::test_process::{self, Child};

/// Where the children find the server.
const SERVER: &str = "VECTRION_TEST_CHILD_SERVER";
/// What tells the children apart, and their number.
const NUMBER: &str = "VECTRION_TEST_CHILD_NUMBER";
const CHILDREN: u128 = 4;

const CHILD: &str = "vectors::qdrant::tests::creation::a_child_that_writes_first";

fn shared_scope(generation: &str) -> VectorScope {
    VectorScope { generation: conformance::generation(generation), tenant: TenantId(Uuid::from_u128(5)) }
}

fn shared_version() -> VersionId {
    VersionId(Uuid::from_u128(6))
}

/// The child: waits until all are there, then writes to collections that nobody made.
#[test]
fn a_child_that_writes_first() {
    let Some(directory) = test_process::directory() else { return };
    let number: u128 = env::var(NUMBER).unwrap().parse().unwrap();
    std::fs::write(directory.join(number.to_string()), "").unwrap();
    while std::fs::read_dir(&directory).unwrap().count() < CHILDREN as usize {
        std::thread::sleep(Duration::from_millis(1));
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let url = env::var(SERVER).unwrap();
        let key = env::var("VECTRION_TEST_QDRANT_API_KEY").unwrap_or_default();
        let index = QdrantIndex::open(&url, &key.into(), &QdrantSettings::default()).unwrap();
        for round in 0..3 {
            let points = points_of(DocumentId::new(), shared_version(), number * 100, 5);
            index.upsert(&shared_scope(&format!("model {round}")), points).await.unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_write_first_at_once_make_one_collection() {
    let server = TestServer::shared().await;
    let dir = tempfile::tempdir().unwrap();
    let index = server.index();
    let url = server.url_with(&index.settings.prefix);
    let children: Vec<Child> = (0..CHILDREN)
        .map(|number| Child::start(CHILD, dir.path(), &[(SERVER, url.clone()), (NUMBER, number.to_string())]))
        .collect();
    children.into_iter().for_each(Child::succeeds);
    for round in 0..3 {
        let counted = index.count(&shared_scope(&format!("model {round}")), &[shared_version()]).await.unwrap();
        assert_eq!(counted, [5 * CHILDREN as u64], "round {round}");
    }
    assert_eq!(server.collections_of(&index).await.len(), 3);
    server.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_is_used_by_its_alias_and_no_read_makes_one() {
    let server = TestServer::shared().await;
    let (index, scope) = (server.index(), scope());
    let query = VectorQuery::Dense(unit(&[1.0]));
    index.search(&scope, &query, &VectorFilter::default(), 3).await.unwrap();
    index.count(&scope, &[VersionId::new()]).await.unwrap();
    index.delete_document(&scope, DocumentId::new()).await.unwrap();
    assert_eq!(server.collections_of(&index).await, [""; 0]);

    index.upsert(&scope, vec![point(1, &[1.0], "word")]).await.unwrap();
    let alias = index.collections.alias(&scope.generation);
    let [collection] = &server.collections_of(&index).await[..] else { panic!("not one") };
    assert_eq!(*collection, format!("{alias}-1"));
    let list = ListCollectionAliasesRequest { collection_name: collection.clone() };
    if let Ok(listed) = index.connection.collections().list_collection_aliases(list).await {
        let aliases: Vec<String> = listed.into_inner().aliases.into_iter().map(|found| found.alias_name).collect();
        assert_eq!(aliases, [alias]);
    }
    server.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_half_made_is_finished_and_what_was_removed_is_made_again() {
    let server = TestServer::shared().await;
    let (index, scope, version) = (server.index(), scope(), VersionId::new());
    let name = format!("{}-1", index.collections.alias(&scope.generation));
    // As after a death before the first payload index.
    let half_made = index.collections.description(&name, &scope.generation);
    index.connection.collections().create(half_made).await.unwrap();
    assert_eq!(index.count(&scope, &[version]).await.unwrap(), [0], "without its alias it is not there");
    index.upsert(&scope, points_of(DocumentId::new(), version, 1, 5)).await.unwrap();
    assert_eq!(index.count(&scope, &[version]).await.unwrap(), [5]);

    let delete = DeleteCollection { collection_name: name, timeout: None };
    index.connection.collections().delete(delete).await.unwrap();
    assert_eq!(index.count(&scope, &[version]).await.unwrap(), [0]);
    index.delete_version(&scope, version).await.unwrap();
    index.upsert(&scope, points_of(DocumentId::new(), version, 1, 3)).await.unwrap();
    assert_eq!(index.count(&scope, &[version]).await.unwrap(), [3]);
    server.clean().await;
}
