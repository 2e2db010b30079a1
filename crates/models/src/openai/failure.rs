//! Why a call failed, and what the caller is told.

use std::time::Duration;

use vectrion_core::{Error, ErrorKind};

use super::{UpstreamError, breaker::Health};

/// Why a call failed. Holds nothing of what the server wrote but status and code, for it is logged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No connection.
    #[error("cannot connect to the model")]
    Connect(#[source] reqwest::Error),
    /// The connection was lost before the status line.
    #[error("the connection was lost before the response")]
    Transport(#[source] reqwest::Error),
    /// The server failed.
    #[error("the model answered with status {status} ({upstream})")]
    Status { status: u16, upstream: UpstreamError, retry_after: Option<Duration> },
    /// The server wants fewer requests.
    #[error("the model limits the rate of requests: status {status} ({upstream})")]
    RateLimited { status: u16, upstream: UpstreamError, retry_after: Option<Duration> },
    /// Our own limits, or the pause that the server asked for, leave no room for the request in its time.
    #[error("requests to the model are limited; there is room in {retry_after:?}")]
    Throttled { retry_after: Duration },
    /// The server does not take the request.
    #[error("the model refused the request: status {status} ({upstream})")]
    Refused { status: u16, upstream: UpstreamError },
    /// The request is beyond our own bound.
    #[error("the request of {bytes} bytes is larger than {limit}")]
    TooLarge { bytes: usize, limit: usize },
    /// The body is not what it should be.
    #[error("the model's answer is broken")]
    Broken(#[source] Break),
    /// Nothing of use came in time.
    #[error("the model sent nothing in time")]
    Silent,
    /// It began and then stopped.
    #[error("the model stopped sending")]
    Stalled,
    /// The caller's time, or the total time allowed, ran out.
    #[error("the time allowed ran out")]
    Deadline,
    /// The breaker is open.
    #[error("the model is left alone after failures in a row")]
    Open { retry_after: Duration },
    /// The vectors have another length than the index.
    #[error("the model's vectors have {actual} numbers where {expected} are expected")]
    Dimension { expected: usize, actual: usize },
}

/// What is wrong with a body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Break {
    #[error("the connection was lost")]
    Transport(#[source] reqwest::Error),
    #[error("an event is longer than allowed")]
    EventTooLong,
    #[error("the response is longer than allowed")]
    ResponseTooLong,
    #[error("the response is not UTF-8")]
    NotUtf8,
    #[error("the response is not a stream of events")]
    NotEvents,
    /// The parser's own message is dropped, for it quotes values.
    #[error("the response is not the expected JSON ({0:?} error)")]
    NotJson(serde_json::error::Category),
    #[error("the stream ended without its end mark")]
    EndedEarly,
    #[error("the stream ended without a finish reason")]
    NoFinishReason,
    #[error("the stream holds an error ({0})")]
    ErrorObject(UpstreamError),
    #[error("{0}")]
    Vectors(&'static str),
}

/// How a model is called in messages, and its reasons.
#[derive(Debug)]
pub(crate) struct Model {
    noun: &'static str,
    silent: &'static str,
    stalled: &'static str,
    timeout: &'static str,
    unavailable: &'static str,
    broken: &'static str,
    rate_limited: &'static str,
    refused: &'static str,
}

impl Model {
    pub(crate) const CHAT: Self = Self {
        noun: "the chat model",
        silent: "MODEL_FIRST_TOKEN_TIMEOUT",
        stalled: "MODEL_STALLED",
        timeout: "MODEL_TIMEOUT",
        unavailable: "MODEL_UNAVAILABLE",
        broken: "MODEL_STREAM_BROKEN",
        rate_limited: "MODEL_RATE_LIMITED",
        refused: "MODEL_REFUSED",
    };

    pub(crate) const EMBEDDER: Self = Self {
        noun: "the embedding model",
        silent: "EMBEDDER_TIMEOUT",
        stalled: "EMBEDDER_TIMEOUT",
        timeout: "EMBEDDER_TIMEOUT",
        unavailable: "EMBEDDER_UNAVAILABLE",
        broken: "EMBEDDER_ANSWER_BROKEN",
        rate_limited: "EMBEDDER_RATE_LIMITED",
        refused: "EMBEDDER_REFUSED",
    };
}

impl Failure {
    /// The failure that a status other than success, or the same inside a stream, stands for.
    pub(crate) fn from_status(status: u16, upstream: UpstreamError, retry_after: Option<Duration>) -> Self {
        match status {
            429 => Self::RateLimited { status, upstream, retry_after },
            408 | 425 | 500..=599 => Self::Status { status, upstream, retry_after },
            _ => Self::Refused { status, upstream },
        }
    }

    /// Whether another attempt may do better.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Transport(_) | Self::Status { .. } | Self::Broken(_) | Self::Silent => true,
            Self::RateLimited { upstream, .. } => !upstream.is_spent_quota(),
            Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Stalled
            | Self::Deadline
            | Self::Open { .. }
            | Self::Throttled { .. }
            | Self::Dimension { .. } => false,
        }
    }

    /// Whether only the rate of requests is in the way.
    pub(crate) fn is_rate(&self) -> bool {
        match self {
            Self::Throttled { .. } => true,
            Self::RateLimited { upstream, .. } => !upstream.is_spent_quota(),
            _ => false,
        }
    }

    /// What it says about the endpoint.
    pub(crate) fn health(&self) -> Health {
        match self {
            Self::Connect(_)
            | Self::Transport(_)
            | Self::Status { .. }
            | Self::Broken(_)
            | Self::Silent
            | Self::Stalled => Health::Failing,
            Self::RateLimited { .. } | Self::Refused { .. } | Self::Dimension { .. } => Health::Alive,
            Self::TooLarge { .. } | Self::Deadline | Self::Open { .. } | Self::Throttled { .. } => Health::Unknown,
        }
    }

    /// When the endpoint wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } | Self::RateLimited { retry_after, .. } => *retry_after,
            Self::Open { retry_after } | Self::Throttled { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// The error of the port.
    pub(crate) fn into_error(self, model: &Model) -> Error {
        let noun = model.noun;
        let mut error = match &self {
            Self::Connect(_) => Error::unavailable(
                model.unavailable,
                format!("{noun} cannot be reached: try again, or have an operator check that it runs at its base URL"),
            ),
            Self::Transport(_) => Error::unavailable(
                model.unavailable,
                format!("the connection to {noun} was lost before it answered: try again"),
            ),
            Self::Status { status, .. } => {
                Error::unavailable(model.unavailable, format!("{noun} failed with status {status}: try again later"))
            }
            Self::Open { .. } => Error::unavailable(
                model.unavailable,
                format!("{noun} failed several times in a row and is not called for a while: try again later"),
            ),
            Self::RateLimited { .. } | Self::Throttled { .. } => Error::new(
                ErrorKind::ResourceExhausted,
                model.rate_limited,
                format!("{noun} takes no more requests for now: try again later"),
            ),
            Self::Refused { status, upstream } => {
                Error::precondition(model.refused, refusal(noun, *status, upstream.code.as_deref()))
            }
            Self::TooLarge { bytes, limit } => Error::precondition(
                model.refused,
                format!("the request of {bytes} bytes is larger than the {limit} that {noun} is given: shorten it"),
            ),
            Self::Broken(_) => {
                Error::unavailable(model.broken, format!("the answer of {noun} broke off or is damaged: try again"))
            }
            Self::Silent => Error::new(
                ErrorKind::DeadlineExceeded,
                model.silent,
                format!("{noun} did not begin to answer in time: try again"),
            ),
            Self::Stalled => Error::new(
                ErrorKind::DeadlineExceeded,
                model.stalled,
                format!("{noun} stopped in the middle of its answer: try again"),
            ),
            Self::Deadline => Error::new(
                ErrorKind::DeadlineExceeded,
                model.timeout,
                format!("the time allowed ran out before {noun} was done: allow more, or ask for less"),
            ),
            Self::Dimension { expected, actual } => Error::precondition(
                "EMBEDDER_DIMENSION_MISMATCH",
                format!(
                    "{noun} answers with vectors of {actual} numbers where {expected} are expected: have an operator \
                     check its name and dimension"
                ),
            ),
        };
        if let Self::Status { status, upstream, .. }
        | Self::RateLimited { status, upstream, .. }
        | Self::Refused { status, upstream } = &self
        {
            error = error.with_metadata("model_status", status.to_string());
            if let Some(code) = &upstream.code {
                error = error.with_metadata("model_code", code.clone());
            }
        }
        if let Some(after) = self.retry_after() {
            error = error.with_retry_after(after);
        }
        error.with_source(self)
    }
}

/// What to do about a refusal.
fn refusal(noun: &str, status: u16, code: Option<&str>) -> String {
    match (status, code) {
        (_, Some("context_length_exceeded")) | (413, _) => {
            format!("{noun} takes no request of this length: shorten it, or have an operator lower the context setting")
        }
        (401 | 403, _) => {
            format!("{noun} refused the credentials (status {status}): have an operator check its API key")
        }
        (404 | 405, _) => {
            format!("{noun} is not there (status {status}): have an operator check its base URL and name")
        }
        (300..=399, _) => format!(
            "{noun} redirects (status {status}), which is not followed: have an operator set its final base URL"
        ),
        (_, code) => format!(
            "{noun} refused the request (status {status}, {}): have an operator check its settings",
            code.unwrap_or("no code")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_status(status: u16) -> Error {
        Failure::from_status(status, UpstreamError::default(), Some(Duration::from_secs(3))).into_error(&Model::CHAT)
    }

    #[test]
    fn statuses_become_the_errors_of_the_port() {
        for (status, kind, reason) in [
            (301, ErrorKind::FailedPrecondition, "MODEL_REFUSED"),
            (400, ErrorKind::FailedPrecondition, "MODEL_REFUSED"),
            (401, ErrorKind::FailedPrecondition, "MODEL_REFUSED"),
            (404, ErrorKind::FailedPrecondition, "MODEL_REFUSED"),
            (408, ErrorKind::Unavailable, "MODEL_UNAVAILABLE"),
            (429, ErrorKind::ResourceExhausted, "MODEL_RATE_LIMITED"),
            (500, ErrorKind::Unavailable, "MODEL_UNAVAILABLE"),
            (529, ErrorKind::Unavailable, "MODEL_UNAVAILABLE"),
        ] {
            let error = from_status(status);
            assert_eq!((error.kind(), error.reason()), (kind, reason), "status {status}");
            assert_eq!(error.metadata()["model_status"], status.to_string());
        }
        assert_eq!(from_status(503).retry_after(), Some(Duration::from_secs(3)));
        assert_eq!(from_status(429).retry_after(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_callers_deadline_says_nothing_about_the_endpoint() {
        assert_eq!(Failure::Deadline.health(), Health::Unknown);
        assert_eq!(Failure::Silent.health(), Health::Failing);
        assert_eq!(Failure::Deadline.into_error(&Model::CHAT).reason(), "MODEL_TIMEOUT");
    }

    #[test]
    fn a_spent_quota_is_not_tried_again() {
        let limited = |code: &str| Failure::RateLimited {
            status: 429,
            upstream: UpstreamError { code: Some(code.to_owned()), status: None },
            retry_after: None,
        };
        assert!(!limited("insufficient_quota").is_retryable());
        assert!(limited("rate_limit_exceeded").is_retryable());
    }
}
