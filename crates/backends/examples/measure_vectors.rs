//! Measures the vector index in this process: writing, optimising, searching, memory, recall.
//!
//! `cargo run --release -p vectrion-backends --example measure_vectors -- [points] [directory]`
//!
//! The vectors are synthetic: 384 numbers, in clusters as documents make them. The texts are words drawn by Zipf's law.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;
use vectrion_backends::vectors::edge::{EdgeIndex, EdgeSettings};
use vectrion_core::{
    ids::{ChunkId, CollectionId, DocumentId, TenantId, VersionId},
    ports::vectors::{Generation, Point, VectorFilter, VectorIndex, VectorQuery, VectorScope},
};

const DIMENSION: usize = 384;
const CHUNKS: usize = 50;
const BATCH: usize = 64;
const VOCABULARY: usize = 50_000;

struct Data {
    centres: Vec<Vec<f32>>,
    points: Vec<Point>,
    random: StdRng,
}

fn normal(random: &mut StdRng) -> f32 {
    // The sum of twelve uniform numbers is as good as normal here.
    (0..12).map(|_| random.random_range(0.0..1.0f32)).sum::<f32>() - 6.0
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|x| *x /= length);
    vector
}

fn near(centre: &[f32], spread: f32, random: &mut StdRng) -> Vec<f32> {
    unit(centre.iter().map(|x| x + spread * normal(random) / (DIMENSION as f32).sqrt()).collect())
}

fn words(count: usize, random: &mut StdRng) -> String {
    let mut text = String::new();
    for _ in 0..count {
        let rank = (VOCABULARY as f64).powf(random.random_range(0.0..1.0)) as usize;
        text.push_str(&format!("w{rank} "));
    }
    text
}

impl Data {
    fn new(count: usize) -> Self {
        let mut random = StdRng::seed_from_u64(42);
        // Documents gather around topics, chunks around documents.
        let topics: Vec<Vec<f32>> =
            (0..200).map(|_| unit((0..DIMENSION).map(|_| normal(&mut random)).collect())).collect();
        let centres: Vec<Vec<f32>> =
            (0..count.div_ceil(CHUNKS)).map(|i| near(&topics[i % topics.len()], 0.8, &mut random)).collect();
        let points = (0..count)
            .map(|i| Point {
                id: ChunkId(Uuid::from_u128(random.random())),
                document: DocumentId(Uuid::from_u128((i / CHUNKS) as u128 + 1)),
                version_id: VersionId(Uuid::from_u128((i / CHUNKS) as u128 + 1_000_001)),
                collection: CollectionId(Uuid::from_u128((i / CHUNKS % 10) as u128)),
                dense: near(&centres[i / CHUNKS], 0.7, &mut random),
                text: words(120, &mut random),
            })
            .collect();
        Self { centres, points, random }
    }

    fn dense_query(&mut self) -> Vec<f32> {
        let i = self.random.random_range(0..self.centres.len());
        near(&self.centres[i].clone(), 0.9, &mut self.random)
    }
}

fn exact(points: &[Point], query: &[f32], keep: impl Fn(&Point) -> bool) -> Vec<ChunkId> {
    let mut scored: Vec<(f32, ChunkId)> = points
        .iter()
        .filter(|point| keep(point))
        .map(|point| (point.dense.iter().zip(query).map(|(a, b)| a * b).sum(), point.id))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.truncate(10);
    scored.into_iter().map(|(_, id)| id).collect()
}

fn memory(what: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap_or("");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    println!("  memory {what}: {} MB, of it anonymous {}, files {}", of("VmRSS"), of("RssAnon"), of("RssFile"));
}

fn disk(directory: &Path) -> u64 {
    let mut bytes = 0;
    let mut stack = vec![directory.to_owned()];
    while let Some(directory) = stack.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(facts) if facts.is_dir() => stack.push(entry.path()),
                Ok(facts) => bytes += std::os::unix::fs::MetadataExt::blocks(&facts) * 512,
                Err(_) => {}
            }
        }
    }
    bytes
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms, worst {:.1} ms", at(0.5), at(0.99), at(1.0))
}

async fn recall(index: &EdgeIndex, scope: &VectorScope, data: &mut Data, gone: impl Fn(&Point) -> bool, what: &str) {
    let (mut plain, mut filtered, queries) = (0, 0, 200);
    let mut times = Vec::new();
    for i in 0..queries {
        let query = data.dense_query();
        let wanted = exact(&data.points, &query, |point| !gone(point));
        let begin = Instant::now();
        let found = index
            .search(scope, &VectorQuery::Dense(query.clone()), &VectorFilter::default(), 10)
            .await
            .expect("searches");
        times.push(begin.elapsed());
        plain += found.iter().filter(|hit| wanted.contains(&hit.id)).count();
        let collection = CollectionId(Uuid::from_u128(i % 10));
        let wanted = exact(&data.points, &query, |point| !gone(point) && point.collection == collection);
        let filter = VectorFilter { collections: vec![collection], documents: vec![] };
        let found = index.search(scope, &VectorQuery::Dense(query), &filter, 10).await.expect("searches");
        filtered += found.iter().filter(|hit| wanted.contains(&hit.id)).count();
    }
    println!(
        "  recall@10 {what}: {:.4}, within one of ten collections {:.4}; {}",
        plain as f64 / (queries * 10) as f64,
        filtered as f64 / (queries * 10) as f64,
        percentiles(times)
    );
}

async fn search(index: &Arc<EdgeIndex>, scope: &VectorScope, data: &mut Data, clients: usize, sparse: bool) {
    let each = 2000 / clients;
    let begin = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let queries: Vec<VectorQuery> = (0..each)
                .map(|_| {
                    if sparse {
                        VectorQuery::Sparse(words(8, &mut data.random))
                    } else {
                        VectorQuery::Dense(data.dense_query())
                    }
                })
                .collect();
            let (index, scope) = (index.clone(), scope.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                for query in queries {
                    let begin = Instant::now();
                    index.search(&scope, &query, &VectorFilter::default(), 10).await.expect("searches");
                    times.push(begin.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("ends"));
    }
    let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
    let what = if sparse { "sparse" } else { "dense" };
    println!("  {what}, {clients} clients: {}; {rate:.0}/s", percentiles(times));
}

/// Searches and writes while optimisations run, until none does.
async fn beside_optimising(index: &Arc<EdgeIndex>, scope: &VectorScope, data: &mut Data) {
    let begin = Instant::now();
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    let mut quiet = 0;
    while quiet < 30 {
        let query = VectorQuery::Dense(data.dense_query());
        let at = Instant::now();
        index.search(scope, &query, &VectorFilter::default(), 10).await.expect("searches");
        reads.push(at.elapsed());
        let i = data.random.random_range(0..data.points.len() - BATCH);
        let batch = data.points[i..i + 1].to_vec();
        let at = Instant::now();
        index.upsert(scope, batch).await.expect("writes");
        index.flush(scope).await.expect("flushes");
        writes.push(at.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
        quiet = if hnsw_threads() == 0 { quiet + 1 } else { 0 };
    }
    println!(
        "  optimised for {:.1} s more; beside it a search {}; a point written and flushed {}",
        begin.elapsed().as_secs_f64() - 3.0,
        percentiles(reads),
        percentiles(writes)
    );
}

/// Whether the optimiser works now: its thread is not asleep.
fn hnsw_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            let is_running = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['R', 'D']));
            name.starts_with("hnsw-build") || (name.starts_with("vectors-optim") && is_running)
        })
        .count()
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let directory = arguments.next().map_or_else(
        || std::env::temp_dir().join(format!("vectrion-measure-{}", std::process::id())),
        std::path::PathBuf::from,
    );
    let settings: EdgeSettings = std::env::var("EDGE_SETTINGS")
        .map_or_else(|_| EdgeSettings::default(), |text| serde_json::from_str(&text).expect("settings as JSON"));
    println!("{count} points of {DIMENSION} numbers, {settings:?}");
    let mut data = Data::new(count);
    memory("with the data that is written");

    let generation = Generation { model: "synthetic".to_owned(), dimension: DIMENSION, chunker: "none".to_owned() };
    let scope = VectorScope { generation, tenant: TenantId::new() };
    let index = Arc::new(EdgeIndex::open(&directory, &settings).expect("opens"));
    let begin = Instant::now();
    let mut flushes = Vec::new();
    for (i, batch) in data.points.chunks(BATCH).enumerate() {
        index.upsert(&scope, batch.to_vec()).await.expect("writes");
        if i % 4 == 3 {
            let at = Instant::now();
            index.flush(&scope).await.expect("flushes");
            flushes.push(at.elapsed());
        }
    }
    let elapsed = begin.elapsed().as_secs_f64();
    println!(
        "  written in {elapsed:.1} s, {:.0} points/s, optimising beside it; a flush {}",
        count as f64 / elapsed,
        percentiles(flushes)
    );
    beside_optimising(&index, &scope, &mut data).await;
    memory("after optimising");
    println!("  disk {} MB", disk(&directory) >> 20);

    recall(&index, &scope, &mut data, |_| false, "after loading").await;
    for sparse in [false, true] {
        for clients in [1, 8] {
            search(&index, &scope, &mut data, clients, sparse).await;
        }
    }
    let versions: Vec<VersionId> = (0..1000).map(|i| VersionId(Uuid::from_u128(i + 1_000_001))).collect();
    for some in [1, 100, 1000] {
        let begin = Instant::now();
        index.count(&scope, &versions[..some]).await.expect("counts");
        println!("  count of {some} versions {:.2} ms", begin.elapsed().as_secs_f64() * 1e3);
    }

    // Every seventh document goes; then everything is written once more.
    let gone = |point: &Point| point.document.0.as_u128().is_multiple_of(7);
    let begin = Instant::now();
    let mut deleted = 0;
    for document in (1..=count.div_ceil(CHUNKS) as u128).filter(|document| document % 7 == 0) {
        index.delete_document(&scope, DocumentId(Uuid::from_u128(document))).await.expect("deletes");
        deleted += 1;
    }
    index.flush(&scope).await.expect("flushes");
    println!("  {deleted} documents deleted, {:.2} ms each", begin.elapsed().as_secs_f64() * 1e3 / deleted as f64);
    recall(&index, &scope, &mut data, gone, "after deleting").await;
    beside_optimising(&index, &scope, &mut data).await;
    let begin = Instant::now();
    index.close().await.expect("closes");
    println!("  closed in {:.2} s; disk {} MB", begin.elapsed().as_secs_f64(), disk(&directory) >> 20);
    drop(index);
    let index = Arc::new(EdgeIndex::open(&directory, &settings).expect("opens again"));
    let begin = Instant::now();
    index.count(&scope, &versions[..1]).await.expect("counts");
    println!("  opened in {:.2} s", begin.elapsed().as_secs_f64());
    index.close().await.expect("closes");
    if std::env::args().nth(2).is_none() {
        let _ = std::fs::remove_dir_all(&directory);
    }
}
