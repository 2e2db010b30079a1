//! What a deleted document leaves behind in answers.

use std::sync::Arc;

use vectrion_core::{
    answer::{AnswerEventKind, StoredAnswer, TurnRole},
    ids::{AnswerId, TenantId},
};

use super::{begun, cites, delta, done, events, passage, retrieval, started, told, turn};
use crate::conformance::scenario::{Database, Scenario};

/// The answer, and all that is stored of its events, as text.
async fn read<S: Database>(store: &S, tenant: TenantId, id: AnswerId) -> (StoredAnswer, String) {
    let answer = store.answer(tenant, id).await.expect("a look").expect("the answer");
    let events = store.events_after(tenant, id, 0).await.expect("events");
    let numbers: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>(), "a stream can still be taken up again");
    let all = format!("{answer:?} {}", serde_json::to_string(&events).expect("JSON"));
    (answer, all)
}

pub async fn a_deleted_document_leaves_nothing_in_answers_that_cite_it<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let secret = scenario.indexed("secret", "1", &["The code is zebra."]).await;
    let other = scenario.indexed("other", "2", &["Nothing else."]).await;
    let passages = [passage(&secret, "The code is zebra."), passage(&other, "Nothing else.")];
    let kinds = vec![
        started(),
        retrieval(&passages),
        delta("It is "),
        delta("zebra."),
        cites(&passages[0], 12),
        cites(&passages[1], 3),
        done(),
    ];
    let id = told(&*store, scenario.tenant, "What is the code?", kinds).await;
    let before = read(&*store, scenario.tenant, id).await.0;
    scenario.delete(secret.id).await;

    let (after, all) = read(&*store, scenario.tenant, id).await;
    assert!(!all.contains("zebra") && !all.contains("secret.pdf") && !all.contains(&secret.id.to_string()), "{all}");
    assert_eq!(after.passages, [passages[1].clone()], "the other document's passage stays");
    assert!(!after.text.is_empty() && after.text != before.text, "a note says why: {}", after.text);
    assert!(!all.contains("\"citation\""), "citations of a text that is gone: {all}");
    assert_eq!((after.end, after.end_time, after.question), (before.end, before.end_time, before.question));
    scenario.delete(other.id).await;
    let (last, _) = read(&*store, scenario.tenant, id).await;
    assert_eq!((last.passages.len(), last.text), (0, after.text));
}

pub async fn an_answer_from_other_documents_keeps_its_text<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let gone = scenario.indexed("gone", "1", &["Revenue fell in the north."]).await;
    let kept = scenario.indexed("kept", "2", &["Revenue rose in the south."]).await;
    let passages = [passage(&gone, "Revenue fell in the north."), passage(&kept, "Revenue rose in the south.")];
    let text = "Revenue rose in the south.";
    let kinds = vec![started(), retrieval(&passages), delta(text), cites(&passages[1], 26), done()];
    let id = told(&*store, scenario.tenant, "How was revenue?", kinds).await;
    scenario.delete(gone.id).await;
    let (after, all) = read(&*store, scenario.tenant, id).await;
    assert_eq!((after.text.as_str(), after.passages.as_slice()), (text, &passages[1..]));
    assert!(all.contains("\"citation\"") && !all.contains("fell in the north"), "{all}");
}

pub async fn words_of_a_deleted_document_go_without_a_citation<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let secret = scenario.indexed("secret", "1", &["The code is zebra."]).await;
    let kinds = |text| vec![started(), retrieval(&[passage(&secret, "The code is zebra.")]), delta(text), done()];
    let quoting = told(&*store, scenario.tenant, "q", kinds("I believe: ZEBRA!")).await;
    let silent = told(&*store, scenario.tenant, "q", kinds("I cannot tell.")).await;
    scenario.delete(secret.id).await;
    let (_, all) = read(&*store, scenario.tenant, quoting).await;
    assert!(!all.to_lowercase().contains("zebra"), "{all}");
    let (answer, all) = read(&*store, scenario.tenant, silent).await;
    assert!(!all.contains("zebra"), "{all}");
    assert_eq!(answer.text, "I cannot tell.");
}

pub async fn an_answer_being_written_is_stopped<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let tenant = scenario.tenant;
    let secret = scenario.indexed("secret", "1", &["The code is zebra."]).await;
    let shown = passage(&secret, "The code is zebra.");
    let id = told(&*store, tenant, "q", vec![started(), retrieval(std::slice::from_ref(&shown))]).await;
    let later =
        told(&*store, tenant, "q", vec![started(), retrieval(std::slice::from_ref(&shown)), delta("The")]).await;
    scenario.delete(secret.id).await;
    assert!(store.append_events(tenant, id, events(3, [delta("It is zeb")])).await.expect("stored"), "told to stop");
    let rest = [delta("ra."), cites(&shown, 5), done()];
    assert!(store.append_events(tenant, id, events(4, rest.clone())).await.expect("stored"));
    assert!(store.append_events(tenant, later, events(4, rest)).await.expect("stored"));
    for id in [id, later] {
        let (answer, all) = read(&*store, tenant, id).await;
        assert!(!all.contains("zeb") && !all.contains("ra."), "{all}");
        assert!(!answer.text.is_empty() && answer.passages.is_empty());
        assert_eq!(answer.end, Some(done()));
    }
}

pub async fn passages_that_come_after_the_deletion_are_dropped<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let secret = scenario.indexed("secret", "1", &["The code is zebra."]).await;
    let other = scenario.indexed("other", "2", &["Nothing else."]).await;
    let passages = [passage(&secret, "The code is zebra."), passage(&other, "Nothing else.")];
    let id = begun(&*store, scenario.tenant, "q", vec![]).await;
    scenario.delete(secret.id).await;
    // Found before the deletion, stored after it.
    let kinds = [started(), retrieval(&passages), delta("It is zebra."), cites(&passages[0], 3), done()];
    assert!(store.append_events(scenario.tenant, id, events(1, kinds)).await.expect("stored"), "told to stop");
    let (answer, all) = read(&*store, scenario.tenant, id).await;
    assert!(!all.contains("zebra"), "{all}");
    assert_eq!(answer.passages, [passages[1].clone()]);
    assert_eq!(answer.end, Some(done()));
}

pub async fn a_repeated_answer_goes_from_later_questions<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let tenant = scenario.tenant;
    let secret = scenario.indexed("secret", "1", &["The code is zebra."]).await;
    let other = scenario.indexed("other", "2", &["Animals have stripes."]).await;
    let shown = passage(&secret, "The code is zebra.");
    let text = "It is zebra.";
    let kinds = vec![started(), retrieval(std::slice::from_ref(&shown)), delta(text), cites(&shown, 12), done()];
    let first = told(&*store, tenant, "What is the code?", kinds).await;

    let history = |answer: &str| vec![turn(TurnRole::User, "What is the code?"), turn(TurnRole::Assistant, answer)];
    let second = begun(&*store, tenant, "And what does it look like?", history("It is zebra.\n")).await;
    let stripes = passage(&other, "Animals have stripes.");
    let kinds = [started(), retrieval(&[stripes]), delta("A zebra has stripes."), done()];
    store.append_events(tenant, second, events(1, kinds)).await.expect("stored");
    // And once more, one question further on.
    let third = begun(&*store, tenant, "Thanks?", history("A zebra has stripes.")).await;
    store
        .append_events(tenant, third, events(1, [started(), delta("You are welcome."), done()]))
        .await
        .expect("stored");

    scenario.delete(secret.id).await;
    for id in [first, second, third] {
        let (answer, all) = read(&*store, tenant, id).await;
        assert!(!all.contains("zebra"), "{all}");
        let user: Vec<&str> =
            answer.history.iter().filter(|turn| turn.role == TurnRole::User).map(|turn| turn.text.as_str()).collect();
        assert!(user.is_empty() || user == ["What is the code?"], "what the person said stays");
    }
    assert_eq!(read(&*store, tenant, third).await.0.text, "You are welcome.");
    let kept = store.events_after(tenant, second, 0).await.expect("events");
    assert!(
        kept.iter().any(|event| matches!(&event.kind, AnswerEventKind::Retrieval { passages } if passages.len() == 1))
    );
}

pub async fn another_tenants_answers_are_not_redacted<S: Database>(store: Arc<S>) {
    let (mine, theirs) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    let text = "The code is zebra.";
    let (my_document, their_document) =
        (mine.indexed("a", "1", &[text]).await, theirs.indexed("a", "1", &[text]).await);
    let kinds = |shown: &vectrion_core::search::Passage| {
        vec![started(), retrieval(std::slice::from_ref(shown)), delta(text), cites(shown, 5), done()]
    };
    told(&*store, mine.tenant, "q", kinds(&passage(&my_document, text))).await;
    let id = told(&*store, theirs.tenant, "q", kinds(&passage(&their_document, text))).await;
    let history = vec![turn(TurnRole::Assistant, text)];
    let repeated = begun(&*store, theirs.tenant, "q", history.clone()).await;
    let before = store.answer(theirs.tenant, id).await.expect("a look");
    mine.delete(my_document.id).await;
    assert_eq!(store.answer(theirs.tenant, id).await.expect("a look"), before);
    let repeated = store.answer(theirs.tenant, repeated).await.expect("a look").expect("it");
    assert_eq!(repeated.history, history);
}
