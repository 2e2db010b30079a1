//! Asking questions: how long until something comes.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use vectrion::v1::{AnswerRequest, FinishReason, SearchMode, answer_event::Event};

use crate::{Target, figures, questions};

#[derive(Args)]
pub(crate) struct AnswersArguments {
    #[command(flatten)]
    target: Target,
    /// Answers that are measured; the questions are asked in turns.
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// Answers before them that are not.
    #[arg(long, default_value_t = 10)]
    warm_up: usize,
}

/// One caller asks one question after the other.
pub(crate) async fn run(arguments: AnswersArguments) -> anyhow::Result<()> {
    let questions = questions::read(&arguments.target.questions)?;
    let client = arguments.target.connect().await?;
    let (mut first_event, mut first_text, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let (mut nothing_relevant, mut broken) = (0, 0);
    for number in 0..arguments.warm_up + arguments.count {
        let request = AnswerRequest {
            question: questions[number % questions.len()].text.clone(),
            mode: SearchMode::from(arguments.target.mode).into(),
            top_k: arguments.target.top_k,
            ..AnswerRequest::default()
        };
        let began = Instant::now();
        let mut events = client.query().answer(request).await?.into_inner();
        let mut event_after: Option<Duration> = None;
        let mut text_after: Option<Duration> = None;
        let mut reason = None;
        while let Some(message) = events.message().await? {
            event_after.get_or_insert_with(|| began.elapsed());
            match message.event.and_then(|event| event.event) {
                Some(Event::Delta(_)) => drop(text_after.get_or_insert_with(|| began.elapsed())),
                Some(Event::Done(done)) => reason = Some(done.finish_reason()),
                _ => {}
            }
        }
        if number < arguments.warm_up {
            continue;
        }
        whole.push(began.elapsed());
        first_event.extend(event_after);
        first_text.extend(text_after);
        nothing_relevant += usize::from(reason == Some(FinishReason::NoRelevantContent));
        broken += usize::from(reason.is_none());
    }
    println!(
        "{}",
        json!({
            "first_event_ms": figures::milliseconds(first_event),
            "first_text_ms": figures::milliseconds(first_text),
            "whole_ms": figures::milliseconds(whole),
            "no_relevant_content": nothing_relevant,
            "without_done": broken,
        })
    );
    Ok(())
}
