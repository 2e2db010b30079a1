//! Dead letters by cause: listed, counted, selected, removed.

use std::{sync::Arc, time::Duration};

use vectrion_core::{
    ErrorKind::NotFound,
    document::DocumentState,
    ids::{CollectionId, DeadLetterId, JobId},
    job::{DeadLetter, Stage},
    ports::jobs::{DeadLetterFilter, DeadLetterSelection, JobFilter},
};

use crate::conformance::scenario::{Database, Scenario, TRACE, failure, pass, refused, walk};

/// Dead letters: two RED and a BLUE one of processing, then one RED of embedding, the last two in another collection.
async fn some_dead<S: Database>(scenario: &Scenario<'_, S>) -> (Vec<DeadLetter>, CollectionId) {
    let store = scenario.store;
    let other = store
        .create_collection(scenario.tenant, CollectionId::new(), "other", "", "model")
        .await
        .expect("a collection")
        .id;
    let mut letters = Vec::new();
    for (name, reason, stage, elsewhere) in [
        ("a", "RED", Stage::ProcessDocument, false),
        ("b", "RED", Stage::ProcessDocument, false),
        ("c", "BLUE", Stage::ProcessDocument, true),
        ("d", "RED", Stage::EmbedDocument, true),
    ] {
        let file = scenario.file(name, name);
        scenario.admit(&if elsewhere { file.into_collection(other) } else { file }).await;
        if stage == Stage::EmbedDocument {
            scenario.process(&["text"]).await;
        }
        let lease = scenario.claim(stage).await;
        letters.push(store.fail(&lease, failure(&lease, reason)).await.expect("failed"));
        pass().await;
    }
    (letters, other)
}

fn of(stage: Option<Stage>, reason: &str) -> DeadLetterFilter {
    DeadLetterFilter { stage, reason: Some(reason.to_owned()), ..Default::default() }
}

pub async fn dead_letters_are_filtered<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let (letters, other) = some_dead(&scenario).await;
    let matching = async |filter: DeadLetterFilter| -> Vec<DeadLetterId> {
        let listed = walk(2, async |page| store.list_dead_letters(scenario.tenant, &filter, &page).await).await;
        let mut listed: Vec<_> = listed.into_iter().map(|letter| letter.id).collect();
        listed.reverse();
        // What is listed is what is selected, oldest first.
        let selection = DeadLetterSelection::Matching(filter);
        let selected = store.select_dead_letters(scenario.tenant, &selection, 100).await.expect("a selection");
        assert_eq!(selected, (listed.clone(), listed.len() as u64));
        listed
    };
    let ids = |wanted: &[usize]| wanted.iter().map(|at| letters[*at].id).collect::<Vec<_>>();
    assert_eq!(matching(DeadLetterFilter::default()).await, ids(&[0, 1, 2, 3]));
    assert_eq!(matching(of(None, "RED")).await, ids(&[0, 1, 3]));
    assert_eq!(matching(of(Some(Stage::EmbedDocument), "RED")).await, ids(&[3]));
    let elsewhere = DeadLetterFilter { collection: Some(other), ..Default::default() };
    assert_eq!(matching(elsewhere).await, ids(&[2, 3]));
    let nowhere = DeadLetterFilter { collection: Some(CollectionId::new()), ..Default::default() };
    assert!(matching(nowhere).await.is_empty());
    let old = DeadLetterFilter { min_age: Some(Duration::from_secs(600)), ..Default::default() };
    assert!(matching(old).await.is_empty());
    let young = DeadLetterFilter { min_age: Some(Duration::from_millis(1)), ..Default::default() };
    assert_eq!(matching(young).await.len(), 4);

    let all = DeadLetterSelection::Matching(DeadLetterFilter::default());
    let (first, count) = store.select_dead_letters(scenario.tenant, &all, 3).await.expect("a selection");
    assert_eq!((first, count), (ids(&[0, 1, 2]), 4), "no more than asked for, and how many there are");
    let named = DeadLetterSelection::Ids(vec![letters[1].id, DeadLetterId::new()]);
    let found = store.select_dead_letters(scenario.tenant, &named, 10).await.expect("a selection");
    assert_eq!(found, (ids(&[1]), 1));
    let stranger = Scenario::new(&*store).await;
    for selection in [all, DeadLetterSelection::Ids(ids(&[0, 1]))] {
        let found = store.select_dead_letters(stranger.tenant, &selection, 10).await.expect("a selection");
        assert_eq!(found, (vec![], 0), "another tenant's");
    }
}

pub async fn dead_letters_are_counted_by_cause<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let stranger = Scenario::new(&*store).await;
    assert!(store.dead_letter_causes(scenario.tenant, &Default::default(), 10).await.expect("causes").is_empty());
    let (letters, other) = some_dead(&scenario).await;
    some_dead(&stranger).await;
    let causes = store.dead_letter_causes(scenario.tenant, &Default::default(), 10).await.expect("causes");
    let shown: Vec<_> = causes.iter().map(|cause| (cause.stage, cause.reason.as_str(), cause.count)).collect();
    let expected =
        [(Stage::ProcessDocument, "RED", 2), (Stage::EmbedDocument, "RED", 1), (Stage::ProcessDocument, "BLUE", 1)];
    assert_eq!(shown, expected, "the most frequent first");
    let most = &causes[0];
    assert_eq!((most.first_time, most.last_time), (letters[0].create_time, letters[1].create_time));
    assert_eq!(most.example, letters[1], "the last one");
    let elsewhere = DeadLetterFilter { collection: Some(other), ..Default::default() };
    let causes = store.dead_letter_causes(scenario.tenant, &elsewhere, 10).await.expect("causes");
    assert_eq!(causes.iter().map(|cause| cause.count).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(store.dead_letter_causes(scenario.tenant, &Default::default(), 1).await.expect("causes").len(), 1);
}

pub async fn purged_dead_letters_leave_their_documents_failed<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let (letters, _) = some_dead(&scenario).await;
    let stranger = Scenario::new(&*store).await;
    let first = [letters[0].id, letters[3].id];
    assert_eq!(store.purge_dead_letters(stranger.tenant, &first).await.expect("purged"), 0);
    assert_eq!(store.purge_dead_letters(scenario.tenant, &first).await.expect("purged"), 2);
    assert_eq!(store.purge_dead_letters(scenario.tenant, &first).await.expect("purged"), 0, "once");
    assert_eq!(store.purge_dead_letters(scenario.tenant, &[]).await.expect("purged"), 0);
    let left = walk(10, async |page| store.list_dead_letters(scenario.tenant, &Default::default(), &page).await).await;
    assert_eq!(left.len(), 2);
    refused(store.replay_dead_letter(scenario.tenant, letters[0].id, TRACE).await, NotFound, "DEAD_LETTER_NOT_FOUND");
    for letter in [&letters[0], &letters[3]] {
        let failed = scenario.now(letter.document).await;
        assert_eq!(failed.state, DocumentState::Failed);
        assert_eq!(failed.failure.expect("a reason").reason, "RED");
    }
    // It can still be taken up through its document.
    store.retry(scenario.tenant, letters[0].document, JobId::new(), TRACE).await.expect("queued");
    scenario.process(&["text"]).await;
    scenario.embed().await;
    assert_eq!(scenario.now(letters[0].document).await.state, DocumentState::Indexed);
    pass().await;
    store.purge_jobs(0).await.expect("purged");
    let filter = JobFilter { document: Some(letters[3].document), ..Default::default() };
    assert!(walk(10, async |page| store.list_jobs(scenario.tenant, &filter, &page).await).await.is_empty());
}
