//! What the broker's errors mean to a person.

use std::io;

use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};
use vectrion_core::Error;

use super::super::KEY;

/// The broker is out of reach. What is to be done stands in the database meanwhile.
pub(super) fn away() -> Error {
    Error::unavailable("QUEUE_UNAVAILABLE", "the broker cannot be reached; work goes on more slowly until it is back")
}

/// How far a connection had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connecting and logging in.
    Connect,
    /// Declaring queues, opening channels.
    Declare,
}

/// Why a connection could not be opened.
pub(super) fn explain(error: lapin::Error, phase: Phase) -> Error {
    let text = match error.kind() {
        ErrorKind::ProtocolError(protocol) => protocol.get_message().to_string(),
        _ => String::new(),
    };
    let explained = match (protocol_kind(&error), phase) {
        (Some(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)), Phase::Connect) => {
            refused("QUEUE_LOGIN_REFUSED", format!("the broker refuses user and password of {KEY}: {text}"))
        }
        (Some(AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)), Phase::Connect) => refused(
            "QUEUE_VHOST_REFUSED",
            format!(
                "the broker refuses the virtual host at the end of {KEY}; make it, or allow it to the user: {text}"
            ),
        ),
        (Some(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)), Phase::Declare) => refused(
            "QUEUE_PERMISSION_DENIED",
            format!("the user of {KEY} needs the rights to configure, write and read its queues: {text}"),
        ),
        (Some(AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)), _) => refused(
            "QUEUE_CONFLICT",
            format!(
                "at {KEY} there is a queue of the same name and another kind; remove it, or set queue.prefix: {text}"
            ),
        ),
        (Some(_), _) => refused("QUEUE_REFUSED", format!("the broker at {KEY} refuses the connection: {text}")),
        (None, _) => by_transport(&error),
    };
    explained.with_source(error)
}

fn protocol_kind(error: &lapin::Error) -> Option<&AMQPErrorKind> {
    match error.kind() {
        // A broker that is shutting down, or short of something, is back later.
        ErrorKind::ProtocolError(protocol)
            if !matches!(
                protocol.kind(),
                AMQPErrorKind::Hard(
                    AMQPHardError::CONNECTIONFORCED | AMQPHardError::INTERNALERROR | AMQPHardError::RESOURCEERROR
                )
            ) =>
        {
            Some(protocol.kind())
        }
        _ => None,
    }
}

fn by_transport(error: &lapin::Error) -> Error {
    let io = match error.kind() {
        ErrorKind::IOError(error) => Some(error.kind()),
        _ => None,
    };
    match io {
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => refused(
            "QUEUE_TLS_FAILED",
            format!(
                "no TLS connection to the broker of {KEY}: its certificate is not for this host or its authority is not \
                 known (queue.ca_path), or it does not speak TLS there (amqp:// is without)"
            ),
        ),
        Some(io::ErrorKind::ConnectionRefused) => unavailable("nothing listens at host and port of"),
        Some(io::ErrorKind::TimedOut) => silent(),
        _ => unavailable("no connection to the broker of"),
    }
}

/// Nobody answered in time.
pub(super) fn silent() -> Error {
    unavailable("no answer in time from host and port of")
}

fn unavailable(what: &str) -> Error {
    Error::unavailable("QUEUE_UNAVAILABLE", format!("{what} {KEY}; check the URL, and that the broker runs"))
}

fn refused(reason: &'static str, message: String) -> Error {
    Error::precondition(reason, message.trim_end_matches([':', ' ']).to_owned())
}

/// The URL, or a setting, cannot be used. The URL, which may hold a password, is not repeated.
pub(super) fn invalid(key: &'static str, rule: &'static str) -> Error {
    Error::invalid("INVALID_BACKEND_URL", format!("{key} {rule}")).with_violation(key, rule)
}
