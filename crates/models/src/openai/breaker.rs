//! Circuit breaker.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::BreakerSettings;

/// What an attempt says about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answers, be it with a refusal.
    Alive,
    /// It began to answer. Whether it can finish is reported when the stream ends.
    Begun,
    /// It fails.
    Failing,
    /// Nothing, as when the caller left or ran out of time: a caller's short deadline must not shut out the others.
    Unknown,
}

/// Counts failures in a row.
#[derive(Debug)]
pub(crate) struct Breaker {
    model: String,
    settings: BreakerSettings,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen,
}

/// Leave to make one attempt. Dropped without a report, it says nothing about the endpoint.
#[derive(Debug)]
#[must_use]
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    probe: bool,
    reported: bool,
}

impl Breaker {
    /// `model` is for the log.
    pub(crate) fn new(model: &str, settings: BreakerSettings) -> Self {
        Self { model: model.to_owned(), settings, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// Leave for an attempt, or the time after which to ask again.
    pub(crate) fn enter(&self, now: Instant) -> Result<Permit<'_>, Duration> {
        let mut state = self.lock();
        let probe = match *state {
            State::Closed { .. } => false,
            State::Open { until } if now >= until => {
                *state = State::HalfOpen;
                true
            }
            State::Open { until } => return Err(until - now),
            State::HalfOpen => return Err(self.settings.pause),
        };
        Ok(Permit { breaker: self, probe, reported: false })
    }

    /// Whether an attempt would be refused now.
    pub(crate) fn refuses(&self, now: Instant) -> bool {
        match *self.lock() {
            State::Closed { .. } => false,
            State::Open { until } => now < until,
            State::HalfOpen => true,
        }
    }

    /// How a stream ended whose attempt was reported as begun.
    pub(crate) fn ended(&self, health: Health, now: Instant) {
        self.record(health, false, now);
    }

    fn record(&self, health: Health, probe: bool, now: Instant) {
        let mut state = self.lock();
        let opened = State::Open { until: now + self.settings.pause };
        match (*state, health) {
            (State::Closed { .. }, Health::Alive) => *state = State::Closed { failures: 0 },
            (State::Closed { failures }, Health::Failing) if failures + 1 >= self.settings.failures => {
                *state = opened;
                let pause_ms = millis(self.settings.pause);
                tracing::warn!(model = self.model, failures = failures + 1, pause_ms, "model breaker opened");
            }
            (State::Closed { failures }, Health::Failing) => *state = State::Closed { failures: failures + 1 },
            (State::HalfOpen, Health::Alive | Health::Begun) if probe => {
                *state = State::Closed { failures: 0 };
                tracing::info!(model = self.model, "model breaker closed");
            }
            (State::HalfOpen, Health::Failing) if probe => *state = opened,
            // The next call may try at once: this one told nothing.
            (State::HalfOpen, Health::Unknown) if probe => *state = State::Open { until: now },
            // Attempts that began before it opened no longer count.
            (State::Open { .. } | State::HalfOpen, _) | (State::Closed { .. }, Health::Begun | Health::Unknown) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is a plain value that each writer replaces whole, so that a panic elsewhere leaves it valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    pub(crate) fn report(mut self, health: Health, now: Instant) {
        self.reported = true;
        self.breaker.record(health, self.probe, now);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.reported {
            self.breaker.record(Health::Unknown, self.probe, Instant::now());
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn breaker() -> Breaker {
        Breaker::new("m", BreakerSettings { failures: 3, pause: PAUSE })
    }

    fn fail(breaker: &Breaker, times: u32, now: Instant) {
        for _ in 0..times {
            breaker.enter(now).expect("closed").report(Health::Failing, now);
        }
    }

    #[test]
    fn opens_after_failures_in_a_row_and_says_for_how_long() {
        let (breaker, now) = (breaker(), Instant::now());
        fail(&breaker, 2, now);
        breaker.enter(now).unwrap().report(Health::Alive, now);
        fail(&breaker, 2, now);
        assert!(!breaker.refuses(now), "a success between them starts the count again");
        fail(&breaker, 1, now);
        assert_eq!(breaker.enter(now + Duration::from_secs(2)).unwrap_err(), Duration::from_secs(3));
    }

    #[test]
    fn lets_one_probe_through_whose_outcome_decides() {
        let (breaker, now) = (breaker(), Instant::now());
        fail(&breaker, 3, now);
        let later = now + PAUSE;
        let probe = breaker.enter(later).unwrap();
        assert_eq!(breaker.enter(later).unwrap_err(), PAUSE, "one probe at a time");
        probe.report(Health::Failing, later);
        assert!(breaker.refuses(later + PAUSE / 2), "a failed probe opens it again");
        breaker.enter(later + PAUSE).unwrap().report(Health::Alive, later);
        fail(&breaker, 2, later);
        assert!(!breaker.refuses(later), "a probe that worked closes it and clears the count");
    }

    #[test]
    fn streams_that_begin_and_never_end_well_open_it() {
        let (breaker, now) = (breaker(), Instant::now());
        for _ in 0..3 {
            breaker.enter(now).expect("closed").report(Health::Begun, now);
            breaker.ended(Health::Failing, now);
        }
        assert!(breaker.refuses(now));
        breaker.enter(now + PAUSE).unwrap().report(Health::Begun, now + PAUSE);
        assert!(!breaker.refuses(now + PAUSE), "others need not wait until the probe's answer is complete");
    }

    #[test]
    fn a_dropped_probe_does_not_keep_it_half_open() {
        let (breaker, now) = (breaker(), Instant::now().checked_sub(PAUSE * 2).unwrap());
        fail(&breaker, 3, now);
        drop(breaker.enter(now + PAUSE).unwrap());
        assert!(breaker.enter(Instant::now()).is_ok());
    }

    #[test]
    fn what_says_nothing_counts_nothing_and_late_reports_are_ignored() {
        let (breaker, now) = (breaker(), Instant::now());
        for _ in 0..10 {
            breaker.enter(now).unwrap().report(Health::Unknown, now);
        }
        let early = breaker.enter(now).unwrap();
        fail(&breaker, 3, now);
        early.report(Health::Alive, now);
        assert!(breaker.refuses(now));
    }
}
