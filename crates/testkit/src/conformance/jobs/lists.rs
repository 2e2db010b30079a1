//! Lists of jobs and dead letters, and replay.

use std::{sync::Arc, time::Duration};

use vectrion_core::{
    Error,
    ErrorKind::NotFound,
    document::DocumentState,
    ids::{DeadLetterId, JobId},
    job::{JobPayload, JobState, Stage},
    ports::jobs::{DeadLetterFilter, JobFilter},
};

use crate::conformance::scenario::{Database, Scenario, TRACE, TRIES, failure, pass, refused, walk};

pub async fn the_next_delayed_job_is_known<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let next = async |stages: &[Stage]| store.next_ready_in(stages).await.expect("a look");
    assert_eq!(next(&Stage::ALL).await, None);
    for (name, delay) in [("a", 60), ("b", 30)] {
        scenario.uploaded(name, name).await;
        let lease = scenario.claim(Stage::ProcessDocument).await;
        let error = Error::unavailable("DOWN", "down");
        store.retry_later(&lease, &error, Duration::from_secs(delay)).await.expect("put back");
    }
    scenario.uploaded("ready", "ready").await;
    let wait = next(&[Stage::ProcessDocument, Stage::EmbedDocument]).await.expect("the earlier of the two");
    assert!(wait > Duration::from_secs(20) && wait <= Duration::from_secs(30), "{wait:?}");
    assert_eq!(next(&[Stage::EmbedDocument]).await, None);
    assert_eq!(next(&[]).await, None);
}

pub async fn jobs_are_listed_newest_first<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let mut documents = Vec::new();
    for name in ["a", "b", "c", "d"] {
        documents.push(scenario.uploaded(name, name).await.id);
        pass().await;
    }
    scenario.process(&["text"]).await;
    let list =
        async |filter: &JobFilter| walk(2, async |page| store.list_jobs(scenario.tenant, filter, &page).await).await;
    let all = list(&JobFilter::default()).await;
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted_by(|x, y| (x.create_time, x.id) > (y.create_time, y.id)), "newest first");
    let of_first = list(&JobFilter { document: Some(documents[0]), ..Default::default() }).await;
    let states: Vec<_> = of_first.iter().map(|job| (job.payload.stage(), job.state)).collect();
    assert_eq!(states, [(Stage::EmbedDocument, JobState::Pending), (Stage::ProcessDocument, JobState::Succeeded)]);
    let waiting = JobFilter {
        stages: vec![Stage::ProcessDocument, Stage::DeleteDocument],
        states: vec![JobState::Pending, JobState::Running],
        document: None,
    };
    assert_eq!(list(&waiting).await.len(), 3);
    for job in all {
        assert_eq!(store.job(scenario.tenant, job.id).await.expect("a look"), Some(job));
    }
    assert_eq!(store.job(scenario.tenant, JobId::new()).await.expect("a look"), None);
}

pub async fn dead_letters_are_listed_newest_first<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let mut letters = Vec::new();
    for (name, reason) in [("a", "RED"), ("b", "BLUE"), ("c", "RED")] {
        scenario.uploaded(name, name).await;
        let lease = scenario.claim(Stage::ProcessDocument).await;
        letters.push(store.fail(&lease, failure(&lease, reason)).await.expect("failed"));
        pass().await;
    }
    let list = async |reason: Option<&str>| {
        let filter = DeadLetterFilter { reason: reason.map(str::to_owned), ..Default::default() };
        walk(1, async |page| store.list_dead_letters(scenario.tenant, &filter, &page).await).await
    };
    letters.reverse();
    assert_eq!(list(None).await, letters);
    assert_eq!(list(Some("RED")).await, [letters[0].clone(), letters[2].clone()]);
    assert!(list(Some("GREEN")).await.is_empty());
    assert_eq!(store.dead_letter(scenario.tenant, DeadLetterId::new()).await.expect("a look"), None);
}

pub async fn a_dead_letter_is_replayed_once<S: Database + 'static>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let tenant = scenario.tenant;
    let document = scenario.uploaded("a", "1").await;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    let letter = store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed").id;
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.replay_dead_letter(tenant, letter, "new trace").await })
        })
        .collect();
    let mut replayed = Vec::new();
    for call in calls {
        match call.await.expect("no panic") {
            Ok(job) => replayed.push(job),
            Err(error) => assert_eq!(error.reason(), "DEAD_LETTER_NOT_FOUND", "{error:?}"),
        }
    }
    let [job] = replayed.as_slice() else { panic!("once: {replayed:?}") };
    assert_eq!((job.state, job.attempts, job.max_attempts, job.interruptions), (JobState::Pending, 0, TRIES, 0));
    assert_eq!((job.payload.clone(), job.trace_id.as_str()), (lease.job.payload.clone(), "new trace"));
    assert_eq!(job.end_time, None);
    assert_eq!(store.dead_letter(tenant, letter).await.expect("a look"), None);
    let again = scenario.now(document.id).await;
    assert_eq!((again.state, again.failure.as_ref()), (DocumentState::Uploaded, None));

    scenario.process(&["text"]).await;
    let lease = scenario.claim(Stage::EmbedDocument).await;
    let letter = store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed").id;
    let job = store.replay_dead_letter(tenant, letter, TRACE).await.expect("queued");
    assert_eq!(job.payload, JobPayload::EmbedV1 { version_id: document.version_id });
    assert_eq!(scenario.now(document.id).await.state, DocumentState::Processed);
    scenario.embed().await;
    assert_eq!(scenario.now(document.id).await.state, DocumentState::Indexed);
}

pub async fn a_replayed_deletion_goes_on<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.indexed("a", "1", &["text"]).await;
    scenario.begin_delete(document.id).await;
    let lease = scenario.claim(Stage::DeleteDocument).await;
    let letter = store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed").id;
    store.replay_dead_letter(scenario.tenant, letter, TRACE).await.expect("queued");
    let deleting = scenario.now(document.id).await;
    assert_eq!((deleting.state, deleting.failure), (DocumentState::Deleting, None));
    scenario.finish_delete().await;
    assert_eq!(store.document(scenario.tenant, document.id).await.expect("a look"), None);
}

pub async fn another_tenants_jobs_are_missing<S: Database>(store: Arc<S>) {
    let (mine, theirs) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    let document = theirs.uploaded("a", "1").await;
    let lease = theirs.claim(Stage::ProcessDocument).await;
    let letter = store.fail(&lease, failure(&lease, "NO_LUCK")).await.expect("failed");
    let me = mine.tenant;
    assert_eq!(store.job(me, lease.job.id).await.expect("a look"), None);
    for document in [None, Some(document.id)] {
        let filter = JobFilter { document, ..Default::default() };
        assert!(walk(10, async |page| store.list_jobs(me, &filter, &page).await).await.is_empty());
    }
    assert!(walk(10, async |page| store.list_dead_letters(me, &Default::default(), &page).await).await.is_empty());
    assert_eq!(store.dead_letter(me, letter.id).await.expect("a look"), None);
    refused(store.replay_dead_letter(me, letter.id, TRACE).await, NotFound, "DEAD_LETTER_NOT_FOUND");
    assert_eq!(store.dead_letter(theirs.tenant, letter.id).await.expect("a look"), Some(letter), "nothing was changed");
}
