//! What every adapter of a port must do: one suite per port, run against each adapter.

pub mod answers;
pub mod cache;
pub mod catalog;
pub mod directory;
pub mod embedder;
pub mod idempotency;
pub mod jobs;
pub mod objects;
pub mod outbox;
pub mod scenario;
pub mod upkeep;
pub mod uploads;
pub mod vectors;
pub mod wakeups;

/// Makes a test of each case of a suite. `$make` names an async function that gives a new adapter in an
/// [`Arc`](std::sync::Arc) and whatever has to live as long; or an option of both, without which there is nothing to test.
#[macro_export]
macro_rules! conformance_tests {
    ($make:path, $suite:ident: [$($case:ident),+ $(,)?]) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let made: Option<(_, _)> = $make().await.into();
                let Some((store, _kept)) = made else { return };
                $crate::conformance::$suite::$case(store).await;
            }
        )+
    };
}
