//! What a failed call says besides its code and message.

use std::{collections::HashMap, time::Duration};

use tonic::Status;
use tonic_types::StatusExt as _;

/// The details of a failed call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Stable reason, such as `DOCUMENT_NOT_FOUND`; programs match on it.
    pub reason: String,
    /// Facts for programs, such as `committed_size`.
    pub metadata: HashMap<String, String>,
    /// Fields of the request that break a rule, each with the rule.
    pub violations: Vec<(String, String)>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Details {
    /// Trace id of the call, to quote to whoever runs the server.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.metadata.get("trace_id").map(String::as_str)
    }
}

/// The details of a status that Vectrion made; none for one of the transport, such as a refused connection.
#[must_use]
pub fn details(status: &Status) -> Option<Details> {
    let details = status.check_error_details().ok()?;
    let info = details.error_info()?;
    let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
    Some(Details {
        reason: info.reason.clone(),
        metadata: info.metadata.clone(),
        violations: violations.iter().map(|v| (v.field.clone(), v.description.clone())).collect(),
        retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
    })
}

/// The stable reason of a status that Vectrion made.
///
/// ```
/// # use tonic::Status;
/// assert_eq!(vectrion::error::reason(&Status::unavailable("connection refused")), None);
/// ```
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    details(status).map(|details| details.reason)
}
