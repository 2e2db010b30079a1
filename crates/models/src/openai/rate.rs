//! How often an endpoint is called, and by how many at once: limits of this process, and what the endpoint asks for.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as Line, Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout_at},
};

use super::{Failure, RateSettings, from_now};

/// What may be used at once of a limit per minute: the amount of so many seconds.
const BURST_S: f64 = 10.0;
/// The share of it that background work leaves to questions.
const RESERVE: f64 = 0.2;
/// Pause after an endpoint limited the rate without saying for how long.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause; then it is asked again.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// Hint to a caller who found every place taken.
const PLACE_RETRY: Duration = Duration::from_secs(1);

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody waits for it.
    Question,
    /// Background work, which goes behind questions.
    Bulk,
}

/// Lets calls through as the limits allow.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Option<Arc<Semaphore>>,
    /// First come, first served, among those of the same urgency.
    questions: Line<()>,
    bulk: Line<()>,
    waiting: Waiting,
    state: Mutex<State>,
}

/// Questions that wait for the limits: background work lets them go first.
#[derive(Debug, Default)]
struct Waiting {
    questions: AtomicUsize,
    /// One of them waits no more.
    one_less: Notify,
}

/// A question that waits, until it is dropped.
struct Question<'a>(&'a Waiting);

impl<'a> Question<'a> {
    fn waits(waiting: &'a Waiting) -> Self {
        waiting.questions.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.0.questions.fetch_sub(1, Ordering::SeqCst);
        self.0.one_less.notify_waiters();
    }
}

#[derive(Debug)]
struct State {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    paused_until: Option<Instant>,
}

/// Leave for one request, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pass {
    _place: Option<OwnedSemaphorePermit>,
}

impl Gate {
    pub(crate) fn new(settings: &RateSettings) -> Self {
        let now = Instant::now();
        let places = (settings.max_concurrency > 0)
            .then(|| Arc::new(Semaphore::new(settings.max_concurrency.min(Semaphore::MAX_PERMITS))));
        let state = State {
            requests: Bucket::per_minute(settings.requests_per_minute, now),
            tokens: Bucket::per_minute(settings.tokens_per_minute, now),
            paused_until: None,
        };
        Self {
            places,
            questions: Line::new(()),
            bulk: Line::new(()),
            waiting: Waiting::default(),
            state: Mutex::new(state),
        }
    }

    /// Tokens that background work may use at once without making questions pay for it.
    pub(crate) fn bulk_tokens(&self) -> usize {
        let capacity = self.state().tokens.as_ref().map(|bucket| bucket.capacity * (1.0 - RESERVE));
        capacity.map_or(usize::MAX, whole)
    }

    /// Waits for leave to make a request of about so many tokens. Fails at once if the wait would go beyond `limit`.
    pub(crate) async fn enter(&self, urgency: Urgency, tokens: usize, limit: Option<Instant>) -> Result<Pass, Failure> {
        let limit = limit.unwrap_or_else(|| from_now(Duration::MAX));
        let (line, waits) = match urgency {
            Urgency::Question => (&self.questions, Some(Question::waits(&self.waiting))),
            Urgency::Bulk => (&self.bulk, None),
        };
        let turn = timeout_at(limit, line.lock()).await.map_err(|_elapsed| self.throttled(urgency, tokens))?;
        loop {
            let one_less = self.waiting.one_less.notified();
            if urgency == Urgency::Bulk && self.waiting.questions.load(Ordering::SeqCst) > 0 {
                timeout_at(limit, one_less).await.map_err(|_elapsed| self.throttled(urgency, tokens))?;
                continue;
            }
            let now = Instant::now();
            let Err(ready) = self.state().take(urgency, tokens, now) else { break };
            if ready >= limit {
                return Err(Failure::Throttled { retry_after: ready - now });
            }
            sleep_until(ready).await;
        }
        drop((turn, waits));
        let place = match &self.places {
            None => None,
            Some(places) => {
                let place = timeout_at(limit, Arc::clone(places).acquire_owned()).await;
                let place = place.map_err(|_elapsed| Failure::Throttled { retry_after: PLACE_RETRY })?;
                Some(place.expect("the semaphore is never closed"))
            }
        };
        Ok(Pass { _place: place })
    }

    /// The endpoint wants to be left alone for a while, by every caller.
    pub(crate) fn pause(&self, after: Option<Duration>) {
        let until = Instant::now() + after.unwrap_or(PAUSE).min(MAX_PAUSE);
        let mut state = self.state();
        state.paused_until = Some(state.paused_until.map_or(until, |before| before.max(until)));
    }

    fn throttled(&self, urgency: Urgency, tokens: usize) -> Failure {
        let now = Instant::now();
        let ready = self.state().ready_at(urgency, tokens, now);
        Failure::Throttled { retry_after: ready.saturating_duration_since(now).max(PLACE_RETRY) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every writer leaves it valid, so a panic elsewhere does not matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes what a request uses, or says when there may be enough.
    fn take(&mut self, urgency: Urgency, tokens: usize, now: Instant) -> Result<(), Instant> {
        let ready = self.ready_at(urgency, tokens, now);
        if ready > now {
            return Err(ready);
        }
        self.paused_until = None;
        for (bucket, amount) in [(&mut self.requests, 1), (&mut self.tokens, tokens)] {
            if let Some(bucket) = bucket {
                bucket.take(amount, now);
            }
        }
        Ok(())
    }

    fn ready_at(&self, urgency: Urgency, tokens: usize, now: Instant) -> Instant {
        let of = |bucket: &Option<Bucket>, amount| {
            bucket.as_ref().map_or(now, |bucket| bucket.ready_at(urgency, amount, now))
        };
        of(&self.requests, 1).max(of(&self.tokens, tokens)).max(self.paused_until.unwrap_or(now))
    }
}

/// A limit per minute, used evenly but for a burst.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    capacity: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn per_minute(limit: u32, now: Instant) -> Option<Self> {
        let per_second = f64::from(limit) / 60.0;
        let capacity = (per_second * BURST_S).max(1.0);
        (limit > 0).then_some(Self { per_second, capacity, level: capacity, at: now })
    }

    fn level(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.per_second.mul_add(since, self.level).min(self.capacity)
    }

    /// What is more than fits may begin when it is full, and is paid for afterwards.
    fn ready_at(&self, urgency: Urgency, amount: usize, now: Instant) -> Instant {
        let left = match urgency {
            Urgency::Question => 0.0,
            Urgency::Bulk => self.capacity * RESERVE,
        };
        let missing = (amount_of(amount) + left).min(self.capacity) - self.level(now);
        if missing <= 0.0 {
            return now;
        }
        let wait = Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX);
        from_now(wait.saturating_add(Duration::from_millis(1)))
    }

    fn take(&mut self, amount: usize, now: Instant) {
        self.level = self.level(now) - amount_of(amount);
        self.at = now;
    }
}

fn amount_of(amount: usize) -> f64 {
    u32::try_from(amount).map_or(f64::from(u32::MAX), f64::from)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number, and a limit of 32 bits"
)]
fn whole(amount: f64) -> usize {
    (amount as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(max_concurrency: usize, requests_per_minute: u32, tokens_per_minute: u32) -> Gate {
        Gate::new(&RateSettings { max_concurrency, requests_per_minute, tokens_per_minute })
    }

    async fn enter(gate: &Gate, tokens: usize) {
        let _pass = gate.enter(Urgency::Question, tokens, None).await.expect("it waits as long as it takes");
    }

    #[tokio::test(start_paused = true)]
    async fn without_limits_nothing_waits() {
        let (gate, began) = (gate(0, 0, 0), Instant::now());
        for _ in 0..1000 {
            enter(&gate, 1_000_000).await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_spread_over_the_minute_after_a_burst() {
        let (gate, began) = (gate(0, 60, 0), Instant::now());
        for _ in 0..10 {
            enter(&gate, 1).await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "ten seconds' worth");
        for _ in 0..50 {
            enter(&gate, 1).await;
        }
        assert!((49..=51).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_count_and_more_than_fits_is_paid_for_afterwards() {
        let (gate, began) = (gate(0, 0, 6_000), Instant::now());
        enter(&gate, 3_000).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "more than a burst, but the burst was full");
        enter(&gate, 1_000).await;
        assert!((29..=31).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_is_told_at_once_when_its_time_will_not_do_and_does_not_wait_for_bulk() {
        let gate = Arc::new(gate(0, 0, 6_000));
        enter(&gate, 1_000).await;
        let began = Instant::now();
        let limit = Some(began + Duration::from_secs(2));
        let failure = gate.enter(Urgency::Question, 500, limit).await.expect_err("five seconds");
        assert!(matches!(failure, Failure::Throttled { retry_after } if retry_after.as_secs() == 5), "{failure:?}");
        assert_eq!(began.elapsed(), Duration::ZERO);
        let bulk = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(Urgency::Bulk, 1_000, None).await.map(drop) }
        });
        tokio::task::yield_now().await;
        let _pass = gate.enter(Urgency::Question, 100, limit).await.expect("a second");
        assert!(began.elapsed() <= Duration::from_millis(1_100), "{:?}", began.elapsed());
        bulk.await.expect("no panic").expect("it waits as long as it takes");
    }

    #[tokio::test(start_paused = true)]
    async fn background_work_leaves_a_reserve_and_lets_questions_that_wait_go_first() {
        let gate = Arc::new(gate(0, 0, 6_000));
        assert_eq!(gate.bulk_tokens(), 800);
        let began = Instant::now();
        let _pass = gate.enter(Urgency::Bulk, 800, None).await.expect("all but the reserve");
        let soon = Some(began + Duration::from_secs(10));
        let failure = gate.enter(Urgency::Bulk, 100, Some(began)).await.expect_err("the reserve is not for it");
        assert!(matches!(failure, Failure::Throttled { .. }), "{failure:?}");
        let _pass = gate.enter(Urgency::Question, 200, soon).await.expect("the reserve");
        assert_eq!(began.elapsed(), Duration::ZERO);

        // Each piece of background work is ready long before the question is.
        let bulk = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move {
                for _ in 0..20 {
                    gate.enter(Urgency::Bulk, 10, None).await.map(drop).expect("it waits as long as it takes");
                }
            }
        });
        tokio::task::yield_now().await;
        let _pass = gate.enter(Urgency::Question, 500, soon).await.expect("five seconds");
        assert!(began.elapsed() <= Duration::from_millis(5_100), "{:?}", began.elapsed());
        bulk.await.expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_for_everybody_and_ends() {
        let (gate, began) = (gate(0, 0, 0), Instant::now());
        gate.pause(Some(Duration::from_secs(7)));
        gate.pause(None);
        let soon = Some(began + Duration::from_secs(3));
        let failure = gate.enter(Urgency::Question, 1, soon).await.expect_err("paused");
        assert!(matches!(failure, Failure::Throttled { retry_after } if retry_after == Duration::from_secs(7)));
        enter(&gate, 1).await;
        assert_eq!(began.elapsed(), Duration::from_secs(7));
        enter(&gate, 1).await;
        assert_eq!(began.elapsed(), Duration::from_secs(7), "it is over");
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_no_more() {
        let (gate, began) = (gate(2, 0, 0), Instant::now());
        let passes = [
            gate.enter(Urgency::Bulk, 1, None).await.expect("one"),
            gate.enter(Urgency::Bulk, 1, None).await.expect("two"),
        ];
        let limit = Some(began + Duration::from_secs(1));
        let failure = gate.enter(Urgency::Question, 1, limit).await.expect_err("full");
        assert!(matches!(failure, Failure::Throttled { .. }), "{failure:?}");
        drop(passes);
        let _pass = gate.enter(Urgency::Question, 1, limit.map(|at| at + Duration::from_secs(1))).await.expect("free");
    }
}
