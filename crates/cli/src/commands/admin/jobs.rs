//! `vectrion admin jobs` and `vectrion admin dead-letters`.

use vectrion::client::Client;
use vectrion::v1::{
    DeadLetter, GetDeadLetterRequest, GetJobRequest, Job, JobState, ListDeadLettersRequest, ListJobsRequest,
    ReplayDeadLetterRequest,
};

use super::PAGE;
use crate::{
    args::{DeadLettersCommand, JobStateName, JobsCommand},
    failure::Failure,
    output::{self, Output},
};

pub(super) async fn run(client: &Client, output: &Output, command: JobsCommand) -> Result<(), Failure> {
    let mut admin = client.admin();
    match command {
        JobsCommand::Show { id, tenant } => {
            let request = GetJobRequest { tenant: tenant.tenant.unwrap_or_default(), job_id: id };
            let job = admin.get_job(request).await?.into_inner().job;
            output.message("Job", &job.unwrap_or_default(), describe)
        }
        JobsCommand::List { document, stage, state, limit, tenant } => {
            let tenant = tenant.tenant.unwrap_or_default();
            let document_id = document.unwrap_or_default();
            let states: Vec<i32> = state.into_iter().map(|state| job_state(state).into()).collect();
            let mut page_token = String::new();
            let mut left = limit;
            loop {
                let request = ListJobsRequest {
                    tenant: tenant.clone(),
                    document_id: document_id.clone(),
                    stages: stage.clone(),
                    states: states.clone(),
                    page_size: PAGE,
                    page_token,
                };
                let response = admin.list_jobs(request).await?.into_inner();
                for job in response.jobs.iter().take(left) {
                    output.message("Job", job, describe)?;
                }
                left = left.saturating_sub(response.jobs.len());
                page_token = response.next_page_token;
                if page_token.is_empty() || left == 0 {
                    return Ok(());
                }
            }
        }
    }
}

pub(super) async fn dead_letters(client: &Client, output: &Output, command: DeadLettersCommand) -> Result<(), Failure> {
    let mut admin = client.admin();
    match command {
        DeadLettersCommand::Show { id, tenant } => {
            let request = GetDeadLetterRequest { tenant: tenant.tenant.unwrap_or_default(), dead_letter_id: id };
            let letter = admin.get_dead_letter(request).await?.into_inner().dead_letter;
            output.message("DeadLetter", &letter.unwrap_or_default(), describe_letter)
        }
        DeadLettersCommand::Replay { id, tenant } => {
            let request = ReplayDeadLetterRequest {
                tenant: tenant.tenant.unwrap_or_default(),
                dead_letter_id: id,
                request_id: String::new(),
            };
            let job = admin.replay_dead_letter(request).await?.into_inner().job;
            output.message("Job", &job.unwrap_or_default(), describe)
        }
        DeadLettersCommand::List { reason, limit, tenant } => {
            let tenant = tenant.tenant.unwrap_or_default();
            let reason = reason.unwrap_or_default();
            let mut page_token = String::new();
            let mut left = limit;
            loop {
                let request = ListDeadLettersRequest {
                    tenant: tenant.clone(),
                    reason: reason.clone(),
                    page_size: PAGE,
                    page_token,
                };
                let response = admin.list_dead_letters(request).await?.into_inner();
                for letter in response.dead_letters.iter().take(left) {
                    output.message("DeadLetter", letter, describe_letter)?;
                }
                left = left.saturating_sub(response.dead_letters.len());
                page_token = response.next_page_token;
                if page_token.is_empty() || left == 0 {
                    return Ok(());
                }
            }
        }
    }
}

fn job_state(state: JobStateName) -> JobState {
    match state {
        JobStateName::Pending => JobState::Pending,
        JobStateName::Running => JobState::Running,
        JobStateName::Succeeded => JobState::Succeeded,
        JobStateName::Failed => JobState::Failed,
        JobStateName::Cancelled => JobState::Cancelled,
    }
}

fn describe(job: &Job) -> String {
    let state = job.state().as_str_name().trim_start_matches("JOB_STATE_").to_lowercase();
    format!(
        "{}  {:<16}  {state:<9}  try {}/{}  document {}  {}  {}",
        job.job_id,
        job.stage,
        job.attempts,
        job.max_attempts,
        job.document_id,
        output::time(job.create_time.as_ref()),
        job.last_error
    )
}

fn describe_letter(letter: &DeadLetter) -> String {
    format!(
        "{}  {:<16}  {}  document {}  {}  after {} tries: {}",
        letter.dead_letter_id,
        letter.stage,
        letter.reason,
        letter.document_id,
        output::time(letter.create_time.as_ref()),
        letter.attempts,
        letter.message
    )
}
