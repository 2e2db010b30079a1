//! What the server answers.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

/// How one request is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) before_headers: Before,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) content: Content,
    pub(super) end: End,
}

/// What happens before the status line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    Wait(Duration),
    Hang,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Steps of a chat completion: server-sent events, or one JSON object if the request does not ask for a stream.
    Chat(Vec<Step>),
    /// Vectors for the inputs of the request.
    Embeddings(Answers),
    /// A body as it is.
    Body { content_type: &'static str, steps: Vec<Step> },
}

/// A step of a body.
#[derive(Clone, Debug)]
pub enum Step {
    /// The chunk with which most servers begin: a role and no text.
    Role,
    /// A chunk with text.
    Delta(String),
    /// A chunk whose only choice has this delta.
    DeltaObject(Value),
    /// A chunk that says why the model is done.
    Finish(&'static str),
    /// The chunk without choices that counts the tokens; left out unless the request asks for it.
    Usage,
    /// `data: [DONE]`.
    Done,
    /// An event with this data.
    Event(String),
    /// Bytes as they are.
    Raw(Bytes),
    /// The same bytes many times.
    Repeat(Bytes, usize),
    /// Nothing for a while.
    Pause(Duration),
    /// Nothing for ever.
    Hang,
}

impl Step {
    /// A chunk with text.
    #[must_use]
    pub fn delta(text: impl Into<String>) -> Self {
        Self::Delta(text.into())
    }

    /// An event with this JSON.
    #[must_use]
    pub fn event(data: &Value) -> Self {
        Self::Event(data.to_string())
    }

    /// Bytes as they are.
    #[must_use]
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::Raw(bytes.into())
    }
}

/// How the connection ends after the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The body is complete by the rules of HTTP.
    Complete,
    /// The connection is closed without the end of the body.
    Cut,
    /// The connection is reset.
    Reset,
}

/// What is wrong with an answer to a request for embeddings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answers {
    /// Nothing.
    Right,
    /// In reverse order, with the right `index` each.
    Reversed,
    /// Without `index`.
    WithoutIndex,
    /// Every vector says that it is the first.
    SameIndex,
    /// The last one is missing.
    OneMissing,
    /// Vectors of another length, whatever the request asks for.
    Dimension(usize),
    /// Vectors that are so many times longer than 1.
    Scaled(f32),
    /// Floats whatever encoding the request asks for.
    FloatsOnly,
}

impl Reply {
    fn with(status: u16, content: Content) -> Self {
        Self { before_headers: Before::Wait(Duration::ZERO), status, headers: Vec::new(), content, end: End::Complete }
    }

    /// A whole answer in these pieces: role, text, finish reason `stop`, tokens, `[DONE]`.
    pub fn chat<T: Into<String>>(deltas: impl IntoIterator<Item = T>) -> Self {
        let mut steps = vec![Step::Role];
        steps.extend(deltas.into_iter().map(|delta| Step::Delta(delta.into())));
        steps.extend([Step::Finish("stop"), Step::Usage, Step::Done]);
        Self::script(steps)
    }

    /// Exactly these steps of a chat completion.
    #[must_use]
    pub fn script(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::with(200, Content::Chat(steps.into_iter().collect()))
    }

    /// Vectors of [`super::hash_embedding`] for the inputs.
    #[must_use]
    pub fn embeddings() -> Self {
        Self::wrong_embeddings(Answers::Right)
    }

    /// The same, with something wrong.
    #[must_use]
    pub fn wrong_embeddings(answers: Answers) -> Self {
        Self::with(200, Content::Embeddings(answers))
    }

    /// A body of this type in steps, of which [`Step::Raw`], [`Step::Repeat`], [`Step::Pause`], [`Step::Hang`] fit.
    #[must_use]
    pub fn body(content_type: &'static str, steps: impl IntoIterator<Item = Step>) -> Self {
        Self::with(200, Content::Body { content_type, steps: steps.into_iter().collect() })
    }

    /// An error as OpenAI words it. The message holds a canary, so that a test can see whether it leaks.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        let body = json!({ "error": { "message": format!("{} {code}", Self::CANARY), "type": "test", "code": code } });
        let mut reply = Self::body("application/json", [Step::raw(body.to_string())]);
        reply.status = status;
        reply
    }

    /// Stands in every error's message.
    pub const CANARY: &str = "canary-b5a1 of the server's body";

    /// 429 with `Retry-After` in seconds.
    #[must_use]
    pub fn rate_limited(retry_after_seconds: u64) -> Self {
        Self::error(429, "rate_limit_exceeded").header("retry-after", retry_after_seconds.to_string())
    }

    /// Accepts the request and never answers.
    #[must_use]
    pub fn hang() -> Self {
        let mut reply = Self::script([]);
        reply.before_headers = Before::Hang;
        reply
    }

    /// Waits before the status line.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.before_headers = Before::Wait(wait);
        self
    }

    /// Waits before each piece of text.
    #[must_use]
    pub fn delta_every(mut self, pause: Duration) -> Self {
        if let Content::Chat(steps) = &mut self.content {
            *steps = std::mem::take(steps)
                .into_iter()
                .flat_map(|step| match step {
                    Step::Delta(_) => vec![Step::Pause(pause), step],
                    _ => vec![step],
                })
                .collect();
        }
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// With another end.
    #[must_use]
    pub fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}
