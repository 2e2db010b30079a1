//! Queues.

use vectrion::v1;
use vectrion_core::ports::jobs::{EndedJobs, QueueStatus, RATE_MINUTES};

use super::values::{number, size};

/// The queue of each stage.
pub(crate) fn queues(queues: Vec<QueueStatus>) -> Vec<v1::Queue> {
    queues.into_iter().map(queue).collect()
}

fn queue(queue: QueueStatus) -> v1::Queue {
    let QueueStatus { depth, dead, ended } = queue;
    v1::Queue {
        stage: depth.stage.as_str().to_owned(),
        ready: size(depth.ready),
        delayed: size(depth.delayed),
        running: size(depth.running),
        dead: size(dead),
        oldest_ms: size(depth.oldest_ms),
        rates: RATE_MINUTES.into_iter().zip(ended).map(|(minutes, ended)| rate(minutes, ended)).collect(),
    }
}

fn rate(minutes: u32, ended: EndedJobs) -> v1::QueueRate {
    // Counts of a quarter of an hour are far below where a double becomes inexact.
    let per_minute = |count: u64| count as f64 / f64::from(minutes);
    v1::QueueRate {
        minutes: number(minutes),
        succeeded_per_minute: per_minute(ended.succeeded),
        failed_per_minute: per_minute(ended.failed),
        cancelled_per_minute: per_minute(ended.cancelled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_minute() {
        let shown = rate(5, EndedJobs { succeeded: 10, failed: 1, cancelled: 0 });
        assert_eq!((shown.minutes, shown.succeeded_per_minute, shown.failed_per_minute), (5, 2.0, 0.2));
    }
}
