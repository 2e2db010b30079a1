//! Jobs, dead letters, workers.

use std::time::Duration;

use vectrion::v1;
use vectrion_core::{
    job::{DeadLetter, Job, JobState, Worker},
    time::Timestamp,
};

use super::values::{number, time};

/// A worker says every few seconds that it lives.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// A job.
pub(crate) fn job(job: Job) -> v1::Job {
    v1::Job {
        job_id: job.id.to_string(),
        document_id: job.document.to_string(),
        stage: job.payload.stage().as_str().to_owned(),
        state: state(job.state).into(),
        attempts: number(job.attempts),
        max_attempts: number(job.max_attempts),
        lease_expire_time: job.lease_expire_time.map(time),
        worker_id: job.worker.map(|worker| worker.0).unwrap_or_default(),
        last_error: job.last_error.unwrap_or_default(),
        create_time: Some(time(job.create_time)),
        start_time: job.start_time.map(time),
        end_time: job.end_time.map(time),
        interruptions: number(job.interruptions),
        trace_id: job.trace_id,
        run_time: Some(time(job.run_time)),
    }
}

fn state(state: JobState) -> v1::JobState {
    match state {
        JobState::Pending => v1::JobState::Pending,
        JobState::Running => v1::JobState::Running,
        JobState::Succeeded => v1::JobState::Succeeded,
        JobState::Failed => v1::JobState::Failed,
        JobState::Cancelled => v1::JobState::Cancelled,
    }
}

/// A dead letter.
pub(crate) fn dead_letter(letter: DeadLetter) -> v1::DeadLetter {
    v1::DeadLetter {
        dead_letter_id: letter.id.to_string(),
        job_id: letter.job.to_string(),
        document_id: letter.document.to_string(),
        stage: letter.stage.as_str().to_owned(),
        reason: letter.reason,
        message: letter.message,
        attempts: number(letter.attempts),
        trace_id: letter.trace_id,
        create_time: Some(time(letter.create_time)),
    }
}

/// A worker as it is now.
pub(crate) fn worker(worker: Worker, now: Timestamp) -> v1::Worker {
    let state = if now.since(worker.heartbeat_time) > LOST_AFTER {
        v1::WorkerState::Lost
    } else if worker.draining {
        v1::WorkerState::Draining
    } else {
        v1::WorkerState::Active
    };
    v1::Worker {
        worker_id: worker.id.0,
        host: worker.host,
        stages: worker.stages.iter().map(|stage| stage.as_str().to_owned()).collect(),
        state: state.into(),
        current_jobs: worker.current_jobs.iter().map(ToString::to_string).collect(),
        start_time: Some(time(worker.start_time)),
        heartbeat_time: Some(time(worker.heartbeat_time)),
    }
}

#[cfg(test)]
mod tests {
    use vectrion_core::ids::WorkerId;

    use super::*;

    #[test]
    fn a_silent_worker_is_lost_whatever_it_said_last() {
        let state = |draining, silent_s: i64| {
            let worker = Worker {
                id: WorkerId("host:1:x".into()),
                host: "host".into(),
                stages: Vec::new(),
                draining,
                current_jobs: Vec::new(),
                start_time: Timestamp(0),
                heartbeat_time: Timestamp(1_000_000),
            };
            super::worker(worker, Timestamp(1_000_000 + 1000 * silent_s)).state()
        };
        assert_eq!(state(false, 5), v1::WorkerState::Active);
        assert_eq!(state(true, 5), v1::WorkerState::Draining);
        assert_eq!(state(true, 31), v1::WorkerState::Lost);
        assert_eq!(state(false, -600), v1::WorkerState::Active);
    }
}
