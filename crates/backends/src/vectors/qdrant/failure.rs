//! What goes wrong between here and the server, as the errors of the port.

use std::{error::Error as StdError, time::Duration};

use tonic::{Code, Status};
use vectrion_core::{Error, ErrorKind};

use crate::vectors::KEY;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The server, or the way to it, answered so.
    #[error("the call failed")]
    Status(#[source] Status),
    /// There was no answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

impl Trouble {
    /// Whether the answer is that there is no such collection.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Status(status) if status.code() == Code::NotFound)
    }

    /// Whether the call may never have reached the server, or its answer not us: there is no status from the server.
    pub(super) fn is_lost_connection(&self) -> bool {
        matches!(self, Self::Status(status) if status.source().is_some())
    }

    /// Whether making something may have failed because somebody else makes it, or because it was made already.
    pub(super) fn may_be_a_race(&self) -> bool {
        match self {
            Self::Status(status) => matches!(
                status.code(),
                Code::AlreadyExists | Code::InvalidArgument | Code::FailedPrecondition | Code::Aborted | Code::Internal
            ),
            Self::TimedOut(_) => true,
        }
    }

    /// The error of a call that failed to do `task`.
    pub(super) fn into_error(self, task: &'static str) -> Error {
        let Self::Status(status) = &self else {
            let message = format!("the Qdrant server took too long to {task}");
            return Error::unavailable("VECTOR_INDEX_TIMEOUT", message).with_source(self);
        };
        if status.source().is_some() {
            return out_of_reach(status).with_source(self);
        }
        let says_full = status.message().contains("No space left on device");
        let error = match status.code() {
            Code::Unauthenticated => Error::precondition(
                "VECTOR_INDEX_UNAUTHORIZED",
                "the Qdrant server does not know the API key: set vectors.api_key to one that it was given",
            ),
            Code::PermissionDenied => Error::precondition(
                "VECTOR_INDEX_UNAUTHORIZED",
                format!(
                    "the Qdrant server does not let the key of vectors.api_key {task}: it must allow reading and writing"
                ),
            ),
            _ if says_full => Error::new(
                ErrorKind::ResourceExhausted,
                "STORAGE_FULL",
                "the disk of the Qdrant server is full: make room there, then try again",
            ),
            Code::ResourceExhausted => {
                let busy = Error::new(
                    ErrorKind::ResourceExhausted,
                    "VECTOR_INDEX_BUSY",
                    "the Qdrant server takes no more calls for now: try again in a moment",
                );
                busy.with_retry_after(retry_after(status).unwrap_or(Duration::from_secs(1)))
            }
            Code::DeadlineExceeded | Code::Cancelled => {
                Error::unavailable("VECTOR_INDEX_TIMEOUT", format!("the Qdrant server took too long to {task}"))
            }
            Code::Unavailable | Code::Aborted => {
                Error::unavailable("VECTOR_INDEX_UNAVAILABLE", format!("the Qdrant server cannot {task} now"))
            }
            Code::Unimplemented => Error::precondition(
                "VECTOR_INDEX_UNSUPPORTED",
                format!("what {KEY} names is no Qdrant server of version 1.18 or later: it cannot {task}"),
            ),
            Code::DataLoss => Error::new(
                ErrorKind::DataLoss,
                "VECTOR_INDEX_DAMAGED",
                "the Qdrant server says that its data is damaged: see its log, and restore the collection",
            ),
            _ => Error::internal("VECTOR_INDEX_FAILED", format!("the Qdrant server failed to {task}")),
        };
        error.with_source(self)
    }
}

/// How long the server asks to wait.
fn retry_after(status: &Status) -> Option<Duration> {
    let text = status.metadata().get("retry-after")?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

/// The error when there is no connection.
fn out_of_reach(status: &Status) -> Error {
    let chain: Vec<String> =
        std::iter::successors(status.source(), |error| (*error).source()).map(ToString::to_string).collect();
    let says = |text: &str| chain.iter().any(|link| link.contains(text));
    if says("invalid peer certificate") || says("received corrupt message") {
        return Error::precondition(
            "VECTOR_INDEX_INSECURE",
            format!(
                "there is no trusted TLS at the address of {KEY}: its certificate must be signed by an authority that the \
                 system or vectors.ca_file knows, and be for that host"
            ),
        );
    }
    // A server that does not speak HTTP/2 cannot be told from one that dies: the connection ends.
    Error::unavailable(
        "VECTOR_INDEX_UNAVAILABLE",
        format!("the Qdrant server of {KEY} cannot be reached; its gRPC port is 6334 unless set otherwise"),
    )
}

/// The error for an answer that a Qdrant server does not give.
pub(super) fn odd_answer(what: &'static str) -> Error {
    Error::internal("VECTOR_INDEX_FAILED", format!("the Qdrant server answered with {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: Status) -> Error {
        Trouble::Status(status).into_error("search")
    }

    #[test]
    fn a_status_becomes_the_error_that_says_what_to_do() {
        let unknown = error(Status::unauthenticated("Invalid API key or JWT"));
        assert_eq!((unknown.kind(), unknown.reason()), (ErrorKind::FailedPrecondition, "VECTOR_INDEX_UNAUTHORIZED"));
        assert!(unknown.message().contains("vectors.api_key") && !unknown.is_transient(), "{unknown}");
        let forbidden = error(Status::permission_denied("Global manage access is required"));
        assert!(forbidden.message().contains("vectors.api_key"), "{forbidden}");
        let full = "Service internal error: No space left on device: WAL buffer size exceeds available disk space";
        for full in [Status::internal(full), Status::resource_exhausted(full)] {
            let full = error(full);
            assert_eq!((full.kind(), full.reason()), (ErrorKind::ResourceExhausted, "STORAGE_FULL"));
        }
        let mut limited = Status::resource_exhausted("Rate limiting exceeded");
        limited.metadata_mut().insert("retry-after", "7".parse().unwrap());
        let limited = error(limited);
        assert_eq!((limited.reason(), limited.retry_after()), ("VECTOR_INDEX_BUSY", Some(Duration::from_secs(7))));
        assert_eq!(error(Status::internal("odd")).reason(), "VECTOR_INDEX_FAILED");
        let late = Trouble::TimedOut(Duration::from_secs(1)).into_error("search");
        assert_eq!((late.kind(), late.reason()), (ErrorKind::Unavailable, "VECTOR_INDEX_TIMEOUT"));
        let elsewhere = error(Status::unimplemented("grpc-status header missing, mapped from HTTP status code 404"));
        assert_eq!((elsewhere.reason(), elsewhere.is_transient()), ("VECTOR_INDEX_UNSUPPORTED", false));
    }
}
