//! Tries again where that helps, and not where it harms.

use std::{
    error::Error as StdError,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::time::{Instant, sleep};

use super::{
    EndpointSettings, Failure, RetrySettings,
    breaker::{Breaker, Health},
    budget::RetryBudget,
};

/// Makes the attempts of the calls of one endpoint.
#[derive(Debug)]
pub(crate) struct Calls {
    model: String,
    settings: RetrySettings,
    breaker: Breaker,
    budget: Mutex<RetryBudget>,
    rng: Mutex<SmallRng>,
}

impl Calls {
    pub(crate) fn new(settings: &EndpointSettings, seed: u64) -> Self {
        Self {
            model: settings.model.clone(),
            settings: settings.retries.clone(),
            breaker: Breaker::new(&settings.model, settings.breaker.clone()),
            budget: Mutex::new(RetryBudget::new(Instant::now())),
            rng: Mutex::new(SmallRng::seed_from_u64(seed)),
        }
    }

    /// Makes attempts until one succeeds, or another one is useless, not allowed, or would begin after `limit`.
    /// `success` is what a success says about the endpoint.
    pub(crate) async fn run<T, F, A>(&self, limit: Instant, success: Health, attempt: F) -> Result<T, Failure>
    where
        F: Fn() -> A,
        A: Future<Output = Result<T, Failure>>,
    {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).call();
        let mut retries = 0;
        loop {
            let permit = self.breaker.enter(Instant::now()).map_err(|retry_after| Failure::Open { retry_after })?;
            let failure = match attempt().await {
                Ok(value) => {
                    permit.report(success, Instant::now());
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            permit.report(failure.health(), Instant::now());
            let Some(delay) = self.delay(&failure, retries, limit) else {
                return Err(failure);
            };
            retries += 1;
            tracing::warn!(
                model = self.model,
                retries,
                delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                error = &failure as &(dyn StdError + 'static),
                "model call failed, trying again"
            );
            sleep(delay).await;
        }
    }

    /// How a stream that had begun ended.
    pub(crate) fn ended(&self, health: Health) {
        self.breaker.ended(health, Instant::now());
    }

    /// How long to wait before the next attempt, if there is to be one.
    fn delay(&self, failure: &Failure, retries: u32, limit: Instant) -> Option<Duration> {
        if !failure.is_retryable() || retries >= self.settings.max_retries {
            return None;
        }
        let jitter: f64 = self.rng.lock().unwrap_or_else(PoisonError::into_inner).random();
        let backoff = backoff(&self.settings, retries);
        let delay = match failure.retry_after() {
            // Never earlier than asked for, and not all callers at the same moment.
            Some(after) => after + self.settings.first_delay.mul_f64(jitter),
            None => backoff.mul_f64(1.0 - jitter / 2.0),
        };
        let now = Instant::now();
        let in_time = delay < limit.saturating_duration_since(now);
        let allowed = in_time
            && !self.breaker.refuses(now)
            && self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(now);
        allowed.then_some(delay)
    }
}

fn backoff(settings: &RetrySettings, retries: u32) -> Duration {
    let factor = 2_u32.checked_pow(retries).unwrap_or(u32::MAX);
    settings.first_delay.saturating_mul(factor).min(settings.max_delay)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::openai::UpstreamError;

    fn calls(max_retries: u32) -> Calls {
        let mut settings = EndpointSettings::new("http://localhost/v1", "m");
        settings.retries =
            RetrySettings { max_retries, first_delay: Duration::from_millis(2), max_delay: Duration::from_millis(8) };
        settings.breaker.failures = 100;
        Calls::new(&settings, 7)
    }

    fn failed(status: u16, retry_after: Option<Duration>) -> Failure {
        Failure::from_status(status, UpstreamError::default(), retry_after)
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    async fn attempts(calls: &Calls, limit: Instant, failure: impl Fn() -> Failure) -> (u32, Failure) {
        let count = AtomicU32::new(0);
        let result: Result<(), Failure> = calls
            .run(limit, Health::Alive, || {
                count.fetch_add(1, Ordering::Relaxed);
                std::future::ready(Err(failure()))
            })
            .await;
        (count.into_inner(), result.expect_err("every attempt fails"))
    }

    #[tokio::test]
    async fn tries_as_often_as_set_and_not_what_is_refused() {
        assert_eq!(attempts(&calls(2), far(), || failed(500, None)).await.0, 3);
        assert_eq!(attempts(&calls(2), far(), || failed(400, None)).await.0, 1);
        assert_eq!(attempts(&calls(0), far(), || failed(500, None)).await.0, 1);
    }

    #[tokio::test]
    async fn a_retry_after_beyond_the_limit_is_handed_on_at_once() {
        let wait = Some(Duration::from_secs(120));
        let (count, failure) = attempts(&calls(2), far(), || failed(429, wait)).await;
        assert_eq!((count, failure.retry_after()), (1, wait));
    }

    #[tokio::test]
    async fn an_open_breaker_ends_the_retries() {
        let mut settings = EndpointSettings::new("http://localhost/v1", "m");
        settings.retries.first_delay = Duration::from_millis(1);
        settings.retries.max_retries = 9;
        settings.breaker.failures = 2;
        let calls = Calls::new(&settings, 1);
        let (count, failure) = attempts(&calls, far(), || failed(500, None)).await;
        assert_eq!(count, 2);
        assert!(matches!(failure, Failure::Status { .. }), "the cause is told, without waiting: {failure:?}");
        let (count, failure) = attempts(&calls, far(), || failed(500, None)).await;
        assert_eq!(count, 0);
        assert!(matches!(failure, Failure::Open { retry_after } if retry_after > Duration::from_secs(4)));
    }

    #[test]
    fn delays_double_up_to_the_longest_and_jitter_shortens_by_up_to_half() {
        for (retries, longest) in [(0, 2), (1, 4), (2, 8), (3, 8), (40, 8)] {
            let longest = Duration::from_millis(longest);
            let delay = calls(50).delay(&failed(500, None), retries, far()).expect("there is time");
            assert!(delay <= longest && delay >= longest / 2, "{retries}: {delay:?}");
        }
        let asked = Duration::from_millis(500);
        let delay = calls(50).delay(&failed(503, Some(asked)), 0, far()).expect("there is time");
        assert!(delay >= asked && delay <= asked + Duration::from_millis(2), "{delay:?}");
    }
}
