//! What a deleted document leaves behind in answers: nothing.
//!
//! Of an answer whose passages include one of the document, that passage goes. If the answer cites it, or has words that
//! only it could have given, or is still being written, its whole text is replaced by a note, and so is every citation:
//! they point into that text. An answer that was sent along with a later question as an earlier turn is found there by
//! its digest, and whatever that later answer took from it goes, too. Sequence numbers stay, so that a stream can still
//! be taken up again.

use std::collections::HashSet;

use sea_orm::DatabaseTransaction;
use uuid::Uuid;
use vectrion_core::{
    answer::{AnswerEvent, AnswerEventKind, TurnRole},
    ids::{AnswerId, ChunkId, DocumentId, TenantId},
    search::Passage,
};

use super::{
    digest,
    events::{self, Folded},
    quoting::quotes,
};
use crate::{failure::Outcome, rows::answers, sql};

/// Stands in place of a text that was removed.
pub(crate) const NOTE: &str = "This text was removed because a document that it quoted was deleted.";

/// A text that has to go, wherever it was repeated.
enum Source {
    /// The passages of a document.
    Document(DocumentId),
    /// The text of an answer that was removed.
    Answer(String),
}

/// Removes the text of a document from up to `limit` of the answers of a tenant that rest on it, and from all that took it
/// from these. Returns whether there may be more. Called with the document held, before the document's row goes, so that little
/// is left to do, and after.
pub(crate) async fn forget_document(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: DocumentId,
    limit: i64,
) -> Outcome<bool> {
    let answers = answers_with(tx, tenant, &Source::Document(document), limit).await?;
    let mut texts = Vec::new();
    for id in &answers {
        texts.extend(forget(tx, tenant, *id, &Source::Document(document)).await?);
    }
    while let Some(text) = texts.pop() {
        let source = Source::Answer(text);
        for id in answers_with(tx, tenant, &source, i64::MAX).await? {
            texts.extend(forget(tx, tenant, id, &source).await?);
        }
    }
    let mut unlink = sql::for_tenant(
        tenant,
        "DELETE FROM answer_documents WHERE tenant_id = $1 AND document_id = $2 AND answer_id IN ",
        [document.0.into()],
    );
    unlink.bind_list(answers.iter().map(|id| id.0));
    unlink.execute(tx).await?;
    Ok(i64::try_from(answers.len()).unwrap_or(i64::MAX) >= limit)
}

/// Answers that the text went into, in one order for everybody who locks several.
async fn answers_with(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    source: &Source,
    limit: i64,
) -> Outcome<Vec<AnswerId>> {
    let mut query = match source {
        Source::Document(document) => sql::for_tenant(
            tenant,
            "SELECT answer_id FROM answer_documents WHERE tenant_id = $1 AND document_id = $2 ORDER BY answer_id",
            [document.0.into()],
        ),
        Source::Answer(text) => sql::for_tenant(
            tenant,
            "SELECT DISTINCT answer_id FROM answer_turns WHERE tenant_id = $1 AND digest = $2 ORDER BY answer_id",
            [digest(text).into()],
        ),
    };
    query.push(" LIMIT ").bind(limit);
    let ids: Vec<Uuid> = query.scalars(tx).await?;
    Ok(ids.into_iter().map(AnswerId).collect())
}

/// Removes a text from one answer. Gives the answer's own text if that had to go, too.
async fn forget(tx: &DatabaseTransaction, tenant: TenantId, id: AnswerId, source: &Source) -> Outcome<Option<String>> {
    let Some(row) = events::lock(tx, tenant, id).await? else { return Ok(None) };
    let turns = events::turns(tx, tenant, id).await?;
    let mut events = events::after(tx, tenant, id, 0).await?;
    let text = Folded::of(events.clone()).text;

    let removed = remove_passages(&mut events, source);
    let own: Vec<&str> = match source {
        Source::Document(_) => removed.iter().flat_map(words_of).collect(),
        Source::Answer(text) => vec![text],
    };
    let left = passages(&events);
    let others: Vec<&str> = left.iter().flat_map(words_of).chain([row.question.as_str()]).collect();

    let mut turns_left: Vec<&str> = Vec::new();
    for (ordinal, turn) in (0_i32..).zip(&turns) {
        let repeats = matches!(source, Source::Answer(text) if digest(text) == digest(&turn.text));
        // What a person wrote is theirs, and explains as much of an answer as the question does.
        let told = turn.role == TurnRole::Assistant;
        if told && (repeats || quotes(&turn.text, own.iter().copied(), others.iter().copied())) {
            blank_turn(tx, tenant, id, ordinal).await?;
        } else {
            turns_left.push(&turn.text);
        }
    }

    let cited: HashSet<ChunkId> = removed.iter().map(|passage| passage.id).collect();
    let cites = events
        .iter()
        .any(|event| matches!(&event.kind, AnswerEventKind::Citation { passage_id, .. } if cited.contains(passage_id)));
    let open = row.end_time.is_none();
    let quoted = cites || open || quotes(&text, own, others.into_iter().chain(turns_left));
    if quoted && !row.redacted {
        blank(&mut events, false);
        mark(tx, tenant, &row, open).await?;
    }
    sql::for_tenant(tenant, "DELETE FROM answer_events WHERE tenant_id = $1 AND answer_id = $2", [id.0.into()])
        .execute(tx)
        .await?;
    events::insert(tx, tenant, id, &events).await?;
    Ok((quoted && !row.redacted && !text.is_empty()).then_some(text))
}

/// Takes the passages of a document out of the events.
fn remove_passages(events: &mut [AnswerEvent], source: &Source) -> Vec<Passage> {
    let Source::Document(document) = source else { return Vec::new() };
    let mut removed = Vec::new();
    for event in events {
        if let AnswerEventKind::Retrieval { passages } = &mut event.kind {
            removed.extend(passages.extract_if(.., |passage| passage.document == *document));
        }
    }
    removed
}

fn passages(events: &[AnswerEvent]) -> Vec<Passage> {
    Folded::of(events.to_vec()).passages
}

/// All that a passage says of its document's text.
fn words_of(passage: &Passage) -> impl Iterator<Item = &str> {
    let headings = passage.heading_path.iter().map(String::as_str);
    headings.chain(passage.title.as_deref()).chain([passage.text.as_str()])
}

/// Replaces the text of an answer by the note (unless it is there already), and its citations.
pub(super) fn blank(events: &mut [AnswerEvent], mut noted: bool) {
    for event in events {
        match &mut event.kind {
            AnswerEventKind::Delta { text } => {
                *text = if noted { String::new() } else { NOTE.to_owned() };
                noted = true;
            }
            AnswerEventKind::Citation { .. } => {
                event.kind = AnswerEventKind::Guard {
                    rule: "document_deleted".to_owned(),
                    action: "removed".to_owned(),
                    reason: NOTE.to_owned(),
                };
            }
            _ => {}
        }
    }
}

async fn blank_turn(tx: &DatabaseTransaction, tenant: TenantId, id: AnswerId, ordinal: i32) -> Outcome<()> {
    sql::for_tenant(
        tenant,
        "UPDATE answer_turns SET content = $4, digest = $5 WHERE tenant_id = $1 AND answer_id = $2 AND ordinal = $3",
        [id.0.into(), ordinal.into(), NOTE.into(), digest(NOTE).into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Whatever is still to be written of the answer is not stored, and its writer is asked to stop.
async fn mark(tx: &DatabaseTransaction, tenant: TenantId, row: &answers::Model, open: bool) -> Outcome<()> {
    sql::for_tenant(
        tenant,
        "UPDATE answers SET redacted = TRUE, cancel_requested = $3 WHERE tenant_id = $1 AND id = $2",
        [row.id.into(), (row.cancel_requested || open).into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}
