//! Work that waits for answers, ended when none comes.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// What the work comes to; none if nothing woke it for so long. Whatever arrives for it wakes it.
pub(super) fn answering<F: Future>(at_most: Duration, work: F) -> impl Future<Output = Option<F::Output>> {
    let bell = Arc::new(Bell { rung: AtomicBool::new(true), waiting: Mutex::new(Waker::noop().clone()) });
    Answering { work: Box::pin(work), bell, at_most, silence: Box::pin(sleep(at_most)) }
}

struct Answering<F> {
    work: Pin<Box<F>>,
    bell: Arc<Bell>,
    at_most: Duration,
    silence: Pin<Box<Sleep>>,
}

/// Tells what wakes the work from what wakes the others of its task.
struct Bell {
    rung: AtomicBool,
    waiting: Mutex<Waker>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

impl<F: Future> Future for Answering<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.bell.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone_from(context.waker());
        while this.bell.rung.swap(false, Ordering::AcqRel) {
            this.silence.as_mut().reset(Instant::now() + this.at_most);
            let bell = Waker::from(Arc::clone(&this.bell));
            if let Poll::Ready(done) = this.work.as_mut().poll(&mut Context::from_waker(&bell)) {
                return Poll::Ready(Some(done));
            }
        }
        this.silence.as_mut().poll(context).map(|()| None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn long_work_goes_on_while_answers_come() {
        let work = async {
            for _ in 0..10 {
                sleep(LIMIT - Duration::from_secs(1)).await;
            }
            7
        };
        assert_eq!(answering(LIMIT, work).await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn work_without_an_answer_ends() {
        let began = Instant::now();
        let work = async {
            sleep(Duration::from_secs(5)).await;
            std::future::pending::<()>().await;
        };
        // Others of the same task that are woken are no answer.
        let others = async {
            loop {
                sleep(Duration::from_secs(1)).await;
            }
        };
        let ended = tokio::select! {
            ended = answering(LIMIT, work) => ended,
            () = others => unreachable!("they never end"),
        };
        assert_eq!((ended, began.elapsed()), (None, LIMIT + Duration::from_secs(5)));
    }
}
