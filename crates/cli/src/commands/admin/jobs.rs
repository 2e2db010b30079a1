//! `vectrion admin jobs`.

use vectrion::client::Client;
use vectrion::v1::{GetJobRequest, Job, JobState, ListJobsRequest};

use super::PAGE;
use crate::{
    args::{JobStateName, JobsCommand},
    failure::Failure,
    output::{self, Output},
};

pub(super) async fn run(client: &Client, output: &Output, command: JobsCommand) -> Result<(), Failure> {
    let mut admin = client.admin();
    match command {
        JobsCommand::Show { id, tenant } => {
            let request = GetJobRequest { tenant: tenant.tenant.unwrap_or_default(), job_id: id };
            let job = admin.get_job(request).await?.into_inner().job;
            output.message("Job", &job.unwrap_or_default(), detail)
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

fn job_state(state: JobStateName) -> JobState {
    match state {
        JobStateName::Pending => JobState::Pending,
        JobStateName::Running => JobState::Running,
        JobStateName::Succeeded => JobState::Succeeded,
        JobStateName::Failed => JobState::Failed,
        JobStateName::Cancelled => JobState::Cancelled,
    }
}

pub(super) fn describe(job: &Job) -> String {
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

fn detail(job: &Job) -> String {
    let mut lines = vec![describe(job)];
    for ended in &job.history {
        let outcome = ended.outcome().as_str_name().trim_start_matches("JOB_TRY_OUTCOME_").to_lowercase();
        lines.push(format!(
            "  {} - {}  {outcome:<11}  {}  {}",
            output::time(ended.start_time.as_ref()),
            output::time(ended.end_time.as_ref()),
            ended.worker_id,
            ended.reason,
        ));
    }
    if job.state() == JobState::Running {
        let since = output::time(job.start_time.as_ref());
        lines.push(format!("  {since} -  {:<11}  {}", "running", job.worker_id));
    }
    lines.join("\n")
}
