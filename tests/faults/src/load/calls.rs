//! I5: every call ends by its deadline and a second, with a status that says what is the matter.

use std::{
    collections::BTreeMap,
    error::Error as _,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use super::lock;

/// Time that a call gets beyond its deadline.
const GRACE: Duration = Duration::from_secs(1);
/// After this time beyond its deadline a call is given up.
const GIVE_UP: Duration = Duration::from_secs(5);

/// What became of the calls so far.
#[derive(Debug, Default)]
pub struct Calls {
    counts: Mutex<BTreeMap<String, usize>>,
    violations: Mutex<Vec<String>>,
    forgiving: AtomicBool,
}

impl Calls {
    /// Makes a call, and looks how it ends.
    pub async fn watch<T>(
        &self,
        what: &str,
        deadline: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Status> {
        let start = Instant::now();
        let ended = tokio::time::timeout(deadline + GIVE_UP, call).await;
        let took = start.elapsed();
        let result = ended.unwrap_or_else(|_| Err(Status::deadline_exceeded("given up by the caller")));
        if took > deadline + GRACE {
            self.complain(format!("I5: {what} took {took:?} of {deadline:?}"));
        }
        let outcome = match &result {
            Ok(_) => "OK".to_owned(),
            Err(status) => describe(status),
        };
        if let Err(status) = &result
            && !is_fit(status)
        {
            self.complain(format!("I5: {what} ended with {:?}: {}", status.code(), status.message()));
        }
        *lock(&self.counts).entry(outcome).or_default() += 1;
        result.map(Response::into_inner)
    }

    /// Calls to processes that are stopped have nobody to end them.
    pub fn forgive(&self, forgiving: bool) {
        self.forgiving.store(forgiving, Ordering::SeqCst);
    }

    fn complain(&self, violation: String) {
        if !self.forgiving.load(Ordering::SeqCst) {
            lock(&self.violations).push(violation);
        }
    }

    /// Takes what was wrong since the last time.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.violations))
    }

    /// Takes how the calls ended since the last time.
    pub fn take_counts(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut lock(&self.counts))
    }
}

/// The reason of an error, or what there is of one.
pub fn describe(status: &Status) -> String {
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
    match reason {
        Some(reason) => reason,
        None if is_local(status) => "connection lost".to_owned(),
        None => format!("{:?}", status.code()),
    }
}

/// Whether it is of this side, because the connection broke.
fn is_local(status: &Status) -> bool {
    status.source().is_some()
}

/// Whether a caller can do something with it while something is out of order.
fn is_fit(status: &Status) -> bool {
    is_local(status)
        || matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted | Code::NotFound
        )
}
