//! Changes of documents: revisions, and the states of versions.

use sea_orm::{ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbBackend, QueryFilter as _, Value};
use vectrion_core::{
    document::{DocumentState, Failure as DocumentFailure},
    ids::{DocumentId, TenantId, VersionId},
};

use super::view;
use crate::{
    failure::{Outcome, damaged},
    rows::documents,
    sql::{self, Sql},
    time::{self, Timed},
};

/// Makes this transaction the only one that changes a document, its versions and its jobs. Whoever decides by a document
/// does it by what this gives; what else there is of it is read afterwards.
pub(crate) async fn hold_document(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    id: DocumentId,
) -> Outcome<Option<Timed<documents::Model>>> {
    // Weaker than FOR UPDATE: rows that refer to the document can still be inserted by others.
    time::lock_row(tx, tenant, "documents", id.0, " FOR NO KEY UPDATE").await
}

/// The same without waiting: none also if another transaction holds the document.
pub(crate) async fn try_hold_document(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    id: DocumentId,
) -> Outcome<Option<Timed<documents::Model>>> {
    time::lock_row(tx, tenant, "documents", id.0, " FOR NO KEY UPDATE SKIP LOCKED").await
}

/// The row of a document, for a look.
pub(crate) async fn document_row<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    id: DocumentId,
) -> Outcome<Option<documents::Model>> {
    Ok(documents::for_tenant(tenant).filter(documents::Column::Id.eq(id.0)).one(connection).await?)
}

/// The state of a version, if it is there.
pub(crate) async fn version_state(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    version: VersionId,
) -> Outcome<Option<DocumentState>> {
    let state: Option<String> = sql::for_tenant(
        tenant,
        "SELECT state FROM document_versions WHERE tenant_id = $1 AND id = $2",
        [version.0.into()],
    )
    .scalar(tx)
    .await?;
    state.map(|state| view::state_of(&state)).transpose()
}

/// Why a version failed, if it is there and did.
pub(crate) async fn version_failure(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    version: VersionId,
) -> Outcome<Option<DocumentFailure>> {
    let failure: Option<Option<String>> = sql::for_tenant(
        tenant,
        "SELECT failure FROM document_versions WHERE tenant_id = $1 AND id = $2",
        [version.0.into()],
    )
    .scalar(tx)
    .await?;
    Ok(failure.flatten().map(|failure| serde_json::from_str(&failure)).transpose()?)
}

/// The next revision of a tenant. Holds its row until the end of the transaction, so that revisions are in order of
/// commit: of what a transaction has to do, this comes as late as can be, because all others of the tenant wait.
pub(crate) async fn next_revision(tx: &DatabaseTransaction, tenant: TenantId) -> Outcome<i64> {
    let revision = sql::for_tenant(
        tenant,
        "UPDATE tenants SET revision = revision + 1 WHERE id = (SELECT id FROM tenants WHERE id = $1) RETURNING revision",
        [],
    )
    .scalar(tx)
    .await?;
    Ok(revision.ok_or_else(|| damaged("a document's tenant is missing"))?)
}

/// Notes that a document has changed: its revision and time of change. As late as [`next_revision`].
pub(crate) async fn touch(tx: &DatabaseTransaction, tenant: TenantId, id: DocumentId, now: i64) -> Outcome<()> {
    revise(tx, tenant, id, now, |_set| ()).await
}

/// Changes a document's row, with its next revision and time of change; `set` appends what else is set.
async fn revise(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    id: DocumentId,
    now: i64,
    set: impl FnOnce(&mut Sql),
) -> Outcome<()> {
    let (before, revision) = match tx.get_database_backend() {
        // What `next_revision` does, without another way to the server and back.
        DbBackend::Postgres => (
            "WITH revised AS (UPDATE tenants SET revision = revision + 1 WHERE id = $1 RETURNING revision) ",
            "(SELECT revision FROM revised)".to_owned(),
        ),
        _ => ("", next_revision(tx, tenant).await?.to_string()),
    };
    let query = sql::update_row(tenant, before, "documents", id.0, |query| {
        query.push("revision = ").push(&revision).push(", update_time = ").bind(now);
        set(query);
    });
    query.execute(tx).await?;
    Ok(())
}

/// What becomes of a version.
pub(crate) struct Step<'a> {
    pub(crate) state: DocumentState,
    /// Belongs to the state `failed`; every other state clears it.
    pub(crate) failure: Option<&'a DocumentFailure>,
    /// More columns of the version that are set.
    pub(crate) version: Vec<(&'static str, Value)>,
    /// Columns of its document that are set.
    pub(crate) document: Vec<(&'static str, Value)>,
}

impl Step<'_> {
    /// To this state, and nothing else.
    pub(crate) fn to(state: DocumentState) -> Self {
        Self { state, failure: None, version: Vec::new(), document: Vec::new() }
    }
}

/// Moves a version to a state, and its document too if it is the newest version and the document is not being deleted.
pub(crate) async fn set_version_state(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: DocumentId,
    version: VersionId,
    state: DocumentState,
    failure: Option<&DocumentFailure>,
    now: i64,
) -> Outcome<()> {
    move_version(tx, tenant, document, version, Step { failure, ..Step::to(state) }, now).await
}

/// Takes a step with a version, and with its document if it is the newest version and the document is not being deleted.
/// A change of the document, as late as [`next_revision`].
pub(crate) async fn move_version(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: DocumentId,
    version: VersionId,
    step: Step<'_>,
    now: i64,
) -> Outcome<()> {
    let failure = step.failure.map(serde_json::to_string).transpose()?;
    let state = step.state.as_str();
    let query = sql::update_row(tenant, "", "document_versions", version.0, |query| {
        query.push("state = ").bind(state).push(", failure = ").bind(failure).push(", update_time = ").bind(now);
        query.assign(step.version);
    });
    query.execute(tx).await?;
    revise(tx, tenant, document, now, |set| {
        set.push(", state = CASE WHEN newest_version_id = ").bind(version.0);
        set.push(" AND deleting = FALSE THEN ").bind(state).push(" ELSE state END").assign(step.document);
    })
    .await
}

/// Sets the state of a document that is being deleted: `deleting`, or `failed` with the reason why its deletion was given
/// up, which its newest version keeps. A change of the document.
pub(crate) async fn set_deletion_state(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: &documents::Model,
    failure: Option<&DocumentFailure>,
    now: i64,
) -> Outcome<()> {
    let state = if failure.is_some() { DocumentState::Failed } else { DocumentState::Deleting };
    let failure = failure.map(serde_json::to_string).transpose()?;
    sql::for_tenant(
        tenant,
        "UPDATE document_versions SET failure = $3, update_time = $4 WHERE tenant_id = $1 AND id = $2",
        [document.newest_version_id.into(), failure.into(), now.into()],
    )
    .execute(tx)
    .await?;
    sql::for_tenant(
        tenant,
        "UPDATE documents SET state = $3, deleting = TRUE WHERE tenant_id = $1 AND id = $2",
        [document.id.into(), state.as_str().into()],
    )
    .execute(tx)
    .await?;
    touch(tx, tenant, DocumentId(document.id), now).await
}
