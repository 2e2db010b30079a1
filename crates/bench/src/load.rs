//! Searching: under load, and once for each question.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;
use tonic::Code;
use vectrion::{
    client::Client,
    v1::{RetrieveRequest, RetrieveResponse, SearchMode},
};

use crate::{
    Target, figures,
    questions::{self, Question},
};

#[derive(Args)]
pub(crate) struct LoadArguments {
    #[command(flatten)]
    target: Target,
    /// Callers at once.
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// Seconds of measuring.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds before it that are not counted.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
}

#[derive(Args)]
pub(crate) struct RankArguments {
    #[command(flatten)]
    target: Target,
    /// Callers at once.
    #[arg(long, default_value_t = 2)]
    clients: usize,
}

/// What one caller saw.
#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    embed_ms: Vec<f64>,
    search_ms: Vec<f64>,
    empty: usize,
    errors: Vec<Code>,
}

fn request(question: &Question, target: &Target) -> RetrieveRequest {
    RetrieveRequest {
        query: question.text.clone(),
        mode: SearchMode::from(target.mode).into(),
        top_k: target.top_k,
        ..RetrieveRequest::default()
    }
}

async fn retrieve(client: &Client, request: RetrieveRequest) -> Result<RetrieveResponse, tonic::Status> {
    Ok(client.query().retrieve(request).await?.into_inner())
}

/// Each caller asks its next question as soon as the answer to the last is there.
pub(crate) async fn run(arguments: LoadArguments) -> anyhow::Result<()> {
    let questions = questions::read(&arguments.target.questions)?;
    let requests: Arc<Vec<RetrieveRequest>> =
        Arc::new(questions.iter().map(|question| request(question, &arguments.target)).collect());
    let mut clients = Vec::new();
    for _ in 0..arguments.clients {
        clients.push(arguments.target.connect().await?);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now() + Duration::from_secs_f64(arguments.warm_up);
    let end = start + Duration::from_secs_f64(arguments.seconds);
    let mut callers = JoinSet::new();
    for client in clients {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        callers.spawn(async move {
            let mut seen = Seen::default();
            loop {
                let began = Instant::now();
                if began >= end {
                    return seen;
                }
                let number = next.fetch_add(1, Ordering::Relaxed);
                let outcome = retrieve(&client, requests[number % requests.len()].clone()).await;
                if began < start {
                    continue;
                }
                match outcome {
                    Ok(response) => {
                        seen.times.push(began.elapsed());
                        let latency = response.latency.unwrap_or_default();
                        seen.embed_ms.push(latency.embed_ms.into());
                        seen.search_ms.push(latency.search_ms.into());
                        seen.empty += usize::from(response.passages.is_empty());
                    }
                    Err(status) => seen.errors.push(status.code()),
                }
            }
        });
    }
    let mut all = Seen::default();
    while let Some(seen) = callers.join_next().await {
        let seen = seen.context("a caller broke down")?;
        all.times.extend(seen.times);
        all.embed_ms.extend(seen.embed_ms);
        all.search_ms.extend(seen.search_ms);
        all.empty += seen.empty;
        all.errors.extend(seen.errors);
    }
    // The last answers come after the end: they count, and so does the time they took.
    let measured = start.elapsed().as_secs_f64();
    let rate = all.times.len() as f64 / measured;
    let codes: Vec<String> = all.errors.iter().map(|code| format!("{code:?}")).collect();
    println!(
        "{}",
        json!({
            "clients": arguments.clients,
            "per_second": rate,
            "latency_ms": figures::milliseconds(all.times),
            "embed_ms": figures::of(all.embed_ms),
            "search_ms": figures::of(all.search_ms),
            "without_passages": all.empty,
            "errors": codes.len(),
            "first_error": codes.first(),
        })
    );
    Ok(())
}

/// Prints the file names that each question finds, in the order of their rank, each name once.
pub(crate) async fn rank(arguments: RankArguments) -> anyhow::Result<()> {
    let questions = Arc::new(questions::read(&arguments.target.questions)?);
    let target = Arc::new(arguments.target);
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for _ in 0..arguments.clients.max(1) {
        let client = target.connect().await?;
        let (questions, target, next) = (Arc::clone(&questions), Arc::clone(&target), Arc::clone(&next));
        callers.spawn(async move {
            while let Some(question) = questions.get(next.fetch_add(1, Ordering::Relaxed)) {
                let found = retrieve(&client, request(question, &target)).await?;
                let mut names: Vec<String> = Vec::new();
                for passage in found.passages {
                    if !names.contains(&passage.filename) {
                        names.push(passage.filename);
                    }
                }
                println!("{}", json!({ "id": question.id, "filenames": names }));
            }
            Ok(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.context("a caller broke down")??;
    }
    Ok(())
}
