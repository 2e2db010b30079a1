//! Chores that one process of an installation does at a time.

use std::{future::Future, time::Duration};

use uuid::Uuid;
use vectrion_core::Result;

use crate::Ports;

/// A chore belongs to its process for so long without a sign of life.
const HOLD_FOR: Duration = Duration::from_secs(60);
/// Time between signs of life.
const RENEW_EVERY: Duration = Duration::from_secs(15);
/// Time between looks whether a chore is free.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The sweep of what expired.
pub(crate) const SWEEP: &str = "sweep";
/// The removal of vectors that no document needs.
pub(crate) const GENERATIONS: &str = "generations";

/// Does `work` while no other process does the same chore; none if one does.
///
/// # Errors
/// Those of the work and of the database.
pub(crate) async fn alone<T>(ports: &Ports, chore: &str, work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    let holder = Uuid::now_v7().to_string();
    if !ports.upkeep.hold_chore(chore, &holder, HOLD_FOR).await? {
        return Ok(None);
    }
    let lost = async {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            match ports.upkeep.hold_chore(chore, &holder, HOLD_FOR).await {
                Ok(true) => {}
                Ok(false) => return,
                // It is still held for a while; the next time may be better.
                Err(error) => tracing::warn!(chore, reason = error.reason(), %error, "cannot hold on to a chore"),
            }
        }
    };
    let done = tokio::select! {
        done = work => Some(done),
        () = lost => {
            tracing::warn!(chore, "another process has taken over a chore; this one stops");
            None
        }
    };
    if let Err(error) = ports.upkeep.release_chore(chore, &holder).await {
        tracing::warn!(chore, reason = error.reason(), %error, "a chore is free only when its time is over");
    }
    done.transpose()
}

/// The same, waiting until no other process does the chore.
///
/// # Errors
/// Those of the work and of the database.
pub(crate) async fn in_turn<T, F>(ports: &Ports, chore: &str, work: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    loop {
        if let Some(done) = alone(ports, chore, work()).await? {
            return Ok(done);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
