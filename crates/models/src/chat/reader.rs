//! Reads a model's response.

use std::time::Duration;

use eventsource_stream::{EventStream, EventStreamError};
use futures::StreamExt as _;
use reqwest::Response;
use vectrion_core::ports::models::{ChatEvent, ChatFinish};

use super::chunk::Chunk;
use crate::openai::{BodyStream, Break, Failure, Lines, is_json, read_to_end};

/// How long the end of the body is waited for after `[DONE]`, so that the connection can be used again.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(50);

/// A response being read.
pub(super) struct Reader {
    source: Source,
    usage: Option<ChatEvent>,
    finish: Option<ChatFinish>,
}

enum Source {
    Events(Box<EventStream<Lines<BodyStream>>>),
    /// The server answered whole although a stream was asked for.
    Whole(Option<Box<Chunk>>),
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Text; not empty.
    Text(String),
    /// No text, but the model works.
    Progress,
    /// Neither.
    Nothing,
    /// The answer is complete.
    Done,
}

impl Reader {
    /// Begins with the body of a successful response.
    pub(super) async fn open(
        response: Response,
        max_event_bytes: usize,
        max_total_bytes: usize,
    ) -> Result<Self, Failure> {
        let source = if is_json(&response) {
            let body = read_to_end(response, max_total_bytes).await.map_err(Failure::Broken)?;
            Source::Whole(Some(Box::new(Chunk::parse(&body).map_err(Failure::Broken)?)))
        } else {
            let body: BodyStream = Box::pin(response.bytes_stream());
            Source::Events(Box::new(EventStream::new(Lines::new(body, max_event_bytes, max_total_bytes))))
        };
        Ok(Self { source, usage: None, finish: None })
    }

    /// The next step. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Step, Failure> {
        let chunk = match &mut self.source {
            Source::Whole(chunk) => chunk.take().map(|chunk| *chunk),
            Source::Events(events) => {
                let event = match events.next().await {
                    Some(event) => event.map_err(|error| Failure::Broken(broken(error)))?,
                    None => return Err(Failure::Broken(Break::EndedEarly)),
                };
                match event.data.trim() {
                    "[DONE]" => None,
                    "" => return Ok(Step::Nothing),
                    data => Some(Chunk::parse(data.as_bytes()).map_err(Failure::Broken)?),
                }
            }
        };
        match chunk {
            Some(chunk) => Ok(self.take_in(chunk)),
            None if self.finish.is_some() => Ok(Step::Done),
            None => Err(Failure::Broken(Break::NoFinishReason)),
        }
    }

    /// Tokens, if the model counted them.
    pub(super) fn usage(&self) -> Option<ChatEvent> {
        self.usage.clone()
    }

    /// Why the model is done; there when [`Step::Done`] came.
    pub(super) fn finish(&self) -> Option<ChatFinish> {
        self.finish
    }

    /// Reads up to the end of the body, which is a few bytes away, so that the connection goes back to the pool.
    pub(super) async fn release(self) {
        if let Source::Events(mut events) = self.source {
            let rest = async { while let Some(Ok(_)) = events.next().await {} };
            // If the end does not come, the connection is closed, and nothing is lost but its next use.
            let _closed_instead = tokio::time::timeout(RELEASE_TIMEOUT, rest).await;
        }
    }

    fn take_in(&mut self, mut chunk: Chunk) -> Step {
        self.usage = chunk.usage().or(self.usage.take());
        self.finish = chunk.finish().or(self.finish);
        let progress = chunk.shows_progress();
        let text = chunk.take_text();
        match (text.is_empty(), progress) {
            (false, _) => Step::Text(text),
            (true, true) => Step::Progress,
            (true, false) => Step::Nothing,
        }
    }
}

/// The parser's errors quote the stream and are not kept.
fn broken(error: EventStreamError<Break>) -> Break {
    match error {
        EventStreamError::Transport(reason) => reason,
        EventStreamError::Utf8(_) => Break::NotUtf8,
        EventStreamError::Parser(_) => Break::NotEvents,
    }
}
