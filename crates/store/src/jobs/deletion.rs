//! What a deletion commits.

use sea_orm::{ColumnTrait as _, DatabaseTransaction, QueryFilter as _, QueryOrder as _};
use vectrion_core::{
    ids::{DocumentId, TenantId, VersionId},
    job::{JobPayload, JobState, Lease},
};

use super::{commit, lease};
use crate::{
    Store, answers,
    catalog::{change, deletion::remove_dead_letters},
    failure::Outcome,
    rows::{chunks, document_metadata, document_versions, documents},
    sql,
    time::Timed,
    upkeep::receipts,
};

pub(super) async fn versions(tx: &DatabaseTransaction, lease: &Lease) -> Outcome<Vec<VersionId>> {
    lease::check(tx, lease).await?;
    let job = &lease.job;
    match &job.payload {
        JobPayload::DeleteVersionV1 { version_id } | JobPayload::PurgeVersionV1 { version_id } => {
            let document = change::document_row(tx, job.tenant, job.document).await?;
            Ok(if is_shown(document.as_ref(), *version_id) { Vec::new() } else { vec![*version_id] })
        }
        JobPayload::DeleteDocumentV1 {} => {
            let rows = document_versions::for_tenant(job.tenant)
                .filter(document_versions::Column::DocumentId.eq(job.document.0))
                .order_by_asc(document_versions::Column::Number)
                .all(tx)
                .await?;
            Ok(rows.into_iter().map(|row| VersionId(row.id)).collect())
        }
        JobPayload::ProcessV1 { .. } | JobPayload::EmbedV1 { .. } => Err(commit::wrong_stage("delete_document").into()),
    }
}

/// Answers whose text is removed in a transaction, so that the writer is soon free for others.
const ANSWERS: i64 = 50;

pub(super) async fn finish(store: &Store, lease: &Lease) -> Outcome<()> {
    // The document is out of sight already, and what is removed twice is removed once: this needs no single transaction.
    while forget_answers(store, lease).await? {}
    let tx = store.begin().await?;
    let held = lease::hold(store, &tx, lease).await?;
    let Some(Timed { row: document, .. }) = held.document(&tx).await? else {
        return Err(lease::call_off(tx, &held).await?.into());
    };
    let whole = match &held.payload {
        JobPayload::DeleteVersionV1 { version_id } => {
            if !is_shown(Some(&document), *version_id) {
                remove_version(&tx, held.tenant, *version_id).await?;
            }
            false
        }
        JobPayload::PurgeVersionV1 { version_id } => {
            if !is_shown(Some(&document), *version_id) && document.newest_version_id != version_id.0 {
                purge_version(&tx, held.tenant, *version_id).await?;
                change::touch(&tx, held.tenant, held.document, held.now).await?;
            }
            false
        }
        JobPayload::DeleteDocumentV1 {} => {
            remove_document(&tx, held.tenant, &document, held.row.id, held.now).await?;
            true
        }
        JobPayload::ProcessV1 { .. } | JobPayload::EmbedV1 { .. } => {
            return Err(commit::wrong_stage("delete_document").into());
        }
    };
    lease::end(&tx, &held.row, JobState::Succeeded, None, held.now).await?;
    tx.commit().await?;
    if whole {
        forget_text(store).await;
    }
    Ok(())
}

/// Removes a document's text from some of the answers that rest on it, and puts off the end of the lease, which nobody else
/// does meanwhile. Returns whether there is more to do.
async fn forget_answers(store: &Store, lease: &Lease) -> Outcome<bool> {
    if lease.job.payload != (JobPayload::DeleteDocumentV1 {}) {
        return Ok(false);
    }
    let tx = store.begin().await?;
    let held = lease::hold(store, &tx, lease).await?;
    if held.document(&tx).await?.is_none() {
        return Ok(false);
    }
    let more = answers::redaction::forget_document(&tx, held.tenant, held.document, ANSWERS).await?;
    if more {
        lease::renew(&tx, lease).await?;
        tx.commit().await?;
    }
    // The last ones go with the document.
    Ok(more)
}

/// The version that searches see is never removed alone.
fn is_shown(document: Option<&documents::Model>, version: VersionId) -> bool {
    document.is_some_and(|document| document.indexed_version_id == Some(version.0))
}

async fn remove_version(tx: &DatabaseTransaction, tenant: TenantId, version: VersionId) -> Outcome<()> {
    chunks::delete_for_tenant(tenant).filter(chunks::Column::VersionId.eq(version.0)).exec(tx).await?;
    sql::for_tenant(
        tenant,
        "UPDATE document_versions SET chunk_count = 0 WHERE tenant_id = $1 AND id = $2",
        [version.0.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes all rows of a version.
async fn purge_version(tx: &DatabaseTransaction, tenant: TenantId, version: VersionId) -> Outcome<()> {
    for (table, column) in
        [("chunks", "version_id"), ("pages", "version_id"), ("dead_letters", "version_id"), ("document_versions", "id")]
    {
        sql::for_tenant(
            tenant,
            format!("DELETE FROM {table} WHERE tenant_id = $1 AND {column} = $2"),
            [version.0.into()],
        )
        .execute(tx)
        .await?;
    }
    Ok(())
}

async fn remove_document(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: &documents::Model,
    job: uuid::Uuid,
    now: i64,
) -> Outcome<()> {
    let id = DocumentId(document.id);
    while answers::redaction::forget_document(tx, tenant, id, ANSWERS).await? {}
    let mut chunks = 0;
    for table in ["chunks", "pages"] {
        let removed = sql::for_tenant(
            tenant,
            format!(
                "DELETE FROM {table} WHERE tenant_id = $1 AND version_id IN
                    (SELECT id FROM document_versions WHERE tenant_id = $1 AND document_id = $2)"
            ),
            [id.0.into()],
        )
        .execute(tx)
        .await?;
        if table == "chunks" {
            chunks = removed;
        }
    }
    document_metadata::delete_for_tenant(tenant)
        .filter(document_metadata::Column::DocumentId.eq(id.0))
        .exec(tx)
        .await?;
    let versions = document_versions::delete_for_tenant(tenant)
        .filter(document_versions::Column::DocumentId.eq(id.0))
        .exec(tx)
        .await?
        .rows_affected;
    receipts::end(tx, tenant, id, versions, chunks, now).await?;
    documents::delete_for_tenant(tenant).filter(documents::Column::Id.eq(id.0)).exec(tx).await?;
    // Until its row was taken here, an answer could still be given passages of the document; from here on none can. Not
    // sooner: who writes an answer holds that before the document.
    while answers::redaction::forget_document(tx, tenant, id, ANSWERS).await? {}
    remove_dead_letters(tx, tenant, id).await?;
    // Its other jobs go with it; the one that deletes it stays as the record that it did.
    sql::for_tenant(
        tenant,
        "DELETE FROM jobs WHERE tenant_id = $1 AND document_id = $2 AND id <> $3",
        [id.0.into(), job.into()],
    )
    .execute(tx)
    .await?;
    let revision = change::next_revision(tx, tenant).await?;
    sql::for_tenant(
        tenant,
        "INSERT INTO document_ends (tenant_id, revision, document_id, collection_id, end_time)
            VALUES ($1, $2, $3, $4, $5)",
        [revision.into(), id.0.into(), document.collection_id.into(), now.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// After the last of the deletions that wait or run, clears what they removed from SQLite's log too. The rows are gone
/// already; a failure here changes nothing about that.
async fn forget_text(store: &Store) {
    let others = sql::across_tenants(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM jobs WHERE state = 'pending' AND stage = 'delete_document')
            OR EXISTS (SELECT 1 FROM jobs WHERE state = 'running' AND stage = 'delete_document')",
        [],
    )
    .scalar::<i32, _>(store.reader())
    .await;
    if matches!(others, Ok(None))
        && let Err(error) = store.truncate_log().await
    {
        tracing::warn!(%error, "the database's log was not cleared of deleted text; the next deletion will");
    }
}

#[cfg(test)]
mod tests {
    use vectrion_core::{
        answer::{AnswerEvent, AnswerEventKind, FinishReason},
        ids::{AnswerId, KeyId},
        job::Stage,
        ports::{Answers as _, Jobs as _, answers::NewAnswer},
    };
    use vectrion_testkit::conformance::{answers::passage, scenario::Scenario};

    use super::*;
    use crate::test_database::database;

    async fn links(store: &Store) -> i64 {
        let count = sql::across_tenants("SELECT COUNT(*) FROM answer_documents", []).scalar(store.reader()).await;
        count.expect("a count").expect("a row")
    }

    #[tokio::test]
    async fn the_answers_that_rest_on_a_document_lose_its_text_in_portions() {
        let (store, _directory) = database().await;
        let scenario = Scenario::new(&store).await;
        let document = scenario.indexed("a", "1", &["The code is zebra."]).await;
        let passage = passage(&document, "The code is zebra.");
        let kinds = [
            AnswerEventKind::Retrieval { passages: vec![passage] },
            AnswerEventKind::Delta { text: "It is zebra.".to_owned() },
            AnswerEventKind::Done { finish_reason: FinishReason::Stop },
        ];
        let mut ids = Vec::new();
        for _ in 0..=ANSWERS {
            let id = AnswerId::new();
            let answer = NewAnswer {
                id,
                tenant: scenario.tenant,
                key: KeyId::new(),
                question: "What is the code?".to_owned(),
                history: Vec::new(),
                model: "m".to_owned(),
                prompt_version: "p1".to_owned(),
            };
            store.create_answer(answer).await.expect("an answer");
            let events = (1..).zip(kinds.clone()).map(|(sequence, kind)| AnswerEvent { sequence, kind }).collect();
            store.append_events(scenario.tenant, id, events).await.expect("events");
            ids.push(id);
        }

        scenario.begin_delete(document.id).await;
        let lease = scenario.claim(Stage::DeleteDocument).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert!(forget_answers(&store, &lease).await.expect("the first portion"));
        assert_eq!(links(&store).await, 1);
        let job = store.job(scenario.tenant, lease.job.id).await.expect("a look").expect("the job");
        assert!(job.lease_expire_time > lease.job.lease_expire_time, "the lease goes on");
        store.finish_deletion(&lease).await.expect("the rest");
        assert_eq!(links(&store).await, 0);
        for id in ids {
            let answer = store.answer(scenario.tenant, id).await.expect("a look").expect("the answer");
            assert!(!format!("{answer:?}").contains("zebra"), "{answer:?}");
        }
    }
}
