//! Events of answers: appended, read, and folded into the answer.

use std::collections::HashSet;

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbBackend, FromQueryResult, QueryFilter as _,
    QuerySelect as _,
};
use uuid::Uuid;
use vectrion_core::{
    Error,
    answer::{AnswerEvent, AnswerEventKind, StoredAnswer, Turn, Usage},
    ids::{AnswerId, KeyId, TenantId},
    search::Passage,
    time::Timestamp,
};

use super::{redaction, role_of};
use crate::{
    Store,
    failure::Outcome,
    rows::{INSERT_ROWS, answers, size, size_column},
    sql, time,
};

pub(super) async fn append(store: &Store, tenant: TenantId, id: AnswerId, events: Vec<AnswerEvent>) -> Outcome<bool> {
    let tx = store.begin().await?;
    let row = lock(&tx, tenant, id).await?.ok_or_else(missing)?;
    if row.end_time.is_some() {
        return Ok(row.cancel_requested);
    }
    let known = sql::for_tenant(
        tenant,
        "SELECT COALESCE(MAX(sequence), 0) FROM answer_events WHERE tenant_id = $1 AND answer_id = $2",
        [id.0.into()],
    )
    .scalar::<i64, _>(&tx)
    .await?
    .map_or(0, size);
    let mut new: Vec<AnswerEvent> = events.into_iter().filter(|event| event.sequence > known).collect();
    if let Some(end) = new.iter().position(|event| event.kind.is_terminal()) {
        new.truncate(end + 1);
    }
    if new.is_empty() {
        return Ok(row.cancel_requested);
    }
    let gone = link_documents(&tx, tenant, id, &mut new).await?;
    let redacted = row.redacted || gone;
    if redacted {
        let noted = row.redacted && has_delta(&tx, tenant, id).await?;
        redaction::blank(&mut new, noted);
    }
    insert(&tx, tenant, id, &new).await?;

    let now = time::now(&tx).await?;
    let end = new.last().filter(|event| event.kind.is_terminal()).map(|_| now);
    let cancel = row.cancel_requested || gone;
    sql::for_tenant(
        tenant,
        "UPDATE answers SET event_time = $3, end_time = $4, redacted = $5, cancel_requested = $6
            WHERE tenant_id = $1 AND id = $2",
        [id.0.into(), now.into(), end.into(), redacted.into(), cancel.into()],
    )
    .execute(&tx)
    .await?;
    tx.commit().await?;
    Ok(cancel)
}

/// Notes which documents the passages of new events are from. Passages of documents that are gone are dropped; says
/// whether there were any, for then the answer's words may be theirs.
async fn link_documents(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    id: AnswerId,
    events: &mut [AnswerEvent],
) -> Outcome<bool> {
    let passages = |event: &AnswerEvent| match &event.kind {
        AnswerEventKind::Retrieval { passages } => passages.clone(),
        _ => Vec::new(),
    };
    let named: HashSet<Uuid> = events.iter().flat_map(passages).map(|passage| passage.document.0).collect();
    if named.is_empty() {
        return Ok(false);
    }
    // Holds the documents, so that none goes before this is committed.
    let lock = match tx.get_database_backend() {
        DbBackend::Postgres => " FOR KEY SHARE",
        _ => "",
    };
    let mut query = sql::for_tenant(tenant, "SELECT id FROM documents WHERE tenant_id = $1 AND id IN ", []);
    query.bind_list(named.iter().copied()).push(lock);
    let here: HashSet<Uuid> = query.scalars(tx).await?.into_iter().collect();
    for document in &here {
        sql::for_tenant(
            tenant,
            "INSERT INTO answer_documents (tenant_id, answer_id, document_id) VALUES ($1, $2, $3)
                ON CONFLICT (document_id, answer_id) DO NOTHING",
            [id.0.into(), (*document).into()],
        )
        .execute(tx)
        .await?;
    }
    if here.len() == named.len() {
        return Ok(false);
    }
    for event in events {
        if let AnswerEventKind::Retrieval { passages } = &mut event.kind {
            passages.retain(|passage| here.contains(&passage.document.0));
        }
    }
    Ok(true)
}

async fn has_delta(tx: &DatabaseTransaction, tenant: TenantId, id: AnswerId) -> Outcome<bool> {
    let events = after(tx, tenant, id, 0).await?;
    Ok(events.iter().any(|event| matches!(event.kind, AnswerEventKind::Delta { .. })))
}

pub(super) async fn insert(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    id: AnswerId,
    events: &[AnswerEvent],
) -> Outcome<()> {
    for events in events.chunks(INSERT_ROWS) {
        let mut query = sql::for_tenant(
            tenant,
            "INSERT INTO answer_events (tenant_id, answer_id, sequence, body) VALUES ($1, $2, ",
            [id.0.into()],
        );
        for (i, event) in events.iter().enumerate() {
            query.push(if i == 0 { "" } else { "), ($1, $2, " });
            query.bind(size_column(event.sequence)).push(", ").bind(serde_json::to_string(&event.kind)?);
        }
        query.push(")");
        query.execute(tx).await?;
    }
    Ok(())
}

/// An answer's row, locked until the transaction ends.
pub(super) async fn lock(tx: &DatabaseTransaction, tenant: TenantId, id: AnswerId) -> Outcome<Option<answers::Model>> {
    Ok(answers::for_tenant(tenant).filter(answers::Column::Id.eq(id.0)).lock_exclusive().one(tx).await?)
}

fn missing() -> Error {
    Error::not_found("ANSWER_NOT_FOUND", "there is no such answer")
}

#[derive(FromQueryResult)]
struct EventRow {
    sequence: i64,
    body: String,
}

pub(super) async fn after<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    id: AnswerId,
    after: u64,
) -> Outcome<Vec<AnswerEvent>> {
    let rows: Vec<EventRow> = sql::for_tenant(
        tenant,
        "SELECT sequence, body FROM answer_events WHERE tenant_id = $1 AND answer_id = $2 AND sequence > $3
            ORDER BY sequence",
        [id.0.into(), size_column(after).into()],
    )
    .all(connection)
    .await?;
    rows.into_iter()
        .map(|row| Ok(AnswerEvent { sequence: size(row.sequence), kind: serde_json::from_str(&row.body)? }))
        .collect()
}

/// The earlier turns of an answer, in order.
pub(super) async fn turns<C: ConnectionTrait>(connection: &C, tenant: TenantId, id: AnswerId) -> Outcome<Vec<Turn>> {
    #[derive(FromQueryResult)]
    struct TurnRow {
        role: String,
        content: String,
    }
    let rows: Vec<TurnRow> = sql::for_tenant(
        tenant,
        "SELECT role, content FROM answer_turns WHERE tenant_id = $1 AND answer_id = $2 ORDER BY ordinal",
        [id.0.into()],
    )
    .all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| Turn { role: role_of(&row.role), text: row.content }).collect())
}

pub(super) async fn answer(tx: &DatabaseTransaction, tenant: TenantId, id: AnswerId) -> Outcome<Option<StoredAnswer>> {
    let row = answers::for_tenant(tenant).filter(answers::Column::Id.eq(id.0)).one(tx).await?;
    let Some(row) = row else { return Ok(None) };
    let folded = Folded::of(after(tx, tenant, id, 0).await?);
    Ok(Some(StoredAnswer {
        id,
        tenant,
        key: KeyId(row.key_id),
        question: row.question,
        history: turns(tx, tenant, id).await?,
        model: row.model,
        prompt_version: row.prompt_version,
        text: folded.text,
        passages: folded.passages,
        usage: folded.usage,
        end: folded.end,
        create_time: Timestamp(row.create_time),
        end_time: row.end_time.map(Timestamp),
    }))
}

/// What the events of an answer come to.
#[derive(Default)]
pub(super) struct Folded {
    pub(super) text: String,
    pub(super) passages: Vec<Passage>,
    pub(super) usage: Usage,
    pub(super) end: Option<AnswerEventKind>,
}

impl Folded {
    pub(super) fn of(events: Vec<AnswerEvent>) -> Self {
        let mut folded = Self::default();
        for event in events {
            match event.kind {
                AnswerEventKind::Delta { text } => folded.text.push_str(&text),
                AnswerEventKind::Retrieval { passages } => folded.passages = passages,
                AnswerEventKind::Usage(usage) => folded.usage = usage,
                end @ (AnswerEventKind::Done { .. } | AnswerEventKind::Error { .. }) => folded.end = Some(end),
                AnswerEventKind::Started { .. } | AnswerEventKind::Citation { .. } | AnswerEventKind::Guard { .. } => {}
            }
        }
        folded
    }
}
