//! Times the calls that run often, or over much: `cargo run --release -p vectrion-store --example scale [URL]`.
//!
//! Without a URL it measures SQLite in a temporary directory. The database should be empty.

use std::{sync::Arc, time::Instant};

use sea_orm::{ConnectionTrait as _, Database, DbBackend};
use vectrion_core::{
    document::{DocumentFilter, DocumentOrder, Progress},
    ids::ChunkId,
    job::Stage,
    metadata::{MetadataCondition, MetadataTest, MetadataValue},
    page::PageRequest,
    ports::{Catalog as _, Jobs as _, jobs::NextJob},
    search::SearchFilter,
};
use vectrion_store::{Store, StoreSettings};
use vectrion_testkit::conformance::scenario::{LONG, Scenario, TRIES, metadata, processed, worker};

const DOCUMENTS: usize = 100;
const CHUNKS: usize = 1000;
const JOBS: usize = 100_000;

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = std::env::args().nth(1).unwrap_or_else(|| format!("sqlite://{}/vectrion.db", directory.path().display()));
    let store = Arc::new(Store::connect(&url, &StoreSettings::default()).await.expect("a database"));
    store.migrate().await.expect("its tables");
    contents(&store).await;
    for tenants in [1, 1000] {
        queue(&store, &url, tenants).await;
    }
}

/// Prints the median and the 99th percentile of a call.
async fn time(what: &str, times: usize, call: impl AsyncFn(usize)) {
    let mut took = Vec::new();
    for i in 0..times {
        let began = Instant::now();
        call(i).await;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    println!("{what:<60} p50 {:>10.3?}  p99 {:>10.3?}", took[times / 2], took[(times * 99) / 100]);
}

async fn contents(store: &Arc<Store>) {
    let scenario = Scenario::new(&**store).await;
    let tenant = scenario.tenant;
    let texts: Vec<String> = (0..CHUNKS).map(|i| format!("{i} {}", "some words of a passage ".repeat(40))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    time("admit", DOCUMENTS, async |i| {
        let file = scenario.file(&format!("{i}"), &format!("{i}"));
        scenario.admit(&file.with(metadata(&[("n", MetadataValue::Number(i as f64))]))).await;
    })
    .await;
    time(&format!("claim and finish_processing, {CHUNKS} chunks"), DOCUMENTS, async |_| {
        let lease = scenario.claim(Stage::ProcessDocument).await;
        store.finish_processing(&lease, processed(&lease, &texts), NextJob::queued(TRIES)).await.expect("processed");
    })
    .await;
    let lease = scenario.claim(Stage::EmbedDocument).await;
    time("heartbeat", 200, async |_| store.heartbeat(&lease, LONG, None).await.expect("alive")).await;
    time("heartbeat with progress", 200, async |i| {
        let progress = Progress { chunks_done: i as u32, ..Default::default() };
        store.heartbeat(&lease, LONG, Some(progress)).await.expect("alive");
    })
    .await;
    store.finish_embedding(&lease).await.expect("indexed");
    time("claim and finish_embedding", DOCUMENTS - 1, async |_| drop(scenario.embed().await)).await;

    let page = PageRequest { size: 100, token: None };
    let listed = store
        .list_documents(tenant, &DocumentFilter::default(), DocumentOrder::default(), &page)
        .await
        .expect("a list");
    let documents = listed.items;
    let condition = MetadataCondition {
        key: "n".to_owned(),
        test: MetadataTest::Range { gte: Some(10.0), gt: None, lte: None, lt: None },
    };
    let filtered = SearchFilter { metadata: vec![condition], ..Default::default() };
    for (what, filter) in [("", SearchFilter::default()), (", by metadata", filtered.clone())] {
        time(&format!("visible_chunks, 200 of {}{what}", DOCUMENTS * CHUNKS), 200, async |i| {
            let ids: Vec<_> = documents
                .iter()
                .flat_map(|document| {
                    (i..i + 2).map(|ordinal| {
                        let number = u32::try_from(ordinal).expect("small");
                        ChunkId::derive(document.version_id, number, texts[ordinal].as_bytes(), "c1")
                    })
                })
                .collect();
            let found = store.visible_chunks(tenant, &ids, &filter).await.expect("chunks");
            assert!(found.len() >= 180, "{}", found.len());
        })
        .await;
    }
    time("matching_documents by metadata", 200, async |_| {
        assert_eq!(store.matching_documents(tenant, &filtered, 1000).await.expect("documents").len(), DOCUMENTS - 10);
    })
    .await;
    time("list_documents, 100", 200, async |_| {
        store
            .list_documents(tenant, &DocumentFilter::default(), DocumentOrder::default(), &page)
            .await
            .map(drop)
            .expect("a list");
    })
    .await;
    time("changes, nothing new", 200, async |_| {
        let now = store.revision(tenant).await.expect("a revision");
        store.changes(tenant, &DocumentFilter::default(), now, false, 100).await.map(drop).expect("changes");
    })
    .await;
    time(&format!("finish_deletion, {CHUNKS} chunks"), 20, async |i| scenario.delete(documents[i].id).await).await;
}

/// Fills the queue with jobs of this many tenants, and claims some.
async fn queue(store: &Arc<Store>, url: &str, tenants: usize) {
    let connection = Database::connect(url).await.expect("the database");
    let postgres = connection.get_database_backend() == DbBackend::Postgres;
    let numbers = |n: usize| match postgres {
        true => format!("(SELECT g AS i FROM generate_series(1, {n}) g) n"),
        false => {
            format!("(WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {n}) SELECT i FROM c) n")
        }
    };
    let uuid = |of: &str| match postgres {
        true => format!("CAST(md5({of}) AS UUID)"),
        false => format!("CAST(substr({of} || '-0123456789abcdef', 1, 16) AS BLOB)"),
    };
    let id = |kind: &str, number: &str| uuid(&format!("'{kind}{tenants}' || {number}"));
    let (tenant, document, version) = (id("t", &format!("(i % {tenants})")), id("d", "i"), id("v", "i"));
    let each_tenant = id("t", "(i - 1)");
    let empty = if postgres { "''::bytea" } else { "x''" };
    for statement in [
        "DELETE FROM jobs".to_owned(),
        format!("INSERT INTO tenants SELECT {each_tenant}, '{tenants} ' || i, 0, 0, 0, 0 FROM {}", numbers(tenants)),
        format!(
            "INSERT INTO collections SELECT {each_tenant}, {each_tenant}, 'default', '', '', 0, 0 FROM {}",
            numbers(tenants)
        ),
        format!(
            "INSERT INTO documents SELECT {document}, {tenant}, {tenant}, CAST(i AS TEXT), {version}, 1, {empty}, 'f',
                'uploaded', FALSE, NULL, NULL, 0, '{{}}', 0, 0, -i FROM {}",
            numbers(JOBS)
        ),
        format!(
            "INSERT INTO document_versions SELECT {version}, {tenant}, {document}, 1, 'f', NULL, 't', 0, {empty},
                'uploaded', 0, 0, 0, 0, 0, 0, NULL, '[]', 0, 0 FROM {}",
            numbers(JOBS)
        ),
    ] {
        connection.execute_unprepared(&statement).await.expect(&statement);
    }
    // The payload names a version that no row has; a claim moves none on.
    let payload = r#"{"type":"process_v1","version_id":"00000000-0000-0000-0000-000000000000"}"#;
    let jobs = format!(
        "INSERT INTO jobs SELECT {}, {tenant}, {document}, {version}, 'process_document', '{payload}', 'pending', 0, 3, 0, i,
            NULL, 0, NULL, NULL, '', 0, NULL, NULL FROM {}",
        id("j", "i"),
        numbers(JOBS)
    );
    connection.execute_unprepared(&jobs).await.expect(&jobs);
    time(&format!("claim, {JOBS} jobs of {tenants} tenants wait"), 200, async |_| {
        store.claim(&[Stage::ProcessDocument], &worker("w"), LONG).await.expect("a claim").expect("a job");
    })
    .await;
    time("claim of three stages", 200, async |_| {
        store.claim(&Stage::ALL, &worker("w"), LONG).await.expect("a claim").expect("a job");
    })
    .await;
    time("claim of another stage: nothing", 200, async |_| {
        assert!(store.claim(&[Stage::EmbedDocument], &worker("w"), LONG).await.expect("a claim").is_none());
    })
    .await;
    time("queue_depths", 20, async |_| drop(store.queue_depths().await.expect("depths"))).await;
    time("next_ready_in", 200, async |_| {
        store.next_ready_in(&Stage::ALL).await.expect("a time");
    })
    .await;
    time("count_by_state", 20, async |_| drop(store.count_by_state().await.expect("counts"))).await;
}
