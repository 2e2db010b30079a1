//! Stored questions and answers.

mod events;
mod presence;
mod quoting;
pub(crate) mod redaction;
mod retention;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use vectrion_core::{
    Error, Result,
    answer::{AnswerEvent, StoredAnswer, TurnRole},
    ids::{AnswerId, TenantId},
    ports::answers::{Answers, NewAnswer},
};

use crate::{
    Store,
    failure::{Failure, Outcome, is_duplicate},
    rows::answers,
    sql, time,
};

#[async_trait]
impl Answers for Store {
    async fn create_answer(&self, answer: NewAnswer) -> Result<()> {
        self.unit(|| create(self, answer.clone())).await
    }

    async fn append_events(&self, tenant: TenantId, id: AnswerId, events: Vec<AnswerEvent>) -> Result<bool> {
        self.unit(|| events::append(self, tenant, id, events.clone())).await
    }

    async fn answer(&self, tenant: TenantId, id: AnswerId) -> Result<Option<StoredAnswer>> {
        self.unit(|| async { events::answer(&self.snapshot().await?, tenant, id).await }).await
    }

    async fn events_after(&self, tenant: TenantId, id: AnswerId, after: u64) -> Result<Vec<AnswerEvent>> {
        self.unit(|| events::after(self.reader(), tenant, id, after)).await
    }

    async fn request_cancel(&self, tenant: TenantId, id: AnswerId) -> Result<()> {
        let text = "UPDATE answers SET cancel_requested = TRUE WHERE tenant_id = $1 AND id = $2 AND end_time IS NULL";
        self.unit(|| async {
            sql::for_tenant(tenant, text, [id.0.into()]).execute(self.writer()).await?;
            Ok(())
        })
        .await
    }

    async fn answers_to_stop(&self, ids: &[AnswerId]) -> Result<Vec<AnswerId>> {
        self.unit(|| presence::to_stop(self, ids)).await
    }

    async fn keep_answers(&self, ids: &[AnswerId]) -> Result<()> {
        self.unit(|| presence::keep(self, ids)).await
    }

    async fn follow_answer(&self, tenant: TenantId, id: AnswerId) -> Result<()> {
        self.unit(|| presence::follow(self, tenant, id)).await
    }

    async fn is_followed(&self, tenant: TenantId, id: AnswerId, within_ms: i64) -> Result<bool> {
        self.unit(|| presence::is_followed(self, tenant, id, within_ms)).await
    }

    async fn end_abandoned(&self, idle_ms: i64, reason: &str, message: &str) -> Result<u64> {
        self.long_unit(|| retention::end_abandoned(self, idle_ms, reason, message)).await
    }

    async fn purge_answers(&self, keep_ms: i64) -> Result<u64> {
        self.long_unit(|| retention::purge(self, keep_ms)).await
    }
}

async fn create(store: &Store, answer: NewAnswer) -> Outcome<()> {
    let tx = store.begin().await?;
    let now = time::now(&tx).await?;
    let row = answers::Model {
        id: answer.id.0,
        tenant_id: answer.tenant.0,
        key_id: answer.key.0,
        question: answer.question,
        model: answer.model,
        prompt_version: answer.prompt_version,
        redacted: false,
        cancel_requested: false,
        create_time: now,
        event_time: now,
        end_time: None,
    };
    answers::insert(&tx, row).await.map_err(|error| {
        if is_duplicate(&error) {
            Failure::from(
                Error::already_exists("ANSWER_EXISTS", "there is an answer with this id already").with_source(error),
            )
        } else {
            error.into()
        }
    })?;
    for (ordinal, turn) in (0_i32..).zip(&answer.history) {
        sql::for_tenant(
            answer.tenant,
            "INSERT INTO answer_turns (tenant_id, answer_id, ordinal, role, content, digest)
                VALUES ($1, $2, $3, $4, $5, $6)",
            [
                answer.id.0.into(),
                ordinal.into(),
                role_name(turn.role).into(),
                turn.text.as_str().into(),
                digest(&turn.text).into(),
            ],
        )
        .execute(&tx)
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// By which a text is found again where it was sent as an earlier turn.
fn digest(text: &str) -> Vec<u8> {
    Sha256::digest(text.trim()).to_vec()
}

fn role_name(role: TurnRole) -> &'static str {
    match role {
        TurnRole::User => "user",
        TurnRole::Assistant => "assistant",
    }
}

fn role_of(name: &str) -> TurnRole {
    if name == "assistant" { TurnRole::Assistant } else { TurnRole::User }
}
