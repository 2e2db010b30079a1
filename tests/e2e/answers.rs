//! Answers: quoted or written by a model, cited, resumed, cancelled, stored.

use std::time::Duration;

use tonic::Code;
use vectrion::v1::{
    AnswerEvent, AnswerRequest, CancelAnswerRequest, FinishReason, GetAnswerRequest, ResumeAnswerRequest, Role, Turn,
    TurnRole, answer::End, answer_event::Event,
};
use vectrion_testkit::openai::{OpenAiServer, Reply, RequestEnd, Step};

use crate::support::{PATIENCE, TestApp, client::reason};

const MANUAL: &[u8] = b"# Kestrel drone manual\n\n## Battery\n\nThe Kestrel flies for 42 minutes on one charge. Charging takes two hours.\n\n## Weather\n\nDo not fly the Kestrel in wind above 60 kilometres per hour.\n";

fn text(events: &[AnswerEvent]) -> String {
    events
        .iter()
        .filter_map(|event| match &event.event {
            Some(Event::Delta(delta)) => Some(delta.text.as_str()),
            _ => None,
        })
        .collect()
}

/// Checks what every stream keeps, and gives its finish reason.
fn finish(events: &[AnswerEvent]) -> FinishReason {
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(
        sequences,
        (1..=i64::try_from(events.len()).unwrap()).collect::<Vec<_>>(),
        "sequences from 1 without gaps"
    );
    let terminal = |event: &AnswerEvent| matches!(event.event, Some(Event::Done(_) | Event::Error(_)));
    assert_eq!(events.iter().filter(|event| terminal(event)).count(), 1);
    assert!(matches!(events[0].event, Some(Event::Started(_))));
    check_citations(events);
    match &events.last().unwrap().event {
        Some(Event::Done(done)) => done.finish_reason(),
        other => panic!("not done: {other:?}"),
    }
}

fn check_citations(events: &[AnswerEvent]) {
    let text = text(events);
    let fold = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let passages: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.event {
            Some(Event::Retrieval(retrieval)) => Some(retrieval.passages.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    for event in events {
        if let Some(Event::Citation(citation)) = &event.event {
            let range = usize::try_from(citation.start).unwrap()..usize::try_from(citation.end).unwrap();
            assert!(text.get(range.clone()).is_some_and(|part| !part.is_empty()), "{range:?} of {text:?}");
            let passage =
                passages.iter().find(|passage| passage.passage_id == citation.passage_id).expect("a shown passage");
            assert!(fold(&passage.text).contains(&fold(&citation.quote)), "{:?}", citation.quote);
        }
    }
}

fn citations(events: &[AnswerEvent]) -> usize {
    events.iter().filter(|event| matches!(event.event, Some(Event::Citation(_)))).count()
}

#[tokio::test]
async fn without_a_model_the_best_sentences_are_quoted() {
    let app = TestApp::start().await;
    let client = app.operator().await;
    client.index("kestrel.md", MANUAL).await;
    let events = client.ask("How long does the Kestrel fly on one charge?").await;
    assert_eq!(finish(&events), FinishReason::Stop);
    assert!(text(&events).starts_with("The Kestrel flies for 42 minutes on one charge."), "{}", text(&events));
    assert!(citations(&events) > 0);

    let events = client.ask("zxqv wobblefrotz glimmerplonk?").await;
    assert_eq!(finish(&events), FinishReason::NoRelevantContent);
    assert_eq!(text(&events), "", "nothing is invented");
    let status = client.query.clone().answer(AnswerRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);

    let follow_up = AnswerRequest {
        question: "And how long to charge it?".into(),
        history: vec![
            Turn { role: TurnRole::User.into(), text: "How long does the Kestrel fly?".into() },
            Turn { role: TurnRole::Assistant.into(), text: "For 42 minutes.".into() },
        ],
        ..AnswerRequest::default()
    };
    let events = client.answer(follow_up).await;
    assert!(text(&events).contains("two hours"), "{}", text(&events));
    app.stop().await;
}

async fn with_model() -> (OpenAiServer, TestApp) {
    let model = OpenAiServer::start().await;
    let url = model.base_url();
    let settings = [("models.chat", url.as_str()), ("models.chat_model", "scripted")];
    let app = TestApp::start_with(&settings).await;
    app.operator().await.index("kestrel.md", MANUAL).await;
    (model, app)
}

#[tokio::test]
async fn a_models_citations_are_checked_and_stored() {
    let (model, app) = with_model().await;
    let client = app.operator().await;
    model.queue_chat([Reply::chat([
        "The Kestrel flies for 42 min",
        "utes on one charge [",
        "1]. It is made of solid gold [1]. It has 77 rotors [9].",
    ])]);
    let events = client.ask("How long does the Kestrel fly on one charge?").await;
    assert_eq!(finish(&events), FinishReason::Stop);
    assert_eq!(
        text(&events),
        "The Kestrel flies for 42 minutes on one charge. It is made of solid gold. It has 77 rotors."
    );
    assert_eq!(citations(&events), 1, "what the passages do not support is not cited");
    let guards = events.iter().filter(|event| matches!(event.event, Some(Event::Guard(_)))).count();
    assert_eq!(guards, 2);

    let request = GetAnswerRequest { answer_id: events[0].answer_id.clone() };
    let stored = client.query.clone().get_answer(request.clone()).await.unwrap().into_inner().answer.unwrap();
    assert_eq!((stored.text.as_str(), stored.model.as_str()), (text(&events).as_str(), "scripted"));
    assert_eq!(stored.citations.len(), 1);
    assert!(!stored.passages.is_empty() && stored.usage.is_some_and(|usage| usage.completion_tokens > 0));
    assert!(matches!(stored.end, Some(End::Done(_))));
    let other = app.client("", Role::User).await;
    let status = other.query.clone().get_answer(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "ANSWER_NOT_FOUND"));

    model.queue_chat([Reply::chat(["NO_", "ANSWER"])]);
    let events = client.ask("How long does the Kestrel fly on one charge?").await;
    assert_eq!((finish(&events), text(&events).as_str()), (FinishReason::NoRelevantContent, ""));
    app.stop().await;
}

#[tokio::test]
async fn cancelling_the_call_stops_the_model() {
    let (model, app) = with_model().await;
    let client = app.operator().await;
    let many: Vec<String> = (0..200).map(|number| format!("word{number} ")).collect();
    model.queue_chat([Reply::chat(many.clone()).delta_every(Duration::from_millis(50))]);
    let request = AnswerRequest { question: "How long does the Kestrel fly?".into(), ..AnswerRequest::default() };
    let mut stream = client.query.clone().answer(request.clone()).await.unwrap().into_inner();
    let answer_id = loop {
        let event = stream.message().await.unwrap().unwrap().event.unwrap();
        if matches!(event.event, Some(Event::Delta(_))) {
            break event.answer_id;
        }
    };
    drop(stream);
    let left = |requests: &[vectrion_testkit::openai::Request]| {
        requests.last().is_some_and(|request| matches!(request.end, RequestEnd::ClientLeft { .. }))
    };
    assert!(model.wait_until(Duration::from_secs(5), left).await, "the model's call goes on");
    let resume = ResumeAnswerRequest { answer_id: answer_id.clone(), after_sequence: 0 };
    let mut stream = client.query.clone().resume_answer(resume).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        events.push(message.event.unwrap());
    }
    assert_eq!(finish(&events), FinishReason::Cancelled);

    model.queue_chat([Reply::chat(many).delta_every(Duration::from_millis(50))]);
    let mut stream = client.query.clone().answer(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().event.unwrap();
    let request = CancelAnswerRequest { answer_id: first.answer_id, request_id: String::new() };
    client.query.clone().cancel_answer(request).await.unwrap();
    let end = async {
        let mut last = None;
        while let Some(message) = stream.message().await.unwrap() {
            last = message.event.unwrap().event;
        }
        last
    };
    match tokio::time::timeout(PATIENCE, end).await.expect("the stream ends") {
        Some(Event::Done(done)) => assert_eq!(done.finish_reason(), FinishReason::Cancelled),
        other => panic!("{other:?}"),
    }
    app.stop().await;
}

#[tokio::test]
async fn an_answer_is_taken_up_again_where_it_broke() {
    let (model, app) = with_model().await;
    let client = app.operator().await;
    model.queue_chat([Reply::chat(["The Kestrel flies ", "for 42 minutes ", "on one charge [1]."])
        .delta_every(Duration::from_millis(100))]);
    let request = AnswerRequest { question: "How long does the Kestrel fly?".into(), ..AnswerRequest::default() };
    let mut stream = client.query.clone().answer(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().event.unwrap();
    let second = stream.message().await.unwrap().unwrap().event.unwrap();
    let request = ResumeAnswerRequest { answer_id: first.answer_id.clone(), after_sequence: second.sequence };
    let mut resumed = client.query.clone().resume_answer(request).await.unwrap().into_inner();
    let mut events = vec![first, second];
    while let Some(message) = resumed.message().await.unwrap() {
        events.push(message.event.unwrap());
    }
    assert_eq!(finish(&events), FinishReason::Stop);
    assert_eq!(text(&events), "The Kestrel flies for 42 minutes on one charge.");
    app.stop().await;
}

#[tokio::test]
async fn a_model_that_breaks_ends_the_stream_with_its_error() {
    let (model, app) = with_model().await;
    let client = app.operator().await;
    // The pause lets the first piece through: a model that breaks before it is asked again.
    let steps = [Step::Role, Step::delta("The Kestrel flies "), Step::Pause(Duration::from_millis(300))];
    model.queue_chat([Reply::script(steps).ending(vectrion_testkit::openai::End::Reset)]);
    let request = AnswerRequest { question: "How long does the Kestrel fly?".into(), ..AnswerRequest::default() };
    let mut stream = client.query.clone().answer(request).await.unwrap().into_inner();
    let mut last = None;
    let status = loop {
        match stream.message().await {
            Ok(Some(message)) => last = message.event.unwrap().event,
            Ok(None) => panic!("an error is followed by its status, after {last:?}"),
            Err(status) => break status,
        }
    };
    match last {
        Some(Event::Error(error)) => {
            assert_eq!(Code::from_i32(error.code), status.code());
            assert_eq!(error.reason, "MODEL_STREAM_BROKEN");
        }
        other => panic!("{other:?}"),
    }
    app.stop().await;
}
