//! Percentiles.

use std::time::Duration;

use serde_json::{Value, json};

/// Median, 99th percentile and maximum, in milliseconds.
pub(crate) fn milliseconds(times: Vec<Duration>) -> Value {
    of(times.into_iter().map(|time| time.as_secs_f64() * 1e3).collect())
}

/// Median, 99th percentile and maximum; null without values.
pub(crate) fn of(mut values: Vec<f64>) -> Value {
    values.sort_by(f64::total_cmp);
    let (Some(p50), Some(p99)) = (nearest_rank(&values, 50), nearest_rank(&values, 99)) else { return Value::Null };
    json!({ "p50": p50, "p99": p99, "max": values.last(), "count": values.len() })
}

/// The smallest value that so many per cent of the values do not exceed.
fn nearest_rank(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(nearest_rank(&sorted, 50), Some(100.0));
        assert_eq!(nearest_rank(&sorted, 99), Some(198.0));
        assert_eq!(nearest_rank(&[7.0], 99), Some(7.0));
        assert_eq!(nearest_rank(&[], 50), None);
        assert_eq!(of(vec![3.0, 1.0, 2.0])["p50"], 2.0);
        assert!(of(Vec::new()).is_null());
    }
}
