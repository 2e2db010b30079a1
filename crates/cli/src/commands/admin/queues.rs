//! `vectrion admin queues`.

use vectrion::{
    client::Client,
    v1::{ListQueuesRequest, Queue, WatchQueuesRequest},
};

use crate::{
    failure::Failure,
    output::{self, Output},
};

pub(super) async fn list(client: &Client, output: &Output, tenant: String) -> Result<(), Failure> {
    let response = client.admin().list_queues(ListQueuesRequest { tenant }).await?.into_inner();
    show(output, &response.queues)
}

/// Until the stream ends: the server's limit for a watch, or Ctrl-C.
pub(super) async fn watch(client: &Client, output: &Output, tenant: String, interval_ms: i32) -> Result<(), Failure> {
    let mut stream = client.admin().watch_queues(WatchQueuesRequest { tenant, interval_ms }).await?.into_inner();
    while let Some(message) = stream.message().await? {
        if output.is_json() {
            output.message("WatchQueuesResponse", &message, |_| String::new())?;
        } else {
            output.raw(&format!("{}\n", output::time(message.time.as_ref())))?;
            show(output, &message.queues)?;
        }
    }
    Ok(())
}

fn show(output: &Output, queues: &[Queue]) -> Result<(), Failure> {
    for queue in queues {
        output.message("Queue", queue, describe)?;
    }
    Ok(())
}

fn describe(queue: &Queue) -> String {
    let age = match queue.oldest_ms {
        0 => String::new(),
        ms => format!(", the oldest for {:.1} s", ms as f64 / 1000.0),
    };
    let rates: Vec<String> = queue
        .rates
        .iter()
        .map(|rate| format!("{} min {:.1}/{:.1}", rate.minutes, rate.succeeded_per_minute, rate.failed_per_minute))
        .collect();
    format!(
        "{:<16}  {} ready{age}, {} delayed, {} running, {} dead; done/failed a minute: {}",
        queue.stage,
        queue.ready,
        queue.delayed,
        queue.running,
        queue.dead,
        rates.join(", "),
    )
}
