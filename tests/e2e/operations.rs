//! What operators see and do: dead letters by cause, queues and their watch, jobs with their tries, workers.

use std::time::Duration;

use tonic::Code;
use vectrion::v1::{
    DeadLetterFilter, DocumentState, GetJobRequest, JobState, JobTryOutcome, ListDeadLetterCausesRequest,
    ListDeadLettersRequest, ListJobsRequest, ListQueuesRequest, ListWorkersRequest, PurgeDeadLettersRequest, Queue,
    ReplayDeadLettersRequest, Role, WatchQueuesRequest,
};
use vectrion_testkit::openai::{OpenAiServer, Reply};

use crate::support::{
    Client, PATIENCE,
    client::reason,
    installation::Installation,
    process::{Ended, run, vectrion},
};

async fn command(installation: &Installation, arguments: &[&str]) -> Ended {
    let mut command = vectrion();
    command.args(arguments).env("VECTRION_ADDR", &installation.server.url);
    run(command.env("VECTRION_API_KEY", installation.server.operator_key())).await
}

fn by_reason(reason: &str) -> Option<DeadLetterFilter> {
    Some(DeadLetterFilter { reason: reason.into(), ..DeadLetterFilter::default() })
}

/// Documents that the model refuses to embed, and one that cannot be read.
async fn fail_some(client: &Client, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        let text = format!("A text that the model finds cursed, number {n}.");
        ids.push(client.upload(&format!("{n}.txt"), text.as_bytes()).await.document_id);
    }
    ids.push(client.upload("broken.pdf", b"%PDF-1.7\nno more than that").await.document_id);
    for id in &ids {
        assert_eq!(client.settled(id).await.state(), DocumentState::Failed);
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_grouped_replayed_and_purged_by_cause() {
    let model = OpenAiServer::start().await;
    let settings = [
        format!("models.embed={}", model.base_url()),
        "models.embed_model=stub".to_owned(),
        "ingest.embed_attempts=1".to_owned(),
    ];
    for installation in Installation::of_each_profile(&settings).await {
        let profile = installation.profile;
        model.answer_embeddings(|request| {
            let cursed = request.body.to_string().contains("cursed");
            if cursed { Reply::error(400, "cursed") } else { Reply::embeddings() }
        });
        let client = installation.operator().await;
        let ids = fail_some(&client, 4).await;
        let mut admin = client.admin.clone();
        let causes = admin.list_dead_letter_causes(ListDeadLetterCausesRequest::default()).await.unwrap();
        let causes = causes.into_inner().causes;
        assert_eq!(causes.iter().map(|cause| cause.count).collect::<Vec<_>>(), [4, 1], "{profile}: {causes:?}");
        let (refused, broken) = (&causes[0], &causes[1]);
        assert_eq!((refused.stage.as_str(), broken.stage.as_str()), ("embed_document", "process_document"));
        let example = refused.example.clone().unwrap();
        assert_eq!((&example.reason, example.create_time), (&refused.reason, refused.last_time));
        assert!(refused.first_time.unwrap().seconds <= refused.last_time.unwrap().seconds);

        let shown = command(&installation, &["admin", "dead-letters", "causes", "--json"]).await;
        assert_eq!((shown.code, shown.json().len()), (Some(0), 2), "{}", shown.err);
        assert_eq!(shown.json()[0]["count"], "4");
        let shown = command(&installation, &["admin", "dead-letters", "causes", "--stage", "process_document"]).await;
        assert!(shown.out.contains(&broken.reason) && !shown.out.contains(&refused.reason), "{}", shown.out);
        let listed = command(
            &installation,
            &["admin", "dead-letters", "list", "--json", "--collection", "default", "--reason", &refused.reason],
        )
        .await;
        assert_eq!(listed.json().len(), 4, "{}", listed.err);
        let old = command(&installation, &["admin", "dead-letters", "list", "--json", "--older-than", "1h"]).await;
        assert_eq!((old.code, old.json().len()), (Some(0), 0), "{}", old.err);
        let wrong = command(&installation, &["admin", "dead-letters", "purge"]).await;
        assert!(wrong.code != Some(0) && wrong.err.contains("dead_letter_ids"), "{}", wrong.err);

        // The cause is gone; all of it is run again.
        model.answer_embeddings(|_| Reply::embeddings());
        let request = ReplayDeadLettersRequest {
            filter: by_reason(&refused.reason),
            request_id: "0192f0c1-2f6b-7000-8000-000000000001".into(),
            ..ReplayDeadLettersRequest::default()
        };
        let replayed = admin.replay_dead_letters(request.clone()).await.unwrap().into_inner();
        assert_eq!((replayed.replayed_count, replayed.missing_count, replayed.remaining_count), (4, 0, 0));
        for id in &ids[..4] {
            let document = client.settled(id).await;
            assert_eq!(document.state(), DocumentState::Indexed, "{profile}: {:?}", document.failure);
            assert!(document.chunk_count > 0 && document.chunk_count == document.vector_count, "{document:?}");
        }
        let again = admin.replay_dead_letters(request.clone()).await.unwrap().into_inner();
        assert_eq!(again, replayed, "the same call, the same answer");
        let once_more = ReplayDeadLettersRequest { request_id: String::new(), ..request };
        assert_eq!(admin.replay_dead_letters(once_more).await.unwrap().into_inner().replayed_count, 0, "idempotent");

        let letters = admin.list_dead_letters(ListDeadLettersRequest::default()).await.unwrap().into_inner();
        let left: Vec<String> = letters.dead_letters.into_iter().map(|letter| letter.dead_letter_id).collect();
        assert_eq!(left.len(), 1);
        let purge = PurgeDeadLettersRequest {
            dead_letter_ids: vec![left[0].clone(), "0192f0c1-2f6b-7000-8000-00000000000f".into()],
            ..PurgeDeadLettersRequest::default()
        };
        let purged = admin.purge_dead_letters(purge).await.unwrap().into_inner();
        assert_eq!((purged.purged_count, purged.missing_count, purged.remaining_count), (1, 1, 0));
        let kept = client.get(&ids[4]).await.unwrap();
        assert_eq!(kept.state(), DocumentState::Failed, "the document stays failed");
        let ended = command(&installation, &["documents", "retry", &ids[4]]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert_eq!(client.settled(&ids[4]).await.state(), DocumentState::Failed);
        let purged =
            command(&installation, &["admin", "dead-letters", "purge", "--stage", "process_document", "--json"]).await;
        assert_eq!(purged.json()[0]["purgedCount"], "1", "{}", purged.err);

        let both = ReplayDeadLettersRequest {
            dead_letter_ids: left,
            filter: by_reason("X"),
            ..ReplayDeadLettersRequest::default()
        };
        let status = admin.replay_dead_letters(both).await.expect_err("one or the other");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        installation.end().await;
    }
}

fn stage<'a>(queues: &'a [Queue], name: &str) -> &'a Queue {
    queues.iter().find(|queue| queue.stage == name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_jobs_and_workers_are_seen_while_they_work() {
    let model = OpenAiServer::start().await;
    let settings = [format!("models.embed={}", model.base_url()), "models.embed_model=stub".to_owned()];
    for installation in Installation::of_each_profile(&settings).await {
        let profile = installation.profile;
        model.answer_embeddings(|_| Reply::embeddings());
        let client = installation.operator().await;
        let mut admin = client.admin.clone();
        let mut watch =
            admin.watch_queues(WatchQueuesRequest { interval_ms: 1000, ..Default::default() }).await.unwrap();
        let watch = watch.get_mut();
        let first = watch.message().await.unwrap().unwrap();
        assert_eq!(first.queues.len(), 3, "every stage, at once");
        assert!(first.queues.iter().all(|queue| queue.ready + queue.running + queue.dead == 0), "{profile}: {first:?}");

        let done = client.index("done.txt", b"The harbour master signs the log at noon.").await;
        // Not all: a worker that starts asks the model something, too.
        model.answer_embeddings(|request| {
            if request.body.to_string().contains("tide table") { Reply::hang() } else { Reply::embeddings() }
        });
        let stuck = client.upload("stuck.txt", b"The tide table hangs in the hall.").await;
        let seen = async {
            loop {
                let message = watch.message().await.unwrap().expect("it goes on");
                // The first one is read as well, so that this is the second one's.
                let read = stage(&message.queues, "process_document").rates[2].succeeded_per_minute;
                if stage(&message.queues, "embed_document").running == 1 && read > 1.5 / 15.0 {
                    return message;
                }
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await.expect("a change is told");
        assert!(seen.time.is_some());

        let queues = admin.list_queues(ListQueuesRequest::default()).await.unwrap().into_inner().queues;
        let processing = stage(&queues, "process_document");
        assert_eq!(processing.rates.iter().map(|rate| rate.minutes).collect::<Vec<_>>(), [1, 5, 15]);
        assert_eq!(processing.rates[2].succeeded_per_minute, 2.0 / 15.0, "{profile}: two documents were read");
        assert_eq!(stage(&queues, "embed_document").running, 1);
        let tenant_admin = Client::connect(&installation.server.url, &client.create_key("", Role::Admin).await).await;
        let own = tenant_admin.admin.clone().list_queues(ListQueuesRequest::default()).await.unwrap().into_inner();
        assert_eq!(stage(&own.queues, "embed_document").running, 1, "its own");
        client.create_tenant("quiet").await;
        let quiet = ListQueuesRequest { tenant: "quiet".into() };
        let none = admin.list_queues(quiet.clone()).await.unwrap().into_inner();
        assert_eq!(stage(&none.queues, "embed_document").running, 0, "nothing of others");
        let status = tenant_admin.admin.clone().list_queues(quiet).await.expect_err("not its own");
        assert_eq!(reason(&status), "TENANT_NOT_FOUND");

        let workers = admin.list_workers(ListWorkersRequest {}).await.unwrap().into_inner().workers;
        let busy: Vec<_> = workers.iter().flat_map(|worker| &worker.jobs).collect();
        assert_eq!(busy.len(), 1, "{profile}: {workers:?}");
        assert_eq!((busy[0].stage.as_str(), &busy[0].document_id), ("embed_document", &stuck.document_id));
        let shown = command(&installation, &["admin", "workers"]).await;
        assert!(shown.out.contains(&busy[0].job_id), "{}", shown.out);

        let request = ListJobsRequest { document_id: done.document_id.clone(), ..ListJobsRequest::default() };
        let jobs = admin.list_jobs(request).await.unwrap().into_inner().jobs;
        assert!(jobs.len() == 2 && jobs.iter().all(|job| job.history.is_empty()), "{jobs:?}");
        for listed in jobs {
            let request = GetJobRequest { job_id: listed.job_id.clone(), tenant: String::new() };
            let job = admin.get_job(request).await.unwrap().into_inner().job.unwrap();
            let [ended] = job.history.as_slice() else { panic!("one try: {job:?}") };
            assert_eq!((job.state(), ended.outcome()), (JobState::Succeeded, JobTryOutcome::Succeeded));
            assert!(workers.iter().any(|worker| worker.worker_id == ended.worker_id), "{job:?}");
            assert_eq!((ended.start_time, ended.end_time), (job.start_time, job.end_time));
            let shown = command(&installation, &["admin", "jobs", "show", &listed.job_id]).await;
            assert!(shown.out.contains(&ended.worker_id) && shown.out.contains("succeeded"), "{}", shown.out);
        }
        let shown = command(&installation, &["admin", "queues"]).await;
        assert!(shown.code == Some(0) && shown.out.contains("1 running"), "{}", shown.out);

        // A deadline ends a watch with its status.
        let mut request = tonic::Request::new(WatchQueuesRequest::default());
        request.set_timeout(Duration::from_millis(900));
        let mut short = admin.watch_queues(request).await.unwrap().into_inner();
        assert!(short.message().await.unwrap().is_some());
        let status = loop {
            match short.message().await {
                Ok(message) => assert!(message.is_some(), "ended without a status"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");

        model.answer_embeddings(|_| Reply::embeddings());
        command(&installation, &["documents", "cancel", &stuck.document_id]).await;
        installation.end().await;
    }
}
