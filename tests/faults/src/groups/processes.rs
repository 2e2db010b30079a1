//! Servers and workers that die, or are told to end.

use std::{
    collections::BTreeMap,
    os::unix::process::ExitStatusExt as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::StreamExt as _;
use nix::sys::signal::Signal;
use sqlx::Executor as _;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use vectrion::{
    client::Authenticated,
    v1::{AnswerRequest, answer_event::Event, query_service_client::QueryServiceClient},
};
use vectrion_testkit::openai::Reply;

use crate::{
    environment::{Kind, Process, WORKERS},
    load::{Entry, Expected},
    scene::{SOON, Scene, Told},
};

/// Steps at which a worker dies: those of a stage at once, a worker each.
const STEPS: [&[&str]; 3] = [
    &[
        "process::begun",
        "process::fetched",
        "process::extracted",
        "process::chunked",
        "process::text_stored",
        "process::committed",
    ],
    &["embed::begun", "embed::embedded", "embed::upserted", "embed::flushed", "embed::committed"],
    &["delete::begun", "delete::vectors_removed", "delete::flushed", "delete::objects_removed", "delete::committed"],
];
const ROUNDS: usize = 20;
/// Time within which every worker of a stage has met its step.
const MET: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);

pub async fn nothing(scene: &mut Scene) -> Result<Told> {
    let start = Instant::now();
    scene.load.upload_many(50, SOON).await?;
    let uploaded = start.elapsed();
    scene.load.settle(Duration::from_secs(60)).await?;
    Ok(Told::new(
        "50 documents of three tenants, of four kinds, to two servers in turn",
        format!(
            "uploaded in {:.1} s, all indexed after {:.1} s",
            uploaded.as_secs_f64(),
            start.elapsed().as_secs_f64()
        ),
    ))
}

/// At a failpoint the process ends by `abort`: nothing is written, unwound or given back, as by SIGKILL.
pub async fn worker_killed_at_each_step(scene: &mut Scene) -> Result<Told> {
    let rounds = if scene.extent.full { ROUNDS } else { 1 };
    let mut deaths = 0;
    for _ in 0..rounds {
        for (stage, steps) in STEPS.iter().enumerate() {
            let is_deletion = stage == STEPS.len() - 1;
            let victims = if is_deletion { scene.load.upload_many(steps.len() * 2, SOON).await? } else { Vec::new() };
            scene.load.settle(Duration::from_secs(60)).await?;
            deaths += die_at(scene, steps, &victims).await?;
            scene.installation.start_missing().await?;
            scene.load.settle(Duration::from_secs(62)).await?;
        }
    }
    let times = if rounds == 1 { "once".to_owned() } else { format!("{rounds} times") };
    Ok(Told::new(
        format!(
            "a worker ended by abort at each of 16 steps of the three stages, {times}, several at once with jobs in hand"
        ),
        format!("{deaths} deaths, every document where it is to be"),
    ))
}

/// Lets workers that die at these steps work alone until all of them are dead.
async fn die_at(scene: &mut Scene, steps: &[&str], victims: &[Entry]) -> Result<usize> {
    for worker in &mut scene.installation.workers {
        worker.terminate(Duration::from_secs(30)).await?;
    }
    let settings = scene.installation.settings.clone();
    let mut doomed = Vec::new();
    for step in steps {
        let name = format!("doomed-{}", step.replace("::", "-"));
        let mut worker = Process::new(Kind::Worker, &name, scene.installation.directory.path())?;
        worker.spawn(&settings, &format!("{step}=return"), &[])?;
        doomed.push(worker);
    }
    if victims.is_empty() {
        scene.load.upload_many(steps.len() * 2, SOON).await?;
    }
    for victim in victims {
        scene.load.delete(victim, SOON).await?;
    }
    let start = Instant::now();
    let mut dead = 0;
    while !doomed.is_empty() {
        let mut left = Vec::new();
        for mut worker in doomed {
            match worker.ended()? {
                None => left.push(worker),
                Some(status) => {
                    let killed = status.signal() == Some(Signal::SIGABRT as i32);
                    ensure!(killed, "{} ended otherwise ({status})\n{}", worker.name, worker.log_tail());
                    dead += 1;
                }
            }
        }
        doomed = left;
        if start.elapsed() > MET && !doomed.is_empty() {
            let names: Vec<&str> = doomed.iter().map(|worker| worker.name.as_str()).collect();
            bail!("{names:?} did not meet their steps within {MET:?}");
        }
        // Who has waited for long may have missed what there was to do.
        if victims.is_empty() && !doomed.is_empty() && start.elapsed() > MET / 6 {
            scene.load.upload_many(1, SOON).await?;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(dead)
}

/// Waits until an armed server has died at its step.
async fn died(scene: &mut Scene, server: usize) -> Result<()> {
    let status = scene.installation.servers[server].end(SOON).await?;
    ensure!(status.signal() == Some(Signal::SIGABRT as i32), "it ended otherwise: {status}");
    Ok(())
}

pub async fn server_killed_before_publish(scene: &mut Scene) -> Result<Told> {
    let mut killed = Vec::new();
    for step in ["upload::admitted", "relay::taken"] {
        scene.installation.arm(Kind::Server, 0, &format!("{step}=return")).await?;
        // Nobody else publishes what the server commits before it dies.
        for worker in &scene.installation.workers {
            worker.signal(Signal::SIGSTOP)?;
        }
        let made = scene.load.make(0);
        // It may die before it answers.
        let _ = scene.load.try_upload(0, 0, &made).await;
        died(scene, 0).await?;
        for worker in &scene.installation.workers {
            worker.signal(Signal::SIGCONT)?;
        }
        scene.load.upload(0, &made, Expected::Indexed, SOON).await?;
        scene.load.upload_many(6, SOON).await?;
        killed.push(step);
        scene.installation.start_missing().await?;
    }
    Ok(Told::new(
        format!("a server ended by abort at {}, workers stopped meanwhile, the upload repeated", killed.join(" and ")),
        "the relays of the others published; one version each",
    ))
}

pub async fn relay_killed_after_confirm(scene: &mut Scene) -> Result<Told> {
    scene.installation.arm(Kind::Server, 0, "relay::confirmed=return").await?;
    let made = scene.load.make(1);
    let _ = scene.load.try_upload(0, 1, &made).await;
    died(scene, 0).await?;
    let entry = scene.load.upload(1, &made, Expected::Indexed, SOON).await?;
    scene.installation.start_missing().await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    let tries = tries(scene, &entry).await?;
    ensure!(tries == vec![1, 1], "one try of each of two jobs, not {tries:?}");
    Ok(Told::new(
        "a server ended by abort after the broker's confirm and before the row is marked",
        "published again by another relay, one job of each stage with one try",
    ))
}

/// Tries of the jobs of a document that are not a deletion.
async fn tries(scene: &Scene, entry: &Entry) -> Result<Vec<i32>> {
    let mut database = scene.installation.sql().await?;
    let query =
        "SELECT attempts FROM jobs WHERE document_id::text = $1 AND stage <> 'delete_document' ORDER BY create_time";
    Ok(sqlx::query_scalar(query).bind(&entry.document_id).fetch_all(&mut database).await?)
}

pub async fn same_message_ten_times(scene: &mut Scene) -> Result<Told> {
    let asked = scene.installation.model.attempts();
    for worker in &scene.installation.workers {
        worker.signal(Signal::SIGSTOP)?;
    }
    let entry = scene.load.upload(2, &scene.load.make(2), Expected::Indexed, SOON).await?;
    // The relays publish each row, and know nothing of the others.
    let mut database = scene.installation.sql().await?;
    let copies = "INSERT INTO outbox (id, job_id, stage, due_time, trace_id) \
        SELECT gen_random_uuid(), id, stage, 0, trace_id FROM jobs, generate_series(1, 10) WHERE document_id::text = $1";
    let copied = database.execute(sqlx::query(copies).bind(&entry.document_id)).await?.rows_affected();
    ensure!(copied == 10, "{copied} rows of the outbox");
    let start = Instant::now();
    while scene.installation.number("SELECT COUNT(*) FROM outbox").await? > 0 {
        ensure!(start.elapsed() < SOON, "the outbox is not published");
        tokio::time::sleep(LOOK).await;
    }
    for worker in &scene.installation.workers {
        worker.signal(Signal::SIGCONT)?;
    }
    scene.load.settle(Duration::from_secs(62)).await?;
    let requests = scene.installation.model.requests();
    let embedded = requests[asked..].iter().filter(|request| request.body.to_string().contains(&entry.marker)).count();
    let tries = tries(scene, &entry).await?;
    ensure!(tries == vec![1, 1], "one try of each of two jobs, not {tries:?}");
    ensure!(embedded == 1, "the model was asked {embedded} times for the document");
    Ok(Told::new(
        "ten more messages of one job published at once while both workers stood still",
        "one worker took it; one try of each stage, the model asked once",
    ))
}

/// Streams that are open when the server is told to end, each for longer than it gets.
const STREAMS: usize = 100;
const DRAIN: Duration = Duration::from_secs(10);

/// Reads an answer to its end, and tells how many terminal events it had, and the status after them.
async fn listen(
    mut client: QueryServiceClient<Authenticated>,
    begun: Arc<AtomicUsize>,
) -> Result<(usize, tonic::Code), tonic::Status> {
    let question = "Which light stands north of the skerries?".to_owned();
    let request = AnswerRequest { question, ..AnswerRequest::default() };
    let mut stream = client.answer(request).await?.into_inner();
    let (mut ends, mut pieces) = (0, 0);
    while let Some(message) = stream.next().await {
        let message = match message {
            Ok(message) => message,
            Err(status) => return Ok((ends, status.code())),
        };
        match message.event.and_then(|event| event.event) {
            Some(Event::Done(_) | Event::Error(_)) => ends += 1,
            Some(Event::Delta(_)) => {
                if pieces == 0 {
                    begun.fetch_add(1, Ordering::SeqCst);
                }
                pieces += 1;
            }
            _ => {}
        }
    }
    Ok((ends, tonic::Code::Ok))
}

pub async fn terminated(scene: &mut Scene) -> Result<Told> {
    scene.load.upload_many(12, SOON).await?;
    scene.load.settle(Duration::from_secs(60)).await?;
    // An answer takes longer than the server gives it.
    scene
        .installation
        .model
        .answer_chat(|_| Reply::chat((0..120).map(|n| format!("Piece {n}. "))).delta_every(Duration::from_millis(250)));
    scene.installation.model.answer_embeddings(|_| Reply::embeddings().after(Duration::from_millis(300)));
    let begun = Arc::new(AtomicUsize::new(0));
    let mut streams = tokio::task::JoinSet::new();
    for n in 0..STREAMS {
        let tenant = n % scene.load.tenants.len();
        let client = scene.load.tenants[tenant].clients[0].query();
        streams.spawn(listen(client, Arc::clone(&begun)));
    }
    let start = Instant::now();
    while begun.load(Ordering::SeqCst) < STREAMS {
        ensure!(start.elapsed() < SOON, "{} of {STREAMS} answers have begun", begun.load(Ordering::SeqCst));
        tokio::time::sleep(LOOK).await;
    }
    scene.load.upload_many(12, SOON).await?;

    let url = scene.installation.servers[0].url.clone();
    let mut health = HealthClient::new(tonic::transport::Endpoint::from_shared(url)?.connect().await?);
    let mut states = health.watch(HealthCheckRequest::default()).await?.into_inner();
    let start = Instant::now();
    scene.installation.servers[0].signal(Signal::SIGTERM)?;
    scene.installation.workers[0].signal(Signal::SIGTERM)?;
    let told = tokio::time::timeout(Duration::from_secs(5), async {
        while let Some(state) = states.next().await {
            if state?.status() == ServingStatus::NotServing {
                return anyhow::Ok(());
            }
        }
        bail!("the watch ended without NOT_SERVING")
    });
    told.await.context("NOT_SERVING within 5 s")??;
    let not_serving = start.elapsed();
    drop(states);

    let worker = scene.installation.workers[0].end(DRAIN * 3).await?;
    let server = scene.installation.servers[0].end(DRAIN * 3).await?;
    ensure!(server.success() && worker.success(), "they end with 0: {server}, {worker}");
    let ended = start.elapsed();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(stream) = streams.join_next().await {
        let (terminal, code) = stream??;
        *ends.entry(format!("{terminal} terminal event, then {code:?}")).or_default() += 1;
        let is_right = terminal == 1 && matches!(code, tonic::Code::Ok | tonic::Code::Unavailable);
        ensure!(is_right, "I5: a stream ended with {terminal} terminal events, then {code:?}");
    }
    let ends: Vec<String> = ends.iter().map(|(how, count)| format!("{count} streams with {how}")).collect();
    scene.installation.start_missing().await?;
    scene.installation.model.answer_chat(|_| Reply::chat(["This ", "is ", "an ", "answer."]));
    ensure!(scene.installation.workers.len() == WORKERS, "both workers are back");
    Ok(Told::new(
        format!("SIGTERM to a server with {STREAMS} answers under way and to a worker with jobs in hand"),
        format!(
            "NOT_SERVING after {:.1} s, both ended with 0 after {:.1} s; {}; the other worker did the rest",
            not_serving.as_secs_f64(),
            ended.as_secs_f64(),
            ends.join(", ")
        ),
    ))
}
