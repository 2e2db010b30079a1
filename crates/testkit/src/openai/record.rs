//! What came in, and how it ended.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::watch;

use super::lock;

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Request {
    /// Path with its query.
    pub path: String,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body; null if it was not JSON.
    pub body: Value,
    /// When it came in.
    pub received: Instant,
    /// How it ended.
    pub end: RequestEnd,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnd {
    /// It has not ended.
    Open,
    /// The whole reply was handed over.
    Answered,
    /// The script cut the connection.
    Cut,
    /// The client left before the reply was complete.
    ClientLeft {
        /// Time from the request to this.
        after: Duration,
    },
}

/// All requests so far.
#[derive(Default)]
pub(super) struct Records {
    requests: Arc<Mutex<Vec<Request>>>,
    changed: watch::Sender<()>,
}

impl Records {
    pub(super) fn all(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }

    pub(super) fn begin(&self, request: Request) -> InFlight {
        let index = {
            let mut requests = lock(&self.requests);
            requests.push(request);
            requests.len() - 1
        };
        self.changed.send_replace(());
        InFlight { requests: Arc::clone(&self.requests), changed: self.changed.clone(), index }
    }

    pub(super) async fn wait_until(&self, within: Duration, condition: impl Fn(&[Request]) -> bool) -> bool {
        let mut changed = self.changed.subscribe();
        tokio::time::timeout(within, async {
            while !condition(&self.all()) {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        })
        .await
        .is_ok()
    }
}

/// A request that is being answered. Dropped before [`InFlight::end`], it says that the client left.
pub(super) struct InFlight {
    requests: Arc<Mutex<Vec<Request>>>,
    changed: watch::Sender<()>,
    index: usize,
}

impl InFlight {
    pub(super) fn end(&self, how: RequestEnd) {
        if let Some(request) = lock(&self.requests).get_mut(self.index)
            && request.end == RequestEnd::Open
        {
            request.end = how;
        }
        self.changed.send_replace(());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let received = lock(&self.requests).get(self.index).map(|request| request.received);
        if let Some(received) = received {
            self.end(RequestEnd::ClientLeft { after: received.elapsed() });
        }
    }
}
