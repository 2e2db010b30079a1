//! The error that crosses ports and use cases.

use std::{collections::BTreeMap, error::Error as StdError, fmt, time::Duration};

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it is. The server maps each kind to one gRPC status code, exhaustively.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong whatever the state of the system.
    InvalidArgument,
    /// An offset or page beyond what is there.
    OutOfRange,
    /// Who calls is not known.
    Unauthenticated,
    /// Who calls may not do this.
    PermissionDenied,
    /// It is not there, or belongs to another tenant.
    NotFound,
    /// It is there already.
    AlreadyExists,
    /// The state of the system forbids it until somebody changes that state.
    FailedPrecondition,
    /// A concurrent change won; the same call may succeed when made again.
    Aborted,
    /// A limit, a quota or a full disk.
    ResourceExhausted,
    /// The time allowed ran out.
    DeadlineExceeded,
    /// The caller, or an operator, stopped it.
    Cancelled,
    /// A dependency is out of reach for now.
    Unavailable,
    /// Stored data is damaged.
    DataLoss,
    /// A defect of ours.
    Internal,
}

/// A rule that a field of a request breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request, such as `filter.collection`.
    pub field: String,
    /// The rule, as a sentence a person can act on.
    pub description: String,
}

/// A typed failure: kind, machine-readable reason, and a message that says what to do.
///
/// The message and the metadata are shown to the caller; the source is logged with the trace id and never sent.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    reason: &'static str,
    message: String,
    violations: Vec<Violation>,
    metadata: BTreeMap<&'static str, String>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind. `reason` is `UPPER_SNAKE_CASE` and stable: programs match on it.
    pub fn new(kind: ErrorKind, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                reason,
                message: message.into(),
                violations: Vec::new(),
                metadata: BTreeMap::new(),
                retry_after: None,
                source: None,
            }),
        }
    }

    /// [`ErrorKind::InvalidArgument`].
    pub fn invalid(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, reason, message)
    }

    /// [`ErrorKind::InvalidArgument`] naming one field and the rule it breaks, reason `INVALID_FIELD`.
    pub fn invalid_field(field: impl Into<String>, rule: impl Into<String>) -> Self {
        let (field, rule) = (field.into(), rule.into());
        Self::invalid("INVALID_FIELD", format!("{field}: {rule}")).with_violation(field, rule)
    }

    /// [`ErrorKind::NotFound`].
    pub fn not_found(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, reason, message)
    }

    /// [`ErrorKind::AlreadyExists`].
    pub fn already_exists(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::AlreadyExists, reason, message)
    }

    /// [`ErrorKind::FailedPrecondition`].
    pub fn precondition(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::FailedPrecondition, reason, message)
    }

    /// [`ErrorKind::Unavailable`].
    pub fn unavailable(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, reason, message)
    }

    /// [`ErrorKind::Internal`].
    pub fn internal(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, reason, message)
    }

    /// Keeps the cause, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Adds a field's violation.
    #[must_use]
    pub fn with_violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.inner.violations.push(Violation { field: field.into(), description: description.into() });
        self
    }

    /// Adds a fact that a program can read, such as the committed offset.
    #[must_use]
    pub fn with_metadata(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.inner.metadata.insert(key, value.into());
        self
    }

    /// Says when trying again makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.inner.retry_after = Some(after);
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The stable reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.inner.reason
    }

    /// The message for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Fields that break a rule.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.inner.violations
    }

    /// Facts for programs.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<&'static str, String> {
        &self.inner.metadata
    }

    /// When to try again, if the cause said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Whether the same work may succeed later without anybody changing it. Decides between a retry and a final
    /// failure of a job.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.inner.kind {
            ErrorKind::Aborted
            | ErrorKind::ResourceExhausted
            | ErrorKind::DeadlineExceeded
            | ErrorKind::Unavailable
            | ErrorKind::Internal => true,
            ErrorKind::InvalidArgument
            | ErrorKind::OutOfRange
            | ErrorKind::Unauthenticated
            | ErrorKind::PermissionDenied
            | ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::FailedPrecondition
            | ErrorKind::Cancelled
            | ErrorKind::DataLoss => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.inner.kind).field("reason", &self.inner.reason).field("message", &self.inner.message);
        if let Some(source) = &self.inner.source {
            out.field("source", source);
        }
        out.finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}
