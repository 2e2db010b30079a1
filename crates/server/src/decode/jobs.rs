//! Which jobs.

use std::time::Duration;

use vectrion::v1;
use vectrion_core::{
    Error, Result,
    job::{JobState, Stage},
    ports::jobs::JobFilter,
};

use super::fields::{at_most, id};

/// Which jobs a list shows.
pub(crate) fn job_filter(document_id: &str, stages: &[String], states: &[i32]) -> Result<JobFilter> {
    let document = match document_id {
        "" => None,
        text => Some(id("document_id", text)?),
    };
    let stage = |text: &String| {
        text.parse::<Stage>()
            .map_err(|_| Error::invalid_field("stages", "holds process_document, embed_document and delete_document"))
    };
    let state = |number: &i32| {
        state_of(*number)
            .ok_or_else(|| Error::invalid_field("states", "holds states of jobs, such as JOB_STATE_RUNNING"))
    };
    Ok(JobFilter {
        document,
        stages: at_most("stages", stages.to_vec(), Stage::ALL.len())?.iter().map(stage).collect::<Result<_>>()?,
        states: at_most("states", states.to_vec(), JobState::ALL.len())?.iter().map(state).collect::<Result<_>>()?,
    })
}

fn state_of(number: i32) -> Option<JobState> {
    Some(match v1::JobState::try_from(number).ok()? {
        v1::JobState::Unspecified => return None,
        v1::JobState::Pending => JobState::Pending,
        v1::JobState::Running => JobState::Running,
        v1::JobState::Succeeded => JobState::Succeeded,
        v1::JobState::Failed => JobState::Failed,
        v1::JobState::Cancelled => JobState::Cancelled,
    })
}

/// How often a watch of the queues speaks.
pub(crate) fn watch_interval(field: &str, interval_ms: i32) -> Result<Duration> {
    let interval = u64::try_from(interval_ms).map_err(|_| Error::invalid_field(field, "must not be negative"))?;
    Ok(Duration::from_millis(if interval == 0 { 5000 } else { interval.clamp(500, 60_000) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fields::tests::field;

    #[test]
    fn nothing_means_any_job() {
        let filter = job_filter("", &[], &[]).expect("fine");
        assert!(filter.document.is_none() && filter.stages.is_empty() && filter.states.is_empty());
    }

    #[test]
    fn stages_and_states_are_known() {
        let stages: Vec<_> = Stage::ALL.iter().map(|stage| stage.as_str().to_owned()).collect();
        let filter = job_filter("", &stages, &[1, 2, 3, 4, 5]).expect("fine");
        assert_eq!(filter.stages, Stage::ALL);
        assert_eq!(filter.states, JobState::ALL);
        assert_eq!(field(job_filter("x", &[], &[])), "document_id");
        assert_eq!(field(job_filter("", &["upload".into()], &[])), "stages");
        assert_eq!(field(job_filter("", &[], &[0])), "states");
        assert_eq!(field(job_filter("", &[], &[2; 6])), "states");
    }

    #[test]
    fn an_interval_is_neither_too_short_nor_too_long() {
        let ms = |interval| watch_interval("interval_ms", interval).expect("fine").as_millis();
        assert_eq!([ms(0), ms(1), ms(700), ms(i32::MAX)], [5000, 500, 700, 60_000]);
        assert_eq!(field(watch_interval("interval_ms", -1)), "interval_ms");
    }
}
