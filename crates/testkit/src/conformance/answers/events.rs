//! Events and what they come to.

use std::{sync::Arc, time::Duration};

use vectrion_core::{
    ErrorKind::{AlreadyExists, NotFound},
    answer::{AnswerEventKind, FinishReason, Latency, TurnRole, Usage},
    ids::{AnswerId, KeyId, TenantId},
    ports::answers::NewAnswer,
};

use super::{begun, cites, delta, done, events, passage, retrieval, started, told, turn};
use crate::conformance::scenario::{Database, Scenario, pass, refused};

pub async fn an_answer_is_what_its_events_come_to<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.indexed("a", "1", &["one"]).await;
    let passages = [passage(&document, "one"), passage(&document, "two")];
    let (tenant, id, key) = (scenario.tenant, AnswerId::new(), KeyId::new());
    let history = vec![turn(TurnRole::User, "before?"), turn(TurnRole::Assistant, "so.")];
    let new = NewAnswer {
        id,
        tenant,
        key,
        question: "why?".to_owned(),
        history: history.clone(),
        model: "a model".to_owned(),
        prompt_version: "p7".to_owned(),
    };
    store.create_answer(new.clone()).await.expect("begun");
    refused(store.create_answer(new).await, AlreadyExists, "ANSWER_EXISTS");
    let begun = store.answer(tenant, id).await.expect("a look").expect("the answer");
    assert_eq!((begun.id, begun.tenant, begun.key), (id, tenant, key));
    assert_eq!((begun.question.as_str(), &begun.history), ("why?", &history));
    assert_eq!((begun.model.as_str(), begun.prompt_version.as_str()), ("a model", "p7"));
    assert_eq!((begun.text.as_str(), begun.passages.len(), begun.end.is_none()), ("", 0, true));
    assert_eq!((begun.usage, begun.end_time), (Usage::default(), None));

    let kinds = [started(), retrieval(&passages), delta("Beca"), delta("use \u{1F600}.")];
    assert!(!store.append_events(tenant, id, events(1, kinds)).await.expect("stored"));
    let midway = store.answer(tenant, id).await.expect("a look").expect("the answer");
    assert_eq!((midway.text.as_str(), midway.passages.as_slice()), ("Because \u{1F600}.", passages.as_slice()));
    assert_eq!((midway.end.as_ref(), midway.end_time), (None, None));

    let usage = Usage {
        prompt_tokens: 5,
        completion_tokens: 7,
        estimated: true,
        cost_micros: 9,
        latency: Latency { embed_ms: 0.1, search_ms: 2.5, first_token_ms: 1.0 / 3.0, total_ms: 1e6 },
    };
    let kinds = [cites(&passages[0], 4), AnswerEventKind::Usage(usage.clone()), done()];
    store.append_events(tenant, id, events(5, kinds)).await.expect("stored");
    let ended = store.answer(tenant, id).await.expect("a look").expect("the answer");
    assert_eq!((ended.text, ended.usage, ended.end), (midway.text, usage, Some(done())));
    assert!(ended.end_time >= Some(ended.create_time));
    assert_eq!(store.answer(tenant, AnswerId::new()).await.expect("a look"), None);
}

pub async fn events_come_back_in_order_after_a_number<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = begun(&*store, tenant, "q", vec![]).await;
    let mut kinds = vec![started()];
    kinds.extend((0..700).map(|i| delta(&format!("{i} "))));
    kinds.push(AnswerEventKind::Guard { rule: "r".to_owned(), action: "removed".to_owned(), reason: "x".to_owned() });
    kinds.push(AnswerEventKind::Error { code: 4, reason: "TIMEOUT".to_owned(), message: "too long".to_owned() });
    let all = events(1, kinds);
    for piece in all.chunks(600) {
        store.append_events(tenant, id, piece.to_vec()).await.expect("stored");
    }
    assert_eq!(store.events_after(tenant, id, 0).await.expect("events"), all);
    assert_eq!(store.events_after(tenant, id, 700).await.expect("events"), all[700..]);
    assert!(store.events_after(tenant, id, 703).await.expect("events").is_empty());
    assert!(store.events_after(tenant, AnswerId::new(), 0).await.expect("no error").is_empty());
    let nothing = store.append_events(tenant, AnswerId::new(), events(1, [started()])).await;
    refused(nothing, NotFound, "ANSWER_NOT_FOUND");
}

pub async fn events_that_are_there_stay_as_they_are<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = begun(&*store, tenant, "q", vec![]).await;
    store.append_events(tenant, id, events(1, [started(), delta("one")])).await.expect("stored");
    let again = events(1, [started(), delta("other"), delta(" two")]);
    store.append_events(tenant, id, again.clone()).await.expect("stored");
    store.append_events(tenant, id, again).await.expect("stored");
    store.append_events(tenant, id, vec![]).await.expect("nothing to store");
    assert_eq!(store.answer(tenant, id).await.expect("a look").expect("it").text, "one two");
    assert_eq!(store.events_after(tenant, id, 0).await.expect("events").len(), 3);
}

pub async fn nothing_comes_after_the_end<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = told(&*store, tenant, "q", vec![started(), delta("text"), done(), delta(" more")]).await;
    store.append_events(tenant, id, events(4, [delta(" and more"), done()])).await.expect("no error");
    let all = store.events_after(tenant, id, 0).await.expect("events");
    assert_eq!((all.len(), all.iter().filter(|event| event.kind.is_terminal()).count()), (3, 1));
    assert_eq!(store.answer(tenant, id).await.expect("a look").expect("it").text, "text");
}

pub async fn writers_at_once_store_each_event_once<S: Database + 'static>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = begun(&*store, tenant, "q", vec![]).await;
    let all = events(1, (0..30).map(|i| delta(&format!("{i} "))));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (store, all) = (Arc::clone(&store), all.clone());
            tokio::spawn(async move {
                for end in (3..=30).step_by(3) {
                    store.append_events(tenant, id, all[..end].to_vec()).await.expect("stored");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    assert_eq!(store.events_after(tenant, id, 0).await.expect("events"), all);
}

pub async fn a_writer_is_told_to_stop<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let id = begun(&*store, tenant, "q", vec![]).await;
    assert!(!store.append_events(tenant, id, events(1, [started()])).await.expect("stored"));
    store.request_cancel(tenant, id).await.expect("asked");
    assert!(store.append_events(tenant, id, events(2, [delta("x")])).await.expect("stored"));
    let end = AnswerEventKind::Done { finish_reason: FinishReason::Cancelled };
    assert!(store.append_events(tenant, id, events(3, [end])).await.expect("stored"));

    let ended = told(&*store, tenant, "q", vec![started(), done()]).await;
    let before = store.answer(tenant, ended).await.expect("a look");
    store.request_cancel(tenant, ended).await.expect("no error");
    assert_eq!(store.answer(tenant, ended).await.expect("a look"), before);
    assert!(!store.append_events(tenant, ended, events(3, [delta("x")])).await.expect("no error"));
    store.request_cancel(tenant, AnswerId::new()).await.expect("a missing one is no error");
}

pub async fn answers_that_nobody_writes_are_ended<S: Database>(store: Arc<S>) {
    let (a, b) = (Scenario::new(&*store).await.tenant, Scenario::new(&*store).await.tenant);
    let silent = begun(&*store, a, "q", vec![]).await;
    let abandoned = told(&*store, b, "q", vec![started(), delta("so far")]).await;
    let ended = told(&*store, a, "q", vec![started(), done()]).await;
    assert_eq!(store.end_abandoned(60_000, "GONE", "gone").await.expect("ended"), 0, "not idle for long enough");
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let alive = told(&*store, a, "q", vec![started()]).await;
    assert_eq!(store.end_abandoned(1500, "GONE", "gone").await.expect("ended"), 2);
    for (tenant, id, sequence) in [(a, silent, 1), (b, abandoned, 3)] {
        let last = store.events_after(tenant, id, 0).await.expect("events").pop().expect("an end");
        let AnswerEventKind::Error { reason, message, .. } = &last.kind else { panic!("{last:?}") };
        assert_eq!((last.sequence, reason.as_str(), message.as_str()), (sequence, "GONE", "gone"));
        let answer = store.answer(tenant, id).await.expect("a look").expect("it");
        assert!(answer.end == Some(last.kind) && answer.end_time.is_some());
    }
    assert_eq!(store.answer(b, abandoned).await.expect("a look").expect("it").text, "so far");
    assert_eq!(store.answer(a, ended).await.expect("a look").expect("it").end, Some(done()));
    assert_eq!(store.answer(a, alive).await.expect("a look").expect("it").end, None);
    store.append_events(b, abandoned, events(3, [delta(" late"), done()])).await.expect("no error");
    assert_eq!(store.events_after(b, abandoned, 0).await.expect("events").len(), 3, "a late writer changes nothing");
    pass().await;
    assert_eq!(store.end_abandoned(0, "GONE", "gone").await.expect("ended"), 1, "at once, for a lone process");
}

pub async fn old_answers_are_purged<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.indexed("a", "1", &["one"]).await;
    let kinds = vec![started(), retrieval(&[passage(&document, "one")]), done()];
    let old = told(&*store, scenario.tenant, "q", kinds).await;
    begun(&*store, scenario.tenant, "q", vec![turn(TurnRole::User, "x")]).await;
    pass().await;
    assert_eq!(store.purge_answers(3_600_000).await.expect("purged"), 0, "not that old");
    assert_eq!(store.purge_answers(0).await.expect("purged"), 2);
    assert_eq!(store.answer(scenario.tenant, old).await.expect("a look"), None);
    assert!(store.events_after(scenario.tenant, old, 0).await.expect("no error").is_empty());
    scenario.delete(document.id).await;
}

pub async fn another_tenants_answers_are_missing<S: Database>(store: Arc<S>) {
    let (mine, theirs) = (Scenario::new(&*store).await.tenant, Scenario::new(&*store).await.tenant);
    let id = told(&*store, theirs, "q", vec![started(), delta("x")]).await;
    assert_eq!(store.answer(mine, id).await.expect("a look"), None);
    assert!(store.events_after(mine, id, 0).await.expect("no error").is_empty());
    refused(store.append_events(mine, id, events(3, [done()])).await, NotFound, "ANSWER_NOT_FOUND");
    store.request_cancel(mine, id).await.expect("no error");
    assert!(!store.append_events(theirs, id, events(3, [done()])).await.expect("stored"), "nothing was changed");
}

async fn one<S: Database>(store: &S, tenant: TenantId) -> AnswerId {
    begun(store, tenant, "why?", Vec::new()).await
}

pub async fn of_many_answers_those_to_stop_are_told<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let other = Scenario::new(&*store).await.tenant;
    let ids = [one(&*store, tenant).await, one(&*store, other).await, one(&*store, tenant).await];
    assert!(store.answers_to_stop(&ids).await.expect("a look").is_empty());
    store.request_cancel(other, ids[1]).await.expect("asked");
    assert_eq!(store.answers_to_stop(&ids).await.expect("a look"), [ids[1]]);
    store.append_events(tenant, ids[2], events(1, [started(), done()])).await.expect("stored");
    let mut stop = store.answers_to_stop(&[ids[0], ids[2], AnswerId::new()]).await.expect("a look");
    assert_eq!(stop, [ids[2]], "it has ended");
    stop.clear();
    assert_eq!(store.answers_to_stop(&stop).await.expect("a look"), stop);
}

pub async fn an_answer_that_is_kept_is_not_given_up<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let (kept, left) = (one(&*store, tenant).await, one(&*store, tenant).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    store.keep_answers(&[kept, AnswerId::new()]).await.expect("kept");
    assert_eq!(store.end_abandoned(200, "GONE", "gone").await.expect("ended"), 1);
    assert!(store.answer(tenant, left).await.expect("a look").expect("it").end.is_some());
    assert!(store.answer(tenant, kept).await.expect("a look").expect("it").end.is_none());
}

pub async fn who_follows_an_answer_is_known_for_a_while<S: Database>(store: Arc<S>) {
    let tenant = Scenario::new(&*store).await.tenant;
    let other = Scenario::new(&*store).await.tenant;
    let id = one(&*store, tenant).await;
    assert!(!store.is_followed(tenant, id, 60_000).await.expect("a look"));
    store.follow_answer(other, id).await.expect("no error");
    assert!(!store.is_followed(tenant, id, 60_000).await.expect("a look"), "another tenant cannot");
    store.follow_answer(tenant, id).await.expect("noted");
    assert!(store.is_followed(tenant, id, 60_000).await.expect("a look"));
    assert!(!store.is_followed(other, id, 60_000).await.expect("a look"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!store.is_followed(tenant, id, 50).await.expect("a look"));
}
