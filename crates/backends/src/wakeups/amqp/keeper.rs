//! Keeps a connection: opens it again whenever it is lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{
    dial::Dial,
    session::{Purpose, Session},
};

/// Time between looks whether the connection still works.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Waits between tries to connect: the first, doubled up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LAST_WAIT: Duration = Duration::from_secs(4);
/// A connection that lived for this long was a good one, and is tried for again at once.
const GOOD: Duration = Duration::from_secs(10);

type Current = Option<Arc<Session>>;

pub(super) struct Keeper {
    current: watch::Receiver<Current>,
    look: Arc<Notify>,
    task: AbortHandle,
}

impl Keeper {
    pub(super) fn start(dial: Arc<Dial>, purpose: Purpose, first: Option<Session>) -> Self {
        let first = first.map(Arc::new);
        let (tell, current) = watch::channel(first.clone());
        let look = Arc::new(Notify::new());
        let task = tokio::spawn(keep(dial, purpose, first, tell, Arc::clone(&look)));
        Self { current, look, task: task.abort_handle() }
    }

    /// The connection, if there is one.
    pub(super) fn current(&self) -> Current {
        self.current.borrow().clone().filter(|session| session.is_alive())
    }

    /// The connection, as soon as there is one.
    pub(super) async fn session(&self) -> Arc<Session> {
        let mut current = self.current.clone();
        loop {
            if let Some(session) = self.current() {
                return session;
            }
            if current.changed().await.is_err() {
                // Closed: there will be none any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Says that a connection is no good.
    pub(super) fn give_up(&self, session: &Session) {
        session.give_up();
        self.look.notify_one();
    }

    /// Ends the connection and keeps none any more.
    pub(super) async fn close(&self) {
        self.task.abort();
        let current = self.current.borrow().clone();
        if let Some(session) = current {
            session.close().await;
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(dial: Arc<Dial>, purpose: Purpose, mut first: Current, tell: watch::Sender<Current>, look: Arc<Notify>) {
    let mut wait = FIRST_WAIT;
    let mut failing = false;
    loop {
        let session = match first.take() {
            Some(session) => session,
            None => match dial.open(purpose).await {
                Ok(session) => Arc::new(session),
                Err(error) => {
                    // Once per outage, and again when it is over.
                    if !failing {
                        tracing::warn!(
                            connection = purpose.as_str(),
                            reason = error.reason(),
                            ?error,
                            "no connection to the broker"
                        );
                        failing = true;
                    }
                    sleep(wait).await;
                    wait = (wait * 2).min(LAST_WAIT);
                    continue;
                }
            },
        };
        failing = false;
        tracing::info!(connection = purpose.as_str(), "connected to the broker");
        let began = Instant::now();
        tell.send_replace(Some(Arc::clone(&session)));
        while session.is_alive() {
            let _ = timeout(LOOK_EVERY, look.notified()).await;
        }
        tell.send_replace(None);
        session.cut();
        drop(session);
        tracing::warn!(connection = purpose.as_str(), "lost the connection to the broker");
        if began.elapsed() >= GOOD {
            wait = FIRST_WAIT;
        }
        sleep(wait).await;
        wait = (wait * 2).min(LAST_WAIT);
    }
}
