//! The threads that search.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use tokio::sync::oneshot;
use vectrion_core::Result;

use super::failure;

type Job = Box<dyn FnOnce() + Send>;

/// A bounded pool of threads with a bounded queue. Dropping it ends the threads once they are done with what they do.
#[derive(Debug)]
pub(super) struct Readers {
    queue: Arc<Queue>,
    bound: usize,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl Readers {
    /// Starts `threads` threads, for which up to `bound` searches may wait.
    pub(super) fn start(threads: usize, bound: usize) -> io::Result<Self> {
        let readers = Self { queue: Arc::default(), bound };
        for number in 0..threads {
            let queue = readers.queue.clone();
            thread::Builder::new().name(format!("vectors-read-{number}")).spawn(move || queue.work())?;
        }
        Ok(readers)
    }

    /// Does `work` on one of the threads. Work that has not begun when the future is dropped is never done.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`, reason `VECTOR_INDEX_BUSY`, when too many wait already.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            if !reply.is_closed() {
                // Nobody waits any more when this fails.
                let _ = reply.send(work());
            }
        });
        self.queue.push(job, self.bound)?;
        answer.await.unwrap_or_else(|_| Err(failure::closed()))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        state.jobs.clear();
        self.queue.changed.notify_all();
    }
}

impl Queue {
    fn push(&self, job: Job, bound: usize) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.jobs.len() >= bound {
            return Err(failure::busy());
        }
        state.jobs.push_back(job);
        self.changed.notify_one();
        Ok(())
    }

    fn work(&self) {
        loop {
            let job = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                loop {
                    if let Some(job) = state.jobs.pop_front() {
                        break job;
                    }
                    if state.is_closed {
                        return;
                    }
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            };
            job();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use futures::FutureExt;
    use vectrion_core::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn waiting_is_bounded_and_dropped_work_is_not_begun() {
        let readers = Readers::start(1, 2).unwrap();
        let (release, blocked) = mpsc::channel::<()>();
        let (begun, has_begun) = oneshot::channel();
        let mut first = Box::pin(readers.run(move || {
            begun.send(()).unwrap();
            blocked.recv().unwrap();
            Ok(1)
        }));
        assert!(first.as_mut().now_or_never().is_none());
        has_begun.await.unwrap();

        let done = Arc::new(AtomicUsize::new(0));
        let count = |done: &Arc<AtomicUsize>| {
            let done = done.clone();
            move || Ok(done.fetch_add(1, Ordering::SeqCst))
        };
        let mut dropped = Box::pin(readers.run(count(&done)));
        let mut kept = Box::pin(readers.run(count(&done)));
        assert!(dropped.as_mut().now_or_never().is_none() && kept.as_mut().now_or_never().is_none());
        let error = readers.run(|| Ok(())).await.expect_err("two wait already");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::ResourceExhausted, "VECTOR_INDEX_BUSY"));

        drop(dropped);
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), 1);
        assert_eq!(kept.await.unwrap(), 0, "the dropped one was never done");
        tokio::time::timeout(Duration::from_secs(5), readers.run(|| Ok(()))).await.unwrap().unwrap();
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }
}
