//! Making a mutation once: the first success or permanent error of a request id is replayed for 24 hours.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vectrion_core::{
    Error, ErrorKind, Result,
    ids::TenantId,
    ports::{Idempotency, idempotency::Claimed},
};

/// After this time a claim whose process died, or stands still, is void. A call that is under way renews its claim, and one
/// that ends in any other way settles it or gives it up, so only a retry right after a crash waits for it.
const CLAIM_FOR: Duration = Duration::from_secs(20);
/// Time between renewals.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// Hint to a caller whose first call is still under way.
const IN_PROGRESS_RETRY: Duration = Duration::from_secs(1);

/// A mutation that a caller may name, so that it is made once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotentCall {
    /// Tenant of the caller; request ids of different tenants never meet.
    pub tenant: TenantId,
    /// The caller's name for the call; none: it is made each time.
    pub request: Option<Uuid>,
    /// Name of the method.
    pub method: &'static str,
    /// Hash of everything else that the caller said.
    pub parameters: [u8; 32],
}

/// Outcome of a call that was made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It was made just now.
    Fresh(Vec<u8>),
    /// It was made by an earlier call of the same request id.
    Replay(Vec<u8>),
}

impl Replayed {
    /// The outcome, whoever made it.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Fresh(bytes) | Self::Replay(bytes) => bytes,
        }
    }
}

/// Makes the call `make`, unless its request id was used before: then the first success or permanent error of that id is
/// given back. A transient error leaves the id free.
///
/// To be polled to its end: whoever drops it half way cannot know what was done, and leaves the id free all the same. A
/// call that may lose its caller runs on a task of its own.
///
/// A process that stood still for so long that another one took the id has lost it: it stops, and gives what the other
/// makes of the call.
///
/// # Errors
/// Those of `make`; `ALREADY_EXISTS`, reason `REQUEST_ID_REUSED`, if the id was used with another method or other
/// parameters; `ABORTED`, reason `REQUEST_IN_PROGRESS`, while the first call is under way.
pub async fn run<F>(known: &Arc<dyn Idempotency>, call: &IdempotentCall, make: F) -> Result<Replayed>
where
    F: Future<Output = Result<Vec<u8>>>,
{
    let Some(request) = call.request else {
        return make.await.map(Replayed::Fresh);
    };
    let mut work = Work::ToDo(make);
    loop {
        let token = match known.claim_request(call.tenant, request, call.method, call.parameters, claim_ms()).await? {
            Claimed::New { token } => token,
            Claimed::Replay(stored) => return replay(&stored),
            Claimed::InProgress => return Err(in_progress(request)),
            Claimed::Reused => {
                return Err(Error::already_exists(
                    "REQUEST_ID_REUSED",
                    format!("request id {request} was used for another call or with other parameters; use a new one"),
                )
                .with_metadata("request_id", request.to_string()));
            }
        };
        let mut claim = Claim { port: Some(Arc::clone(known)), tenant: call.tenant, request, token };
        let outcome = match work {
            Work::ToDo(make) => tokio::select! {
                outcome = make => Some(outcome),
                () = lost(known.as_ref(), call.tenant, request, token) => None,
            },
            Work::Done(outcome) => Some(outcome),
            // The other process gave the id free: who repeats the call makes it.
            Work::Stopped => return Err(in_progress(request)),
        };
        work = match outcome {
            Some(outcome) if claim.settle(&outcome).await => return outcome.map(Replayed::Fresh),
            Some(outcome) => Work::Done(outcome),
            None => {
                // Somebody else has it.
                claim.port = None;
                Work::Stopped
            }
        };
    }
}

/// How far a call has come in this process.
enum Work<F> {
    ToDo(F),
    /// With this outcome, which another process may have overtaken.
    Done(Result<Vec<u8>>),
    /// Half way, because another process makes it.
    Stopped,
}

fn in_progress(request: Uuid) -> Error {
    Error::new(
        ErrorKind::Aborted,
        "REQUEST_IN_PROGRESS",
        format!("the call with request id {request} is still under way; repeat it in a moment"),
    )
    .with_metadata("request_id", request.to_string())
    .with_retry_after(IN_PROGRESS_RETRY)
}

fn claim_ms() -> i64 {
    i64::try_from(CLAIM_FOR.as_millis()).unwrap_or(i64::MAX)
}

/// Keeps the claim of a call that is under way, however long it takes. Returns when another process has taken the id.
async fn lost(known: &dyn Idempotency, tenant: TenantId, request: Uuid, token: i64) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        match known.renew_request(tenant, request, token, claim_ms()).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(request_id = %request, "another process has taken over a request that stood still here");
                return;
            }
            // The next one may succeed; there are several before the claim is void.
            Err(error) => {
                tracing::warn!(request_id = %request, reason = error.reason(), ?error, "cannot renew the claim of a request");
            }
        }
    }
}

/// A request id taken by this call; given up when dropped, because then nobody knows how the call ended.
struct Claim {
    port: Option<Arc<dyn Idempotency>>,
    tenant: TenantId,
    request: Uuid,
    token: i64,
}

impl Claim {
    /// Keeps the outcome. False if another process has taken the id meanwhile, and the outcome is its own.
    async fn settle(&mut self, outcome: &Result<Vec<u8>>) -> bool {
        let Some(port) = self.port.take() else { return true };
        let stored = match encode(outcome) {
            Some(bytes) => port.settle_request(self.tenant, self.request, self.token, bytes).await,
            None => port.forget_request(self.tenant, self.request, self.token).await.map(|()| true),
        };
        stored.unwrap_or_else(|error| {
            // What was done is done: the caller gets the outcome even if it cannot be replayed.
            tracing::warn!(request_id = %self.request, reason = error.reason(), ?error, "cannot keep the outcome of a request");
            true
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(port) = self.port.take() else { return };
        let (tenant, request, token) = (self.tenant, self.request, self.token);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = port.forget_request(tenant, request, token).await {
                    tracing::warn!(request_id = %request, reason = error.reason(), ?error, "cannot give a request id up");
                }
            });
        }
    }
}

const SUCCESS: u8 = 1;
const FAILURE: u8 = 2;

/// A permanent error as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredError {
    kind: StoredKind,
    reason: String,
    message: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    violations: Vec<(String, String)>,
}

/// The kinds that are replayed.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredKind {
    InvalidArgument,
    OutOfRange,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    DataLoss,
}

impl StoredKind {
    fn of(kind: ErrorKind) -> Option<Self> {
        Some(match kind {
            ErrorKind::InvalidArgument => Self::InvalidArgument,
            ErrorKind::OutOfRange => Self::OutOfRange,
            ErrorKind::Unauthenticated => Self::Unauthenticated,
            ErrorKind::PermissionDenied => Self::PermissionDenied,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::AlreadyExists => Self::AlreadyExists,
            ErrorKind::FailedPrecondition => Self::FailedPrecondition,
            ErrorKind::DataLoss => Self::DataLoss,
            ErrorKind::Aborted
            | ErrorKind::ResourceExhausted
            | ErrorKind::DeadlineExceeded
            | ErrorKind::Cancelled
            | ErrorKind::Unavailable
            | ErrorKind::Internal => return None,
        })
    }

    fn kind(self) -> ErrorKind {
        match self {
            Self::InvalidArgument => ErrorKind::InvalidArgument,
            Self::OutOfRange => ErrorKind::OutOfRange,
            Self::Unauthenticated => ErrorKind::Unauthenticated,
            Self::PermissionDenied => ErrorKind::PermissionDenied,
            Self::NotFound => ErrorKind::NotFound,
            Self::AlreadyExists => ErrorKind::AlreadyExists,
            Self::FailedPrecondition => ErrorKind::FailedPrecondition,
            Self::DataLoss => ErrorKind::DataLoss,
        }
    }
}

/// The outcome in the form that is stored; none for one that is not replayed.
fn encode(outcome: &Result<Vec<u8>>) -> Option<Vec<u8>> {
    match outcome {
        Ok(bytes) => {
            let mut stored = Vec::with_capacity(1 + bytes.len());
            stored.push(SUCCESS);
            stored.extend_from_slice(bytes);
            Some(stored)
        }
        Err(error) => {
            let stored = StoredError {
                kind: StoredKind::of(error.kind())?,
                reason: error.reason().to_owned(),
                message: error.message().to_owned(),
                metadata: error.metadata().iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
                violations: error
                    .violations()
                    .iter()
                    .map(|violation| (violation.field.clone(), violation.description.clone()))
                    .collect(),
            };
            let mut bytes = vec![FAILURE];
            serde_json::to_writer(&mut bytes, &stored).ok()?;
            Some(bytes)
        }
    }
}

fn replay(stored: &[u8]) -> Result<Replayed> {
    match stored.split_first() {
        Some((&SUCCESS, bytes)) => Ok(Replayed::Replay(bytes.to_vec())),
        Some((&FAILURE, json)) => Err(match serde_json::from_slice::<StoredError>(json) {
            Ok(stored) => stored.into_error(),
            Err(source) => unreadable().with_source(source),
        }),
        _ => Err(unreadable()),
    }
}

/// A stored outcome that is damaged, or of a form that this program does not know.
#[must_use]
pub fn unreadable() -> Error {
    Error::internal("OUTCOME_UNREADABLE", "the stored outcome of this request id cannot be read; use a new request id")
}

impl StoredError {
    fn into_error(self) -> Error {
        let mut error = Error::new(self.kind.kind(), interned(&self.reason), self.message);
        for (key, value) in self.metadata {
            error = error.with_metadata(interned(&key), value);
        }
        for (field, description) in self.violations {
            error = error.with_violation(field, description);
        }
        error
    }
}

/// The reasons and metadata keys that were read back. They come from string literals of this program or of an earlier
/// release, so there are few of them; the bound is against a damaged table.
static INTERNED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
const MAX_INTERNED: usize = 1024;

/// The text for the rest of the process's life, once however often it is read.
fn interned(text: &str) -> &'static str {
    let mut known = INTERNED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = known.get(text) {
        return text;
    }
    if known.len() >= MAX_INTERNED {
        return "OTHER";
    }
    let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
    known.insert(text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_comes_back_as_it_was() {
        for bytes in [vec![], vec![0], vec![FAILURE, 7, 9]] {
            let stored = encode(&Ok(bytes.clone())).expect("successes are stored");
            assert_eq!(replay(&stored).expect("a success"), Replayed::Replay(bytes));
        }
    }

    #[test]
    fn a_permanent_error_comes_back_with_all_its_parts() {
        let error = Error::new(ErrorKind::OutOfRange, "WRONG_OFFSET", "go on at 5")
            .with_metadata("committed_size", "5")
            .with_violation("write_offset", "must be 5");
        let stored = encode(&Err(error)).expect("permanent errors are stored");
        let error = replay(&stored).expect_err("the error again");
        assert_eq!(error.kind(), ErrorKind::OutOfRange);
        assert_eq!(error.reason(), "WRONG_OFFSET");
        assert_eq!(error.message(), "go on at 5");
        assert_eq!(error.metadata().get("committed_size").map(String::as_str), Some("5"));
        assert_eq!(error.violations()[0].field, "write_offset");
    }

    #[test]
    fn what_may_go_better_next_time_is_not_stored() {
        for kind in [
            ErrorKind::Aborted,
            ErrorKind::ResourceExhausted,
            ErrorKind::DeadlineExceeded,
            ErrorKind::Unavailable,
            ErrorKind::Internal,
            ErrorKind::Cancelled,
        ] {
            assert!(encode(&Err(Error::new(kind, "R", "m"))).is_none(), "{kind:?}");
        }
    }

    #[test]
    fn a_damaged_outcome_is_an_error_not_a_success() {
        for stored in [&b""[..], &[FAILURE, b'{'], &[9, 1]] {
            assert_eq!(replay(stored).expect_err("damaged").reason(), "OUTCOME_UNREADABLE");
        }
    }

    #[test]
    fn the_same_text_is_interned_once() {
        assert!(std::ptr::eq(interned("SOME_REASON"), interned(&String::from("SOME_REASON"))));
    }
}
