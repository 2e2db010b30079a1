//! Who computes next: three lanes of waiting batches, and the threads that serve them.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use vectrion_core::{Error, Result};

use super::batches::Batch;

/// What a batch is for; the first lane that has work goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// A question somebody waits for.
    Query,
    /// Short texts compared within an answer.
    Text,
    /// Passages of documents.
    Passage,
}

const LANES: usize = 3;

/// Batches that may wait in a lane; callers beyond it wait for room.
const WAITING: usize = 256;

type Vectors = Result<Vec<f32>>;

struct Waiting {
    batch: Batch,
    reply: oneshot::Sender<Vectors>,
    _room: OwnedSemaphorePermit,
}

struct State {
    lanes: [VecDeque<Waiting>; LANES],
    closed: bool,
}

/// The lanes and their threads. Dropping it ends the threads after the batches they are at.
pub(super) struct Workers {
    lanes: Arc<Lanes>,
    threads: Vec<JoinHandle<()>>,
}

struct Lanes {
    state: Mutex<State>,
    changed: Condvar,
    room: [Arc<Semaphore>; LANES],
}

impl Workers {
    /// Starts a thread for each function that computes a batch: some for all lanes, and some that leave passages to the
    /// others, so that a question need not wait for a passage to finish.
    pub(super) fn start<F>(general: Vec<F>, reserved: Vec<F>) -> Result<Self>
    where
        F: FnMut(&Batch) -> Vectors + Send + 'static,
    {
        let lanes = Arc::new(Lanes {
            state: Mutex::new(State { lanes: Default::default(), closed: false }),
            changed: Condvar::new(),
            room: std::array::from_fn(|_| Arc::new(Semaphore::new(WAITING))),
        });
        let mut workers = Self { lanes, threads: Vec::new() };
        let general = general.into_iter().map(|compute| (&[Lane::Query, Lane::Text, Lane::Passage][..], compute));
        let reserved = reserved.into_iter().map(|compute| (&[Lane::Query, Lane::Text][..], compute));
        for (index, (served, compute)) in general.chain(reserved).enumerate() {
            let lanes = Arc::clone(&workers.lanes);
            let thread = std::thread::Builder::new()
                .name(format!("embed-{index}"))
                .spawn(move || lanes.serve(served, compute))
                .map_err(|error| {
                    Error::unavailable("THREAD_NOT_STARTED", "the system gave no thread to the embedding model")
                        .with_source(error)
                })?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Queues a batch once there is room in its lane. Whoever drops the receiver gives the batch up: it is not
    /// computed any more unless it has begun.
    pub(super) async fn submit(&self, lane: Lane, batch: Batch) -> Result<oneshot::Receiver<Vectors>> {
        let room = Arc::clone(&self.lanes.room[lane as usize]);
        let room = room.acquire_owned().await.map_err(|error| stopped().with_source(error))?;
        let (reply, receiver) = oneshot::channel();
        self.lanes.lock().lanes[lane as usize].push_back(Waiting { batch, reply, _room: room });
        // Threads serve different lanes, so waking just one might wake one that does not serve this.
        self.lanes.changed.notify_all();
        Ok(receiver)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.lanes.lock().closed = true;
        self.lanes.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was reported to the caller whose batch it was.
            let _ = thread.join();
        }
    }
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs while the lock is held half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, served: &[Lane], mut compute: impl FnMut(&Batch) -> Vectors) {
        while let Some(waiting) = self.next(served) {
            let computed = catch_unwind(AssertUnwindSafe(|| compute(&waiting.batch)));
            let vectors = computed.unwrap_or_else(|_| {
                Err(Error::internal("EMBEDDING_FAILED", "the embedding model failed to compute a vector"))
            });
            // The caller may have given up meanwhile.
            let _ = waiting.reply.send(vectors);
        }
    }

    fn next(&self, served: &[Lane]) -> Option<Waiting> {
        let mut state = self.lock();
        loop {
            if state.closed {
                // Their callers learn from the lost reply that nobody is left.
                state.lanes.iter_mut().for_each(VecDeque::clear);
                return None;
            }
            for lane in served {
                while let Some(waiting) = state.lanes[*lane as usize].pop_front() {
                    if !waiting.reply.is_closed() {
                        return Some(waiting);
                    }
                }
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What a caller gets whose batch was left when the threads ended.
pub(super) fn stopped() -> Error {
    Error::unavailable("EMBEDDER_STOPPED", "the embedding model is shutting down")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn batch(tag: i64) -> Batch {
        Batch { length: 1, ids: vec![tag], owners: vec![0] }
    }

    type Compute = Box<dyn FnMut(&Batch) -> Vectors + Send>;

    /// A thread for all lanes whose batches begin when told, and perhaps a reserved one that answers at once.
    struct Bench {
        workers: Workers,
        begun: mpsc::Receiver<i64>,
        go: mpsc::Sender<()>,
    }

    fn bench(reserved: usize) -> Bench {
        let (begin, begun) = mpsc::channel();
        let (go, told) = mpsc::channel();
        let general: Compute = Box::new(move |batch| {
            begin.send(batch.ids[0]).unwrap();
            told.recv().unwrap();
            Ok(vec![1.0])
        });
        let reserved = (0..reserved).map(|_| Box::new(|_: &Batch| Ok(vec![2.0_f32])) as Compute).collect();
        Bench { workers: Workers::start(vec![general], reserved).unwrap(), begun, go }
    }

    #[tokio::test]
    async fn a_query_does_not_wait_for_the_passage_in_work() {
        let bench = bench(1);
        let passage = bench.workers.submit(Lane::Passage, batch(1)).await.unwrap();
        assert_eq!(bench.begun.recv().unwrap(), 1);
        let query = bench.workers.submit(Lane::Query, batch(2)).await.unwrap();
        assert_eq!(query.await.unwrap().unwrap(), [2.0]);
        bench.go.send(()).unwrap();
        assert_eq!(passage.await.unwrap().unwrap(), [1.0]);
    }

    #[tokio::test]
    async fn queries_overtake_texts_and_both_overtake_waiting_passages() {
        let bench = bench(0);
        let mut replies = vec![bench.workers.submit(Lane::Passage, batch(1)).await.unwrap()];
        assert_eq!(bench.begun.recv().unwrap(), 1);
        for (lane, tag) in [(Lane::Passage, 2), (Lane::Passage, 3), (Lane::Text, 4), (Lane::Query, 5), (Lane::Query, 6)]
        {
            replies.push(bench.workers.submit(lane, batch(tag)).await.unwrap());
        }
        let mut order = Vec::new();
        for _ in 0..5 {
            bench.go.send(()).unwrap();
            order.push(bench.begun.recv().unwrap());
        }
        assert_eq!(order, [5, 6, 4, 2, 3]);
        bench.go.send(()).unwrap();
    }

    #[tokio::test]
    async fn what_a_caller_gave_up_is_not_computed() {
        let bench = bench(0);
        let first = bench.workers.submit(Lane::Passage, batch(1)).await.unwrap();
        assert_eq!(bench.begun.recv().unwrap(), 1);
        drop(bench.workers.submit(Lane::Passage, batch(2)).await.unwrap());
        let third = bench.workers.submit(Lane::Passage, batch(3)).await.unwrap();
        bench.go.send(()).unwrap();
        assert_eq!(bench.begun.recv().unwrap(), 3);
        bench.go.send(()).unwrap();
        assert!(first.await.unwrap().is_ok() && third.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_full_lane_makes_callers_wait_and_a_given_up_wait_takes_no_room() {
        let bench = bench(0);
        let mut replies = vec![bench.workers.submit(Lane::Passage, batch(0)).await.unwrap()];
        assert_eq!(bench.begun.recv().unwrap(), 0);
        for tag in 1..WAITING {
            replies.push(bench.workers.submit(Lane::Passage, batch(tag.try_into().unwrap())).await.unwrap());
        }
        let full = futures::poll!(Box::pin(bench.workers.submit(Lane::Passage, batch(-1))));
        assert!(full.is_pending());
        bench.go.send(()).unwrap();
        assert!(replies.remove(0).await.unwrap().is_ok());
        assert!(bench.workers.submit(Lane::Passage, batch(-2)).await.is_ok());
        drop(bench.go);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_caller_alone() {
        let mut first = true;
        let compute = move |_: &Batch| {
            assert!(!std::mem::take(&mut first), "made to fail");
            Ok(vec![1.0])
        };
        let workers = Workers::start(vec![compute], Vec::new()).unwrap();
        let failed = workers.submit(Lane::Passage, batch(1)).await.unwrap().await.unwrap();
        assert_eq!(failed.unwrap_err().reason(), "EMBEDDING_FAILED");
        let next = workers.submit(Lane::Passage, batch(2)).await.unwrap().await.unwrap();
        assert_eq!(next.unwrap(), [1.0]);
    }

    #[tokio::test]
    async fn ending_lets_go_of_those_who_wait() {
        let Bench { workers, begun, go } = bench(0);
        let first = workers.submit(Lane::Passage, batch(1)).await.unwrap();
        let second = workers.submit(Lane::Passage, batch(2)).await.unwrap();
        assert_eq!(begun.recv().unwrap(), 1);
        let end = std::thread::spawn(move || drop(workers));
        go.send(()).unwrap();
        assert!(first.await.unwrap().is_ok());
        // Either it had begun before the end was seen, which needs a second go, or its reply is lost.
        drop(go);
        assert!(second.await.map_or(true, |vectors| vectors.is_err()));
        end.join().unwrap();
    }
}
