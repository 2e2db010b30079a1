//! Errors as gRPC statuses: the one map from kinds to codes, and the details that go with them.

use std::{collections::HashMap, error::Error as StdError, fmt::Write as _};

use http::{HeaderMap, HeaderName};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, QuotaViolation, StatusExt as _};
use vectrion_core::{Error, ErrorKind};

const DOMAIN: &str = "vectrion";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The status code of a kind of error.
pub(crate) fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::OutOfRange => Code::OutOfRange,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::Aborted => Code::Aborted,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::DataLoss => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

/// The name of a code as it stands in logs and metrics.
pub(crate) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The status that tells a caller of an error. What is behind the error is logged here, once, and not sent.
pub(crate) fn of(error: &Error, trace_id: &str) -> Status {
    let code = code(error.kind());
    match error.kind() {
        ErrorKind::Internal | ErrorKind::DataLoss => tracing::error!(
            trace_id,
            reason = error.reason(),
            error = error.message(),
            causes = causes(error),
            "call failed"
        ),
        _ if error.source().is_some() => tracing::warn!(
            trace_id,
            code = name(code),
            reason = error.reason(),
            error = error.message(),
            causes = causes(error),
            "call failed"
        ),
        _ => {}
    }

    let mut metadata: HashMap<String, String> =
        error.metadata().iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    metadata.insert("trace_id".into(), trace_id.to_owned());
    let mut details = ErrorDetails::with_error_info(error.reason(), DOMAIN, metadata);
    if !error.violations().is_empty() {
        let violations = error.violations().iter();
        details.set_bad_request(violations.map(|v| FieldViolation::new(&v.field, &v.description)).collect::<Vec<_>>());
    }
    if let Some(after) = error.retry_after() {
        details.set_retry_info(Some(after));
    }
    if error.kind() == ErrorKind::ResourceExhausted {
        details.set_quota_failure(vec![QuotaViolation::new(error.reason(), error.message())]);
    }
    let message = match error.kind() {
        ErrorKind::Internal => format!("internal error; quote trace id {trace_id} to whoever runs this server"),
        _ => error.message().to_owned(),
    };
    Status::with_error_details(code, message, details)
}

/// What is behind an error, nearest first.
fn causes(error: &Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let separator = if text.is_empty() { "" } else { ": " };
        let _ = write!(text, "{separator}{error}");
        cause = error.source();
    }
    text
}

/// The code in these headers or trailers, if they end a call.
pub(crate) fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// Gives a status that the transport made (a message too large, not protobuf, a method that is not there) the details
/// that every error has. Statuses of ours have them already.
pub(crate) fn complete(headers: &mut HeaderMap, trace_id: &str) {
    let Some(status) = Status::from_header_map(headers) else { return };
    if status.code() == Code::Ok || headers.contains_key(GRPC_DETAILS) {
        return;
    }
    let message = status.message();
    let (kind, reason, message) = match status.code() {
        Code::OutOfRange if message.contains("decoded message length too large") => {
            (ErrorKind::ResourceExhausted, "MESSAGE_TOO_LARGE", format!("the request is too large: {message}"))
        }
        Code::OutOfRange if message.contains("encoded message length too large") => (
            ErrorKind::ResourceExhausted,
            "RESPONSE_TOO_LARGE",
            format!("the response is too large, ask for fewer at once: {message}"),
        ),
        Code::Unimplemented if message.is_empty() => {
            return unknown_method(headers, trace_id);
        }
        Code::Unimplemented => {
            return replace(headers, &with(Code::Unimplemented, "UNSUPPORTED_ENCODING", message, trace_id));
        }
        // tonic's word for bytes that are no message of the method.
        Code::Internal => {
            (ErrorKind::InvalidArgument, "MALFORMED_MESSAGE", format!("the request cannot be read: {message}"))
        }
        Code::Cancelled => (ErrorKind::Cancelled, "CANCELLED", "the call was cancelled".to_owned()),
        other => return replace(headers, &with(other, name(other), message, trace_id)),
    };
    replace(headers, &of(&Error::new(kind, reason, message), trace_id));
}

/// The status of a call that does not exist.
pub(crate) fn unknown_method(headers: &mut HeaderMap, trace_id: &str) {
    let message = "this server has no such method; its reflection service lists what it has";
    replace(headers, &with(Code::Unimplemented, "UNKNOWN_METHOD", message, trace_id));
}

/// A status with nothing but its reason.
pub(crate) fn with(code: Code, reason: &str, message: &str, trace_id: &str) -> Status {
    let metadata = HashMap::from([("trace_id".to_owned(), trace_id.to_owned())]);
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, DOMAIN, metadata))
}

/// Puts a status in place of the one in these headers.
fn replace(headers: &mut HeaderMap, status: &Status) {
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        headers.remove(name);
    }
    // Fails for a message that is no header value, which tonic percent-encodes.
    let _ = status.add_header(headers);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    const KINDS: [(ErrorKind, Code); 14] = [
        (ErrorKind::InvalidArgument, Code::InvalidArgument),
        (ErrorKind::OutOfRange, Code::OutOfRange),
        (ErrorKind::Unauthenticated, Code::Unauthenticated),
        (ErrorKind::PermissionDenied, Code::PermissionDenied),
        (ErrorKind::NotFound, Code::NotFound),
        (ErrorKind::AlreadyExists, Code::AlreadyExists),
        (ErrorKind::FailedPrecondition, Code::FailedPrecondition),
        (ErrorKind::Aborted, Code::Aborted),
        (ErrorKind::ResourceExhausted, Code::ResourceExhausted),
        (ErrorKind::DeadlineExceeded, Code::DeadlineExceeded),
        (ErrorKind::Cancelled, Code::Cancelled),
        (ErrorKind::Unavailable, Code::Unavailable),
        (ErrorKind::DataLoss, Code::DataLoss),
        (ErrorKind::Internal, Code::Internal),
    ];

    #[test]
    fn every_kind_has_its_code_and_one_error_info() {
        for (kind, expected) in KINDS {
            let status = of(&Error::new(kind, "SOME_REASON", "what happened"), TRACE);
            assert_eq!(status.code(), expected);
            let details = status.get_error_details();
            let info = details.error_info().expect("an ErrorInfo");
            assert_eq!((info.reason.as_str(), info.domain.as_str()), ("SOME_REASON", "vectrion"));
            assert_eq!(info.metadata.get("trace_id").map(String::as_str), Some(TRACE));
            let infos = status.get_error_details_vec();
            let infos = infos.iter().filter(|detail| matches!(detail, tonic_types::ErrorDetail::ErrorInfo(_))).count();
            assert_eq!(infos, 1);
            assert_eq!(details.quota_failure().is_some(), kind == ErrorKind::ResourceExhausted);
        }
    }

    #[test]
    fn fields_facts_and_the_time_to_wait_are_told() {
        let error = Error::invalid_field("filter.collection", "must not be empty")
            .with_violation("top_k", "must be at most 100")
            .with_metadata("committed_size", "7")
            .with_retry_after(Duration::from_millis(1500));
        let details = of(&error, TRACE).get_error_details();
        let fields: Vec<_> =
            details.bad_request().expect("violations").field_violations.iter().map(|v| v.field.clone()).collect();
        assert_eq!(fields, ["filter.collection", "top_k"]);
        assert_eq!(details.retry_info().expect("a retry").retry_delay, Some(Duration::from_millis(1500)));
        assert_eq!(details.error_info().expect("info").metadata["committed_size"], "7");
    }

    #[test]
    fn what_is_behind_an_internal_error_is_not_sent() {
        let secret = std::io::Error::other("password=hunter2");
        let error = Error::internal("DATABASE", "query failed on users").with_source(secret);
        let status = of(&error, TRACE);
        assert_eq!(status.message(), format!("internal error; quote trace id {TRACE} to whoever runs this server"));
        assert!(!format!("{status:?}").contains("hunter2") && !format!("{status:?}").contains("users"));
        let error =
            Error::unavailable("DATABASE_UNAVAILABLE", "try again").with_source(std::io::Error::other("10.0.0.7"));
        let status = of(&error, TRACE);
        assert_eq!(status.message(), "try again");
        assert!(!format!("{status:?}").contains("10.0.0.7"));
    }

    #[test]
    fn causes_are_listed_nearest_first() {
        let deep = Error::unavailable("X", "second").with_source(std::io::Error::other("third"));
        assert_eq!(causes(&Error::internal("Y", "first").with_source(deep)), "second: third");
    }

    #[test]
    fn statuses_of_the_transport_get_details() {
        let too_large = "Error, decoded message length too large: found 9 bytes, the limit is: 4 bytes";
        for (status, code, reason) in [
            (Status::out_of_range(too_large), Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
            (Status::internal("failed to decode Protobuf message"), Code::InvalidArgument, "MALFORMED_MESSAGE"),
            (Status::unimplemented(""), Code::Unimplemented, "UNKNOWN_METHOD"),
            (Status::unimplemented("Content is compressed"), Code::Unimplemented, "UNSUPPORTED_ENCODING"),
            (Status::not_found("service not registered"), Code::NotFound, "NOT_FOUND"),
        ] {
            let mut headers = HeaderMap::new();
            status.add_header(&mut headers).expect("valid headers");
            complete(&mut headers, TRACE);
            assert_eq!(code_in(&headers), Some(code));
            let completed = Status::from_header_map(&headers).expect("a status");
            assert_eq!(completed.get_error_details().error_info().expect("an ErrorInfo").reason, reason);
        }
    }

    #[test]
    fn our_statuses_and_ok_stay_as_they_are() {
        for status in [of(&Error::internal("X", "y"), TRACE), Status::ok("")] {
            let mut headers = HeaderMap::new();
            status.add_header(&mut headers).expect("valid headers");
            let before = headers.clone();
            complete(&mut headers, TRACE);
            assert_eq!(headers, before);
        }
    }
}
