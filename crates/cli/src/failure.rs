//! How a command ends when it does not end well.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why a command failed; decides message and exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It did what it could, and some of it failed; all has been said.
    Partly,
    /// The command line is wrong.
    Usage(String),
    /// The server could not be reached.
    Unreachable(String),
    /// The server refused or failed.
    Refused(Box<Status>),
    /// Ctrl-C.
    Interrupted,
    /// Nobody reads the output any more.
    OutputClosed,
    /// Anything else.
    Other(anyhow::Error),
}

impl Failure {
    /// Exit codes, as `vectrion --help` lists them.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Partly | Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Interrupted => 130,
            Self::Refused(status) if broke_on_the_way(status) => 3,
            Self::Refused(status) => match status.code() {
                Code::InvalidArgument | Code::OutOfRange => 2,
                Code::Unavailable => 3,
                Code::Unauthenticated | Code::PermissionDenied => 4,
                Code::NotFound => 5,
                _ => 1,
            },
        }
    }

    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Partly | Self::OutputClosed => None,
            Self::Interrupted => Some("interrupted".into()),
            Self::Usage(message) | Self::Unreachable(message) => Some(message.clone()),
            Self::Refused(status) if broke_on_the_way(status) => Some(format!(
                "the connection to the server failed: {}; an address begins with https:// if the server has TLS, and with \
                 http:// if not",
                status.message()
            )),
            Self::Refused(status) => Some(explain(status)),
            Self::Other(error) => Some(format!("{error:#}")),
        }
    }
}

/// Whether the connection failed, not the server: a status that came from there has no source.
pub(crate) fn broke_on_the_way(status: &Status) -> bool {
    std::error::Error::source(status).is_some() && status.code() != Code::DeadlineExceeded
}

/// The server's message, with the fields it names, and what to do about the commonest causes.
fn explain(status: &Status) -> String {
    let details = status.get_error_details();
    let mut text = status.message().to_owned();
    if let Some(bad) = details.bad_request() {
        for violation in &bad.field_violations {
            if !text.contains(&violation.description) {
                text.push_str(&format!("; {}: {}", violation.field, violation.description));
            }
        }
    }
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    if !reason.is_empty() {
        text.push_str(&format!(" ({reason})"));
    }
    match status.code() {
        Code::Unauthenticated => {
            text.push_str("; set VECTRION_API_KEY, or give --data-dir DIR of a server on this machine");
        }
        Code::Internal => {
            if let Some(trace) = details.error_info().and_then(|info| info.metadata.get("trace_id")) {
                text.push_str(&format!("; trace id {trace}"));
            }
        }
        _ => {}
    }
    text
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe { Self::OutputClosed } else { Self::Other(error.into()) }
    }
}
