//! Which jobs and dead letters.

use vectrion::v1;
use vectrion_core::{
    Error, Result,
    job::{JobState, Stage},
    ports::jobs::JobFilter,
};

use super::fields::{at_most, id};

/// Bytes of a reason at the most.
const MAX_REASON_BYTES: usize = 128;

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

/// A reason to look for; none if it is empty.
pub(crate) fn reason<'a>(field: &str, text: &'a str) -> Result<Option<&'a str>> {
    if text.len() > MAX_REASON_BYTES {
        return Err(Error::invalid_field(field, format!("has at most {MAX_REASON_BYTES} bytes")));
    }
    Ok((!text.is_empty()).then_some(text))
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
        assert_eq!(field(reason("reason", &"X".repeat(129))), "reason");
    }
}
