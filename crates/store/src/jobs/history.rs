//! The tries of a job that have ended, kept with the job.

use serde_json::Value;
use vectrion_core::{
    ids::WorkerId,
    job::{JobState, JobTry, TryOutcome},
    time::Timestamp,
};

use crate::{failure::Outcome, rows::jobs};

/// The history with the try that ends now; as it is if nobody had the job in hand.
pub(super) fn with(row: &jobs::Model, outcome: TryOutcome, reason: Option<&str>, now: i64) -> Outcome<String> {
    let (Some(worker), Some(start)) = (&row.worker_id, row.start_time) else { return Ok(row.history.clone()) };
    if row.state != JobState::Running.as_str() {
        return Ok(row.history.clone());
    }
    let ended = JobTry {
        worker: WorkerId(worker.clone()),
        start_time: Timestamp(start),
        end_time: Timestamp(now),
        outcome,
        reason: reason.map(str::to_owned),
    };
    let mut tries = values(row);
    tries.push(serde_json::to_value(ended)?);
    tries.drain(..tries.len().saturating_sub(JobTry::KEPT));
    Ok(serde_json::to_string(&tries)?)
}

/// The tries of a row. One in a form that this program does not know is left out.
pub(super) fn of(row: &jobs::Model) -> Vec<JobTry> {
    values(row).into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect()
}

/// A history that cannot be read must not keep a job from ending.
fn values(row: &jobs::Model) -> Vec<Value> {
    serde_json::from_str(&row.history).unwrap_or_default()
}
