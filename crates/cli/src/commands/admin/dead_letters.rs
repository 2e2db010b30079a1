//! `vectrion admin dead-letters`.

use std::io::{IsTerminal as _, Write as _};

use vectrion::{
    client::Client,
    v1::{
        DeadLetter, DeadLetterCause, DeadLetterFilter, GetDeadLetterRequest, ListDeadLetterCausesRequest,
        ListDeadLettersRequest, PurgeDeadLettersRequest, PurgeDeadLettersResponse, ReplayDeadLetterRequest,
        ReplayDeadLettersRequest, ReplayDeadLettersResponse,
    },
};

use super::PAGE;
use crate::{
    args::{DeadLetterFilterArgs, DeadLettersCommand},
    failure::Failure,
    output::{self, Output},
};

/// Ids that a call takes.
const IDS: usize = 500;

pub(super) async fn run(client: &Client, output: &Output, command: DeadLettersCommand) -> Result<(), Failure> {
    match command {
        DeadLettersCommand::List { filter, limit, tenant } => {
            list(client, output, tenant.tenant.unwrap_or_default(), filter, limit).await
        }
        DeadLettersCommand::Causes { filter, tenant } => {
            let tenant = tenant.tenant.unwrap_or_default();
            let request = ListDeadLetterCausesRequest { tenant, filter: Some(conditions(filter)) };
            for cause in &client.admin().list_dead_letter_causes(request).await?.into_inner().causes {
                output.message("DeadLetterCause", cause, describe_cause)?;
            }
            Ok(())
        }
        DeadLettersCommand::Show { id, tenant } => {
            let request = GetDeadLetterRequest { tenant: tenant.tenant.unwrap_or_default(), dead_letter_id: id };
            let letter = client.admin().get_dead_letter(request).await?.into_inner().dead_letter;
            output.message("DeadLetter", &letter.unwrap_or_default(), describe)
        }
        DeadLettersCommand::Replay { mut ids, filter, tenant } => {
            let tenant = tenant.tenant.unwrap_or_default();
            let filter = conditions(filter);
            if ids.len() == 1 && filter == DeadLetterFilter::default() {
                let dead_letter_id = ids.remove(0);
                let request = ReplayDeadLetterRequest { tenant, dead_letter_id, request_id: String::new() };
                let job = client.admin().replay_dead_letter(request).await?.into_inner().job;
                return output.message("Job", &job.unwrap_or_default(), super::jobs::describe);
            }
            replay(client, output, &tenant, &ids, filter).await
        }
        DeadLettersCommand::Purge { ids, filter, yes, tenant } => {
            let (tenant, filter) = (tenant.tenant.unwrap_or_default(), conditions(filter));
            if !yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
                let what = if ids.is_empty() {
                    "all that match".to_owned()
                } else {
                    output::counted(ids.len(), "dead letter")
                };
                eprint!("Forget {what}? Their documents stay failed. [y/N] ");
                std::io::stderr().flush()?;
                let mut answer = String::new();
                std::io::stdin().read_line(&mut answer)?;
                if !matches!(answer.trim(), "y" | "Y" | "yes") {
                    output::note("nothing was forgotten");
                    return Err(Failure::Partly);
                }
            }
            purge(client, output, &tenant, &ids, filter).await
        }
    }
}

fn conditions(args: DeadLetterFilterArgs) -> DeadLetterFilter {
    DeadLetterFilter {
        collection: args.collection.unwrap_or_default(),
        stage: args.stage.unwrap_or_default(),
        reason: args.reason.unwrap_or_default(),
        min_age_seconds: args.older_than.unwrap_or_default(),
    }
}

async fn list(
    client: &Client,
    output: &Output,
    tenant: String,
    filter: DeadLetterFilterArgs,
    limit: usize,
) -> Result<(), Failure> {
    let DeadLetterFilter { collection, stage, reason, min_age_seconds } = conditions(filter);
    let mut request = ListDeadLettersRequest {
        tenant,
        reason,
        page_size: PAGE,
        page_token: String::new(),
        collection,
        stage,
        min_age_seconds,
    };
    let mut left = limit;
    loop {
        let response = client.admin().list_dead_letters(request.clone()).await?.into_inner();
        for letter in response.dead_letters.iter().take(left) {
            output.message("DeadLetter", letter, describe)?;
        }
        left = left.saturating_sub(response.dead_letters.len());
        if response.next_page_token.is_empty() || left == 0 {
            return Ok(());
        }
        request.page_token = response.next_page_token;
    }
}

/// How many a call took in hand, did not find, and left.
struct Part {
    handled: i64,
    missing: i64,
    remaining: i64,
}

/// Calls for the ids in portions, or once without any when a filter selects, each until all that matched at the beginning
/// has been handled; what comes to match meanwhile is not among it. How many were handled, and how many are missing.
async fn handle_all(
    ids: &[String],
    mut call: impl AsyncFnMut(Vec<String>) -> Result<Part, Failure>,
) -> Result<(i64, i64), Failure> {
    let portions = if ids.is_empty() { vec![Vec::new()] } else { ids.chunks(IDS).map(<[String]>::to_vec).collect() };
    let (mut handled, mut missing) = (0, 0);
    for portion in portions {
        let mut left = i64::MAX;
        while left > 0 {
            let part = call(portion.clone()).await?;
            left = part.remaining.min(left.saturating_sub(part.handled + part.missing));
            handled += part.handled;
            missing += part.missing;
        }
    }
    Ok((handled, missing))
}

async fn replay(
    client: &Client,
    output: &Output,
    tenant: &str,
    ids: &[String],
    filter: DeadLetterFilter,
) -> Result<(), Failure> {
    let (replayed_count, missing_count) = handle_all(ids, async |dead_letter_ids| {
        let request = ReplayDeadLettersRequest {
            tenant: tenant.to_owned(),
            dead_letter_ids,
            filter: Some(filter.clone()),
            request_id: String::new(),
        };
        let part = client.admin().replay_dead_letters(request).await?.into_inner();
        Ok(Part { handled: part.replayed_count, missing: part.missing_count, remaining: part.remaining_count })
    })
    .await?;
    let sum = ReplayDeadLettersResponse { replayed_count, missing_count, ..ReplayDeadLettersResponse::default() };
    output.message("ReplayDeadLettersResponse", &sum, |sum: &ReplayDeadLettersResponse| {
        format!("{} again, {} not there any more", jobs_run(sum.replayed_count), sum.missing_count)
    })
}

async fn purge(
    client: &Client,
    output: &Output,
    tenant: &str,
    ids: &[String],
    filter: DeadLetterFilter,
) -> Result<(), Failure> {
    let (purged_count, missing_count) = handle_all(ids, async |dead_letter_ids| {
        let request = PurgeDeadLettersRequest {
            tenant: tenant.to_owned(),
            dead_letter_ids,
            filter: Some(filter.clone()),
            request_id: String::new(),
        };
        let part = client.admin().purge_dead_letters(request).await?.into_inner();
        Ok(Part { handled: part.purged_count, missing: part.missing_count, remaining: part.remaining_count })
    })
    .await?;
    let sum = PurgeDeadLettersResponse { purged_count, missing_count, ..PurgeDeadLettersResponse::default() };
    output.message("PurgeDeadLettersResponse", &sum, |sum: &PurgeDeadLettersResponse| {
        format!("{} forgotten, {} not there any more", sum.purged_count, sum.missing_count)
    })
}

fn jobs_run(count: i64) -> String {
    if count == 1 { "1 job runs".to_owned() } else { format!("{count} jobs run") }
}

fn describe(letter: &DeadLetter) -> String {
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

fn describe_cause(cause: &DeadLetterCause) -> String {
    let example = cause.example.clone().unwrap_or_default();
    format!(
        "{:>6}  {:<16}  {}  {} - {}\n        such as {}: {}",
        cause.count,
        cause.stage,
        cause.reason,
        output::time(cause.first_time.as_ref()),
        output::time(cause.last_time.as_ref()),
        example.dead_letter_id,
        example.message
    )
}
