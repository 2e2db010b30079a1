//! Answers that another server writes.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use vectrion_core::{
    Result,
    ids::{AnswerId, TenantId},
};

use super::AnswerStream;
use crate::Ports;

/// After this time without a sign of life from its writer an answer counts as given up. Writers give one every five
/// seconds.
pub(crate) const ANSWER_IDLE: Duration = Duration::from_secs(20);
/// Time between looks for new events.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Time between looks whether an answer that tells nothing can still go on.
const DOUBT_EVERY: Duration = Duration::from_secs(5);

/// Ends answers whose writer has given no sign of life for so long. Returns how many.
pub(crate) async fn end_abandoned(ports: &Ports, idle: Duration) -> Result<u64> {
    let message = "the server that wrote the answer is gone; ask again";
    let idle_ms = i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
    ports.answers.end_abandoned(idle_ms, "ANSWER_INTERRUPTED", message).await
}

/// Follows an answer through the store, to its terminal event. Meanwhile its writer, whose own caller may be gone, is told
/// within every `grace` that somebody does. If the writer dies, the answer is ended here.
pub(super) fn follow(
    ports: Arc<Ports>,
    tenant: TenantId,
    id: AnswerId,
    mut after: u64,
    grace: Duration,
) -> AnswerStream {
    let follow_every = grace.mul_f64(0.3).min(DOUBT_EVERY);
    Box::pin(async_stream::stream! {
        let mut doubted: Option<Instant> = None;
        let mut followed = Instant::now();
        loop {
            let mut told = false;
            match ports.answers.events_after(tenant, id, after).await {
                Ok(events) => {
                    for event in events {
                        told = true;
                        after = event.sequence;
                        let last = event.kind.is_terminal();
                        yield event;
                        if last {
                            return;
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(answer_id = %id, reason = error.reason(), ?error, "cannot read an answer's events");
                }
            }
            if !told && doubted.is_none_or(|at| at.elapsed() >= DOUBT_EVERY) {
                match may_go_on(&ports, tenant, id, after).await {
                    Ok(true) => doubted = Some(Instant::now()),
                    Ok(false) => return,
                    Err(error) => {
                        tracing::warn!(answer_id = %id, reason = error.reason(), ?error, "cannot look at an answer");
                    }
                }
            }
            if followed.elapsed() >= follow_every {
                followed = Instant::now();
                if let Err(error) = ports.answers.follow_answer(tenant, id).await {
                    tracing::warn!(answer_id = %id, reason = error.reason(), ?error, "cannot tell that an answer is followed");
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
}

/// Whether there is, or may be, more to tell: not of an answer that ended before `after`, or is gone.
async fn may_go_on(ports: &Ports, tenant: TenantId, id: AnswerId, after: u64) -> Result<bool> {
    end_abandoned(ports, ANSWER_IDLE).await?;
    match ports.answers.answer(tenant, id).await? {
        None => Ok(false),
        Some(answer) if answer.end.is_none() => Ok(true),
        Some(_) => Ok(!ports.answers.events_after(tenant, id, after).await?.is_empty()),
    }
}
