//! `vectrion ask`: streams an answer, and takes a broken stream up again.

use std::collections::HashMap;

use tonic::{Code, Status, Streaming};
use vectrion::client::Client;
use vectrion::v1::{
    AnswerEvent, AnswerRequest, AnswerResponse, FinishReason, Passage, ResumeAnswerRequest, ResumeAnswerResponse,
    answer_event::Event,
};

use super::search;
use crate::{
    args::AskArgs,
    failure::Failure,
    output::{self, Output},
};

/// Times that a broken stream is taken up again.
const RESUMES: u32 = 3;

enum Stream {
    First(Streaming<AnswerResponse>),
    Resumed(Streaming<ResumeAnswerResponse>),
}

impl Stream {
    async fn next(&mut self) -> Result<Option<AnswerEvent>, Status> {
        Ok(match self {
            Self::First(stream) => stream.message().await?.and_then(|message| message.event),
            Self::Resumed(stream) => stream.message().await?.and_then(|message| message.event),
        })
    }
}

pub(crate) async fn run(client: &Client, output: &Output, args: AskArgs) -> Result<(), Failure> {
    let request = AnswerRequest {
        question: args.question,
        mode: search::mode(args.options.mode).into(),
        top_k: search::top_k(&args.options),
        min_score: args.options.min_score,
        filter: Some(search::filter(&args.options)?),
        history: Vec::new(),
        max_tokens: args.max_tokens.and_then(|tokens| i32::try_from(tokens).ok()).unwrap_or(0),
    };
    let mut stream = Stream::First(client.query().answer(request).await?.into_inner());
    let mut screen = Screen::default();
    let mut seen = (String::new(), 0_i64);
    let mut resumes = 0;
    loop {
        match stream.next().await {
            Ok(Some(event)) => {
                seen = (event.answer_id.clone(), event.sequence);
                let last = matches!(event.event, Some(Event::Done(_) | Event::Error(_)));
                if output.is_json() {
                    output.message("AnswerEvent", &event, |_| String::new())?;
                } else {
                    screen.show(output, &event)?;
                }
                if last {
                    return match event.event {
                        Some(Event::Error(error)) if output.is_json() => {
                            Err(Failure::from(Status::new(Code::from_i32(error.code), error.message)))
                        }
                        Some(Event::Error(error)) => Err(Failure::Other(anyhow::anyhow!(
                            "the answer broke off: {} ({})",
                            error.message,
                            error.reason
                        ))),
                        _ => Ok(()),
                    };
                }
            }
            // A stream without its terminal event was cut off, whatever the transport says.
            Ok(None) | Err(_) if resumes < RESUMES && !seen.0.is_empty() => {
                resumes += 1;
                let request = ResumeAnswerRequest { answer_id: seen.0.clone(), after_sequence: seen.1 };
                match client.query().resume_answer(request).await {
                    Ok(resumed) => stream = Stream::Resumed(resumed.into_inner()),
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(500)).await,
                }
            }
            Ok(None) => {
                return Err(Failure::Unreachable("the connection was lost before the answer was complete".into()));
            }
            Err(status) => return Err(status.into()),
        }
    }
}

/// What a person sees of an answer.
#[derive(Default)]
struct Screen {
    extractive: bool,
    passages: HashMap<String, Passage>,
    sources: Vec<(String, String)>,
    said: bool,
}

impl Screen {
    fn show(&mut self, output: &Output, event: &AnswerEvent) -> Result<(), Failure> {
        match &event.event {
            Some(Event::Started(started)) => self.extractive = started.model == "extractive",
            Some(Event::Retrieval(retrieval)) => {
                let passages = retrieval.passages.iter();
                self.passages = passages.map(|passage| (passage.passage_id.clone(), passage.clone())).collect();
            }
            Some(Event::Delta(delta)) => {
                self.said = true;
                output.raw(&delta.text)?;
            }
            Some(Event::Citation(citation)) => {
                let source = (citation.passage_id.clone(), citation.quote.clone());
                let number = match self.sources.iter().position(|known| known.0 == source.0) {
                    Some(position) => position + 1,
                    None => {
                        self.sources.push(source);
                        self.sources.len()
                    }
                };
                output.raw(&format!(" [{number}]"))?;
            }
            Some(Event::Done(done)) => return self.end(output, done.finish_reason()),
            Some(Event::Error(_)) if self.said => output.raw("\n")?,
            Some(Event::Guard(_) | Event::Usage(_) | Event::Error(_)) | None => {}
        }
        Ok(())
    }

    fn end(&self, output: &Output, reason: FinishReason) -> Result<(), Failure> {
        if self.said {
            output.raw("\n")?;
        }
        if !self.sources.is_empty() {
            output.raw("\n")?;
        }
        for (number, (passage, quote)) in self.sources.iter().enumerate() {
            let place = self.passages.get(passage).map_or_else(|| passage.clone(), search::place);
            output.line(&format!("[{}] {place}: \u{201c}{}\u{201d}", number + 1, shortened(quote)))?;
        }
        match reason {
            FinishReason::NoRelevantContent => {
                output.line("No relevant content: nothing in the documents answers this question.")?;
            }
            FinishReason::Length => output::note("(cut at the limit of tokens; --max-tokens raises it)"),
            FinishReason::LowGrounding => output::note("(no citation of this answer could be verified)"),
            FinishReason::Cancelled => output::note("(cancelled)"),
            FinishReason::Guard => output::note("(stopped by a guard)"),
            FinishReason::Stop | FinishReason::Unspecified => {}
        }
        if self.extractive && self.said {
            output::note(
                "(extractive: sentences quoted from the documents; set VECTRION_MODELS_CHAT to have a model write)",
            );
        }
        Ok(())
    }
}

fn shortened(quote: &str) -> String {
    const MAX: usize = 160;
    match quote.char_indices().nth(MAX) {
        Some((at, _)) => format!("{}…", quote[..at].trim_end()),
        None => quote.to_owned(),
    }
}
