//! `vectrion admin`.

mod collections;
mod dead_letters;
mod jobs;
mod lifecycle;
mod queues;
mod reconcile;
mod tenants;

use vectrion::client::Client;
use vectrion::v1::{GetServerInfoRequest, GetServerInfoResponse, ListWorkersRequest, Worker};

use crate::{
    args::AdminCommand,
    failure::Failure,
    output::{self, Output},
};

/// Rows asked for at once.
const PAGE: i32 = 200;

pub(crate) async fn run(client: &Client, output: &Output, command: AdminCommand) -> Result<(), Failure> {
    match command {
        AdminCommand::Tenants(command) => tenants::run(client, output, command).await,
        AdminCommand::Collections(command) => collections::run(client, output, command).await,
        AdminCommand::Jobs(command) => jobs::run(client, output, command).await,
        AdminCommand::DeadLetters(command) => dead_letters::run(client, output, command).await,
        AdminCommand::Queues { watch: false, tenant, .. } => {
            queues::list(client, output, tenant.tenant.unwrap_or_default()).await
        }
        AdminCommand::Queues { watch: true, interval_ms, tenant } => {
            queues::watch(client, output, tenant.tenant.unwrap_or_default(), interval_ms).await
        }
        AdminCommand::Workers => {
            let response = client.admin().list_workers(ListWorkersRequest {}).await?.into_inner();
            for worker in &response.workers {
                output.message("Worker", worker, describe_worker)?;
            }
            Ok(())
        }
        AdminCommand::Lifecycle(command) => lifecycle::run(client, output, command).await,
        AdminCommand::Reconcile(args) => reconcile::run(client, output, args).await,
        AdminCommand::Info => {
            let response = client.admin().get_server_info(GetServerInfoRequest {}).await?.into_inner();
            output.message("GetServerInfoResponse", &response, describe_info)
        }
    }
}

fn describe_worker(worker: &Worker) -> String {
    let state = worker.state().as_str_name().trim_start_matches("WORKER_STATE_").to_lowercase();
    let mut lines = vec![format!(
        "{}  {state}  {}  {}  since {}, heard of {}",
        worker.worker_id,
        worker.stages.join(","),
        output::counted(worker.current_jobs.len(), "job"),
        output::time(worker.start_time.as_ref()),
        output::time(worker.heartbeat_time.as_ref()),
    )];
    lines.extend(worker.jobs.iter().map(|job| {
        let since = output::time(job.start_time.as_ref());
        format!("  {}  {:<16}  document {}  since {since}", job.job_id, job.stage, job.document_id)
    }));
    lines.join("\n")
}

fn describe_info(info: &GetServerInfoResponse) -> String {
    let mut lines = vec![
        format!("version          {}", info.version),
        format!("started          {}", output::time(info.start_time.as_ref())),
        format!("embedding model  {} ({} dimensions)", info.embedding_model, info.embedding_dimension),
        format!("chat model       {}", info.chat_model),
        format!("chunker          {}", info.chunker),
        format!("largest document {} bytes", info.max_document_bytes),
        format!("types            {}", info.content_types.join(", ")),
    ];
    let mut backends: Vec<_> = info.backends.iter().collect();
    backends.sort();
    lines.extend(backends.into_iter().map(|(name, kind)| format!("{name:<16} {kind}")));
    lines.extend(info.queues.iter().map(|queue| {
        format!("{:<16} {} ready, {} delayed, {} running", queue.stage, queue.ready, queue.delayed, queue.running)
    }));
    lines.join("\n")
}
