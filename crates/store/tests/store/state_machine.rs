//! The jobs of the store against a small model: random sequences of whatever happens to jobs, compared after each step.
//!
//! `VECTRION_TEST_SEED` repeats a run, `VECTRION_TEST_CASES` makes it longer.

mod model;
mod world;

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use self::world::World;

/// Documents of a sequence.
const DOCUMENTS: usize = 2;
/// Steps of a sequence at the most.
const STEPS: usize = 40;

/// Something that happens. Leases are those that were ever taken, so that most of them are stale.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A document is uploaded, unless it is there.
    Upload(usize),
    /// Somebody claims the fairest job.
    Claim,
    Heartbeat(usize),
    Complete(usize),
    /// The same, and its worker claims what follows from it at once.
    GoOn(usize),
    /// A try fails; the next may come at once, or much later.
    FailForNow(usize, bool),
    FailForGood(usize),
    PutOff(usize),
    Release(usize),
    /// A worker dies, or is stopped for too long.
    Expire(usize),
    Reap,
    /// A worker dies, and another one claims a job: the same, as a rule.
    Lose(usize),
    /// Time passes: what waits for the next try is ready.
    Wait,
    Cancel(usize),
    Retry(usize),
    /// The work is called off, and begun again at once.
    StartOver(usize),
    Replay(usize),
    Purge(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let document = 0..DOCUMENTS;
    // The last leases more often than those from long ago.
    let lease = prop_oneof![4 => 0..2_usize, 1 => 2..8_usize];
    prop_oneof![
        4 => document.clone().prop_map(Step::Upload),
        10 => Just(Step::Claim),
        2 => lease.clone().prop_map(Step::Heartbeat),
        6 => lease.clone().prop_map(Step::Complete),
        4 => lease.clone().prop_map(Step::GoOn),
        3 => (lease.clone(), any::<bool>()).prop_map(|(lease, soon)| Step::FailForNow(lease, soon)),
        2 => lease.clone().prop_map(Step::FailForGood),
        1 => lease.clone().prop_map(Step::PutOff),
        1 => lease.clone().prop_map(Step::Release),
        2 => lease.clone().prop_map(Step::Expire),
        2 => Just(Step::Reap),
        4 => lease.prop_map(Step::Lose),
        2 => Just(Step::Wait),
        3 => document.clone().prop_map(Step::Cancel),
        2 => document.clone().prop_map(Step::Retry),
        3 => document.clone().prop_map(Step::StartOver),
        2 => document.clone().prop_map(Step::Replay),
        1 => document.prop_map(Step::Purge),
    ]
}

/// Runs sequences in a world of this URL, and prints the seed of what it ran.
fn check(url: &str) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("VECTRION_TEST_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    let cases = number("VECTRION_TEST_CASES").and_then(|cases| cases.try_into().ok()).unwrap_or(40);
    println!("{cases} sequences, VECTRION_TEST_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let store = runtime.block_on(World::connect(url));
    let outcome = runner.run(&proptest::collection::vec(step(), 1..STEPS), |steps| {
        runtime.block_on(async {
            let mut world = World::new(&store).await;
            for step in steps {
                world.take(step).await.map_err(|why| TestCaseError::fail(format!("{step:?}: {why}")))?;
            }
            world.finish().await.map_err(|why| TestCaseError::fail(format!("at the end: {why}")))
        })
    });
    if let Err(error) = outcome {
        panic!("VECTRION_TEST_SEED={seed}: {error}");
    }
}

#[test]
fn jobs_go_as_the_model_says_on_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    check(&format!("sqlite://{}/vectrion.db", directory.path().display()));
}

#[test]
fn jobs_go_as_the_model_says_on_postgresql() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let Some((url, _schema)) = runtime.block_on(crate::postgres::schema()) else { return };
    check(&url);
}
