//! What a killed process leaves.
//!
//! The test starts this test binary again as a child, which writes, removes and flushes without end and says what was
//! confirmed; it kills the child at a random moment, opens the index and looks. Then the next child goes on from there.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use vectrion_core::{ids::TenantId, ports::vectors::Generation};

use super::*;
use crate::test_process::{self, Child};

const CHILD: &str = "vectors::edge::tests::crash::a_child_that_gets_killed";
const SEED: &str = "VECTRION_TEST_CHILD_SEED";

/// Documents that the child writes and removes, and chunks of each.
const DOCUMENTS: u128 = 12;
const CHUNKS: u128 = 40;

fn crash_scope() -> VectorScope {
    let generation = Generation { dimension: conformance::DIMENSION, ..conformance::generation("crash") };
    VectorScope { generation, tenant: TenantId(Uuid::from_u128(5)) }
}

fn document(number: u128) -> (DocumentId, VersionId) {
    (DocumentId(Uuid::from_u128(1000 + number)), VersionId(Uuid::from_u128(2000 + number)))
}

fn chunks(number: u128) -> Vec<Point> {
    let (document, version) = document(number);
    points_of(document, version, 10_000 + number * 100, CHUNKS)
}

/// The child: for ever writes or removes a document, flushes, and says so. Its parent kills it.
#[test]
fn a_child_that_gets_killed() {
    let Some(directory) = test_process::directory() else { return };
    let mut random = StdRng::seed_from_u64(std::env::var(SEED).unwrap().parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let say = |text: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{text}").and_then(|()| out.flush()).unwrap();
    };
    runtime.block_on(async {
        // Optimising goes on most of the time.
        let settings = EdgeSettings { optimize_after: 60, ..small() };
        let index = EdgeIndex::open(directory, &settings).unwrap();
        let scope = crash_scope();
        loop {
            let number = u128::from(random.random_range(0..DOCUMENTS as u64));
            if random.random_bool(0.6) {
                say(format!("begin write {number}"));
                for part in chunks(number).chunks(15) {
                    index.upsert(&scope, part.to_vec()).await.unwrap();
                }
                index.flush(&scope).await.unwrap();
                say(format!("done write {number}"));
            } else {
                say(format!("begin remove {number}"));
                if random.random_bool(0.5) {
                    index.delete_version(&scope, document(number).1).await.unwrap();
                } else {
                    index.delete_document(&scope, document(number).0).await.unwrap();
                }
                index.flush(&scope).await.unwrap();
                say(format!("done remove {number}"));
            }
        }
    });
}

/// Runs a child for some time; what it began last and did not end, after taking note of all that it ended.
fn run_and_kill(directory: &Path, seed: u64, time: Duration, state: &mut BTreeMap<u128, bool>) -> Option<u128> {
    let mut child = Child::start(CHILD, directory, &[(SEED, seed.to_string())]);
    let output = BufReader::new(child.output());
    let killer = std::thread::spawn(move || {
        std::thread::sleep(time);
        child.kill();
    });
    let mut begun = None;
    for line in output.lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [step @ ("begin" | "done"), what @ ("write" | "remove"), number] = words[..] {
            let number = number.parse().unwrap();
            if step == "begin" {
                begun = Some(number);
            } else {
                state.insert(number, what == "write");
                begun = None;
            }
        }
    }
    killer.join().unwrap();
    begun
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_flushed_survives_a_kill_and_repeating_the_rest_completes_it() {
    let dir = tempfile::tempdir().unwrap();
    let seed = std::env::var("VECTRION_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    let rounds = std::env::var("VECTRION_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(4u64);
    println!("seed {seed}, {rounds} kills");
    let mut random = StdRng::seed_from_u64(seed);
    let scope = crash_scope();
    let mut state: BTreeMap<u128, bool> = BTreeMap::new();
    for round in 0..rounds {
        let time = Duration::from_millis(random.random_range(200..1800));
        let unconfirmed = run_and_kill(dir.path(), seed + round, time, &mut state);
        let index = open(dir.path());
        for number in 0..DOCUMENTS {
            let (document, version) = document(number);
            let ids = index.point_ids(&scope, document).await.unwrap();
            let counted = index.count(&scope, &[version]).await.unwrap()[0];
            assert_eq!(counted, ids.len() as u64, "round {round}, document {number}: every point once");
            if unconfirmed == Some(number) {
                // Either there or not, in part or whole.
                assert!(counted <= CHUNKS as u64, "round {round}, document {number}");
                continue;
            }
            let expected = if state.get(&number) == Some(&true) { CHUNKS as u64 } else { 0 };
            assert_eq!(counted, expected, "round {round}, document {number}, confirmed {:?}", state.get(&number));
        }
        // What was not confirmed is made again, as a retry of the job would.
        if let Some(number) = unconfirmed {
            index.upsert(&scope, chunks(number)).await.unwrap();
            index.flush(&scope).await.unwrap();
            assert_eq!(index.count(&scope, &[document(number).1]).await.unwrap(), [CHUNKS as u64]);
            state.insert(number, true);
        }
        // Every point that should be there is found by its vector and by its words, and nothing else is.
        let expected = state.values().filter(|is_there| **is_there).count() * CHUNKS as usize;
        let words = Target::Sparse(index.bm25.embed_query("chunk"));
        for target in [Target::Dense(unit(&[1.0])), words] {
            let found = index.read(&scope, "search", move |shard| {
                let exact = SearchParams { exact: true, ..SearchParams::default() };
                query::search(shard, &target, &VectorFilter::default(), 1000, exact)
            });
            assert_eq!(found.await.unwrap().unwrap_or_default().len(), expected, "round {round}");
        }
        index.close().await.unwrap();
    }
}

/// How many segments the engine is making.
fn half_made_segments(directory: &Path) -> usize {
    let shard = Layout::new(directory.to_owned()).shard(ShardKey::of(&crash_scope()));
    fs::read_dir(shard.join("temp_segments")).map_or(0, Iterator::count)
}

const REMOVING: &str = "vectors::edge::tests::crash::a_child_that_removes_while_optimising";

/// The child: removes a document, and removes and writes another again, while their segment is being optimised.
#[test]
fn a_child_that_removes_while_optimising() {
    let Some(directory) = test_process::directory() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let settings = EdgeSettings { optimize_after: 2000, ..small() };
        let index = EdgeIndex::open(&directory, &settings).unwrap();
        let scope = crash_scope();
        for number in 0..50 {
            index.upsert(&scope, chunks(number)).await.unwrap();
        }
        index.flush(&scope).await.unwrap();
        while half_made_segments(&directory) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        index.delete_version(&scope, document(3).1).await.unwrap();
        index.delete_document(&scope, document(4).0).await.unwrap();
        index.upsert(&scope, chunks(4)).await.unwrap();
        // The second is answered when all is done that the first gave rise to.
        for _ in 0..2 {
            index.flush(&scope).await.unwrap();
        }
        println!("\nflushed");
        std::future::pending::<()>().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_while_optimising_does_not_come_back_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Child::start(REMOVING, dir.path(), &[]);
    let mut lines = BufReader::new(child.output()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "flushed"), "the child ended early");
    child.kill();
    assert!(half_made_segments(dir.path()) > 0, "the shard was being optimised");

    let index = open(dir.path());
    let versions: Vec<VersionId> = (0..50).map(|number| document(number).1).collect();
    let counts = index.count(&crash_scope(), &versions).await.unwrap();
    let expected: Vec<u64> = (0..50).map(|number| if number == 3 { 0 } else { CHUNKS as u64 }).collect();
    assert_eq!(counts, expected);
    assert_eq!(half_made_segments(dir.path()), 0, "what was half made is removed");
}

const FAILING: &str = "vectors::edge::tests::crash::a_child_whose_log_fails";

/// The child: its log cannot be written when a document is removed, and can when that is tried again.
#[test]
fn a_child_whose_log_fails() {
    let Some(directory) = test_process::directory() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let scope = crash_scope();
        let index = open(&directory);
        index.upsert(&scope, chunks(1)).await.unwrap();
        index.upsert(&scope, chunks(2)).await.unwrap();
        index.close().await.unwrap();
        let log = Layout::new(directory.clone()).shard(ShardKey::of(&scope)).join("redo.log");
        fs::remove_file(&log).unwrap();

        let index = open(&directory);
        fs::create_dir(&log).unwrap();
        index.delete_version(&scope, document(1).1).await.expect_err("the log cannot be written");
        fs::remove_dir(&log).unwrap();
        index.delete_version(&scope, document(1).1).await.unwrap();
        index.flush(&scope).await.unwrap();
        println!("\nflushed");
        std::future::pending::<()>().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_after_the_log_had_failed_does_not_come_back_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Child::start(FAILING, dir.path(), &[]);
    let mut lines = BufReader::new(child.output()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "flushed"), "the child ended early");
    child.kill();
    let index = open(dir.path());
    let versions = [document(1).1, document(2).1];
    assert_eq!(index.count(&crash_scope(), &versions).await.unwrap(), [0, CHUNKS as u64]);
}
