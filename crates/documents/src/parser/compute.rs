//! Threads for work that computes.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinHandle, spawn_blocking},
    time::{error::Elapsed, timeout},
};

/// Runs at most so many computations at once on blocking threads; others wait their turn.
pub(super) struct ComputePool {
    seats: Arc<Semaphore>,
}

impl ComputePool {
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        Self { seats: Arc::new(Semaphore::new(threads.get())) }
    }

    /// Waits for a seat, then for the work. Work that nobody waits for any more keeps its seat until it ends, so that
    /// there are never more threads than seats.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.start(work).await.await
    }

    /// The same, but waits no longer than this once the work has begun.
    pub(super) async fn run_within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Result<T, JoinError>, Elapsed> {
        timeout(limit, self.start(work).await).await
    }

    async fn start<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let seat = Arc::clone(&self.seats).acquire_owned().await.expect("the seats are never closed");
        spawn_blocking(move || {
            let _seat = seat;
            work()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn abandoned_work_keeps_its_seat() {
        let pool = ComputePool::new(NonZeroUsize::new(2).expect("not zero"));
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let work = || {
            MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(30));
            RUNNING.fetch_sub(1, Ordering::SeqCst);
        };
        for _ in 0..6 {
            assert!(pool.run_within(Duration::from_millis(1), work).await.is_err(), "given up");
        }
        pool.run(work).await.expect("no panic");
        assert_eq!(MOST.load(Ordering::SeqCst), 2);
    }
}
