//! Jobs, dead letters, workers.

use std::time::Duration;

use vectrion::v1;
use vectrion_core::{
    job::{CurrentJob, DeadLetter, DeadLetterCause, Job, JobState, JobTry, TryOutcome, Worker},
    time::Timestamp,
};

use super::values::{number, size, time};

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
        history: Vec::new(),
    }
}

/// A job with the tries that have ended.
pub(crate) fn job_with_history(mut job: Job) -> v1::Job {
    let history = std::mem::take(&mut job.history).into_iter().map(ended_try).collect();
    v1::Job { history, ..self::job(job) }
}

fn ended_try(ended: JobTry) -> v1::JobTry {
    let outcome = match ended.outcome {
        TryOutcome::Succeeded => v1::JobTryOutcome::Succeeded,
        TryOutcome::Retried => v1::JobTryOutcome::Retried,
        TryOutcome::PutOff => v1::JobTryOutcome::PutOff,
        TryOutcome::Released => v1::JobTryOutcome::Released,
        TryOutcome::Interrupted => v1::JobTryOutcome::Interrupted,
        TryOutcome::Failed => v1::JobTryOutcome::Failed,
        TryOutcome::Cancelled => v1::JobTryOutcome::Cancelled,
    };
    v1::JobTry {
        worker_id: ended.worker.0,
        start_time: Some(time(ended.start_time)),
        end_time: Some(time(ended.end_time)),
        outcome: outcome.into(),
        reason: ended.reason.unwrap_or_default(),
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

/// Why jobs were given up.
pub(crate) fn dead_letter_cause(cause: DeadLetterCause) -> v1::DeadLetterCause {
    v1::DeadLetterCause {
        stage: cause.stage.as_str().to_owned(),
        reason: cause.reason,
        count: size(cause.count),
        first_time: Some(time(cause.first_time)),
        last_time: Some(time(cause.last_time)),
        example: Some(dead_letter(cause.example)),
    }
}

fn worker_job(job: CurrentJob) -> v1::WorkerJob {
    v1::WorkerJob {
        job_id: job.id.to_string(),
        tenant_id: job.tenant.to_string(),
        document_id: job.document.to_string(),
        stage: job.stage.as_str().to_owned(),
        start_time: Some(time(job.start_time)),
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
        current_jobs: worker.current_jobs.iter().map(|job| job.id.to_string()).collect(),
        jobs: worker.current_jobs.into_iter().map(worker_job).collect(),
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
