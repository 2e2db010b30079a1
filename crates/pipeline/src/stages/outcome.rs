//! What becomes of a job whose try has ended.

use std::{future::Future, time::Duration};

use vectrion_core::{
    Error, ErrorKind, Result,
    document::Failure,
    job::{Lease, Stage},
};

use super::Stages;
use crate::settings::spread;

/// Wait before a job that was put off is tried again, spread like the waits between tries.
const PUT_OFF_WAIT: Duration = Duration::from_secs(15);
/// Waits between the tries to write an outcome.
const WRITE_WAITS: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];
/// The longest wait that a dependency can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// How a try of a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded,
    Retried,
    PutOff,
    Failed,
    Cancelled,
    /// Another worker has the job, or it was given up on.
    Lost,
}

impl Outcome {
    /// The label in the metrics.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Retried => "retried",
            Self::PutOff => "put_off",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Leave,
    Cancel,
    PutOff,
    Retry,
    GiveUp,
}

/// What a try that failed can be blamed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// A service that was asked beside the work, and cannot be used now.
    Service,
    /// No document, as long as a service is away: every step of a deletion can be done again.
    Deletion,
    /// The document, for all that is known.
    Document,
}

fn verdict(error: &Error, blame: Blame, attempts: u32, max_attempts: u32) -> Verdict {
    let away = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::DeadlineExceeded);
    match error.reason() {
        "LEASE_LOST" => Verdict::Leave,
        "DOCUMENT_DELETING" | "JOB_CANCELLED" => Verdict::Cancel,
        "STORAGE_FULL" if error.kind() == ErrorKind::ResourceExhausted => Verdict::PutOff,
        // A statement that takes too long does count: it may be the document's size.
        "TRANSACTION_CONFLICT" | "DATABASE_UNAVAILABLE" | "DATABASE_BUSY" => Verdict::PutOff,
        // Credentials that are refused are an operator's to mend, not a matter of the documents that came meanwhile.
        _ if blame == Blame::Service || (blame == Blame::Deletion && away) => Verdict::PutOff,
        _ if error.is_transient() && attempts < max_attempts => Verdict::Retry,
        _ => Verdict::GiveUp,
    }
}

impl Stages {
    /// Writes what became of the try, unless the lease was lost.
    pub(super) async fn settle(
        &self,
        lease: &Lease,
        result: Result<Outcome>,
        blame: Blame,
        jitter: f64,
    ) -> Result<Outcome> {
        let error = match result {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        let job = &lease.job;
        let jobs = &self.ports.jobs;
        let verdict = verdict(&error, blame, job.attempts, job.max_attempts);
        match verdict {
            Verdict::Leave | Verdict::Cancel => {
                tracing::debug!(job_id = %job.id, reason = error.reason(), "a job was taken away");
            }
            Verdict::PutOff | Verdict::Retry | Verdict::GiveUp => tracing::warn!(
                job_id = %job.id,
                attempt = job.attempts,
                max_attempts = job.max_attempts,
                gives_up = verdict == Verdict::GiveUp,
                reason = error.reason(),
                ?error,
                "a try of a job failed"
            ),
        }
        let asked = error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX);
        let (outcome, written) = match verdict {
            Verdict::Leave => (Outcome::Lost, Ok(())),
            Verdict::Cancel => (Outcome::Cancelled, persist(|| jobs.cancel(lease)).await),
            Verdict::PutOff => {
                let full = error.reason() == "STORAGE_FULL";
                let longest = if full { PUT_OFF_WAIT } else { Duration::from_millis(self.settings.retry_max_ms) };
                let delay = spread(PUT_OFF_WAIT.min(longest), jitter).max(asked);
                (Outcome::PutOff, persist(|| jobs.put_off(lease, &error, delay)).await)
            }
            Verdict::Retry => {
                let delay = self.settings.retry_delay(job.attempts, jitter).max(asked);
                (Outcome::Retried, persist(|| jobs.retry_later(lease, &error, delay)).await)
            }
            Verdict::GiveUp => {
                let failure = Failure {
                    stage: job.payload.stage().as_str().to_owned(),
                    reason: error.reason().to_owned(),
                    message: error.message().to_owned(),
                    attempts: job.attempts,
                };
                let written = persist(|| jobs.fail(lease, failure.clone())).await;
                (Outcome::Failed, written.map(|_dead_letter| ()))
            }
        };
        if verdict == Verdict::Cancel {
            // What the work left behind is to be removed.
            self.ports.wake(Stage::DeleteDocument).await;
        }
        match written {
            Ok(()) => Ok(outcome),
            // The job was taken away meanwhile, or its document is being deleted: there is nothing left to write.
            Err(error) if error.reason() == "LEASE_LOST" && verdict == Verdict::Cancel => Ok(Outcome::Cancelled),
            Err(error) if error.reason() == "LEASE_LOST" => Ok(Outcome::Lost),
            Err(error) if matches!(error.reason(), "DOCUMENT_DELETING" | "JOB_CANCELLED") => Ok(Outcome::Cancelled),
            Err(error) => Err(error),
        }
    }
}

/// Writes an outcome, trying again for a few seconds when the database is out of reach.
async fn persist<T, F>(write: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut waits = WRITE_WAITS.iter();
    loop {
        match write().await {
            Err(error)
                if error.is_transient()
                    && !matches!(error.reason(), "LEASE_LOST" | "DOCUMENT_DELETING" | "JOB_CANCELLED") =>
            {
                match waits.next() {
                    Some(wait) => tokio::time::sleep(*wait).await,
                    None => return Err(error),
                }
            }
            written => return written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transient_errors_are_tried_again_until_the_last_try() {
        let down = Error::unavailable("PARSER_BUSY", "down");
        assert_eq!(verdict(&down, Blame::Document, 1, 3), Verdict::Retry);
        assert_eq!(verdict(&down, Blame::Document, 2, 3), Verdict::Retry);
        assert_eq!(verdict(&down, Blame::Document, 3, 3), Verdict::GiveUp);
        let slow = Error::new(ErrorKind::DeadlineExceeded, "DATABASE_TIMEOUT", "slow");
        assert_eq!(verdict(&slow, Blame::Document, 3, 3), Verdict::GiveUp);
    }

    #[test]
    fn a_database_that_is_away_costs_no_tries() {
        let away = Error::unavailable("DATABASE_UNAVAILABLE", "away");
        let conflict = Error::new(ErrorKind::Aborted, "TRANSACTION_CONFLICT", "lost");
        for error in [away, conflict] {
            assert_eq!(verdict(&error, Blame::Document, 3, 3), Verdict::PutOff);
            assert_eq!(verdict(&error, Blame::Deletion, 3, 3), Verdict::PutOff);
        }
    }

    #[test]
    fn what_a_service_is_to_blame_for_costs_no_tries() {
        let down = Error::unavailable("VECTOR_INDEX_UNAVAILABLE", "down");
        let refused = Error::precondition("VECTOR_INDEX_UNAUTHORIZED", "refused");
        for error in [&down, &refused] {
            assert_eq!(verdict(error, Blame::Service, 3, 3), Verdict::PutOff);
        }
        assert_eq!(verdict(&down, Blame::Deletion, 3, 3), Verdict::PutOff);
        assert_eq!(verdict(&refused, Blame::Deletion, 1, 3), Verdict::GiveUp);
        let lost = Error::new(ErrorKind::Aborted, "LEASE_LOST", "lost");
        assert_eq!(verdict(&lost, Blame::Service, 1, 3), Verdict::Leave);
    }

    #[test]
    fn permanent_errors_give_up_at_once() {
        let bad = Error::precondition("PDF_PASSWORD_REQUIRED", "locked");
        assert_eq!(verdict(&bad, Blame::Document, 1, 3), Verdict::GiveUp);
        let lost = Error::new(ErrorKind::DataLoss, "OBJECT_CORRUPT", "damaged");
        assert_eq!(verdict(&lost, Blame::Document, 1, 3), Verdict::GiveUp);
    }

    #[test]
    fn a_full_disk_costs_no_tries_and_a_lost_lease_writes_nothing() {
        let full = Error::new(ErrorKind::ResourceExhausted, "STORAGE_FULL", "full");
        assert_eq!(verdict(&full, Blame::Document, 3, 3), Verdict::PutOff);
        let lost = Error::new(ErrorKind::Aborted, "LEASE_LOST", "lost");
        assert_eq!(verdict(&lost, Blame::Document, 1, 3), Verdict::Leave);
        let deleting = Error::new(ErrorKind::Aborted, "DOCUMENT_DELETING", "deleting");
        assert_eq!(verdict(&deleting, Blame::Document, 3, 3), Verdict::Cancel);
        let cancelled = Error::new(ErrorKind::Aborted, "JOB_CANCELLED", "cancelled");
        assert_eq!(verdict(&cancelled, Blame::Document, 1, 3), Verdict::Cancel);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outcome_is_written_again_while_the_database_is_out_of_reach() {
        let tries = std::cell::Cell::new(0);
        let write = || {
            tries.set(tries.get() + 1);
            let now = tries.get();
            async move { if now < 3 { Err(Error::unavailable("DATABASE_DOWN", "down")) } else { Ok(now) } }
        };
        assert_eq!(persist(write).await.expect("the third try"), 3);

        let never = || async { Err::<(), _>(Error::unavailable("DATABASE_DOWN", "down")) };
        assert_eq!(persist(never).await.expect_err("four tries").reason(), "DATABASE_DOWN");
    }
}
