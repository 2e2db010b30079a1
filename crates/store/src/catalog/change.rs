//! Changes of documents: revisions, and the states of versions.

use sea_orm::{ColumnTrait as _, DatabaseTransaction, QueryFilter as _};
use vectrion_core::{
    document::{DocumentState, Failure as DocumentFailure},
    ids::{DocumentId, TenantId, VersionId},
};

use super::view;
use crate::{
    failure::{Outcome, damaged},
    rows::documents,
    sql,
};

/// The row of a document. Whoever decides by it holds the lock of its tenant.
pub(crate) async fn document_row(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    id: DocumentId,
) -> Outcome<Option<documents::Model>> {
    Ok(documents::for_tenant(tenant).filter(documents::Column::Id.eq(id.0)).one(tx).await?)
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
/// commit.
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

/// Notes that a document has changed: its revision and time of change.
pub(crate) async fn touch(tx: &DatabaseTransaction, tenant: TenantId, id: DocumentId, now: i64) -> Outcome<()> {
    let revision = next_revision(tx, tenant).await?;
    sql::for_tenant(
        tenant,
        "UPDATE documents SET revision = $3, update_time = $4 WHERE tenant_id = $1 AND id = $2",
        [id.0.into(), revision.into(), now.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves a version to a state, and its document too if it is the newest version and the document is not being deleted.
/// A failure belongs to the state `failed`; every other state clears it. A change of the document.
pub(crate) async fn set_version_state(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: DocumentId,
    version: VersionId,
    state: DocumentState,
    failure: Option<&DocumentFailure>,
    now: i64,
) -> Outcome<()> {
    move_version(tx, tenant, document, version, state, failure, "", now).await
}

/// The same without a failure; `also` are more columns of the version that are set, such as `pages_done = 0`.
pub(crate) async fn advance_version(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: DocumentId,
    version: VersionId,
    state: DocumentState,
    also: &str,
    now: i64,
) -> Outcome<()> {
    move_version(tx, tenant, document, version, state, None, &format!(", {also}"), now).await
}

#[expect(clippy::too_many_arguments, reason = "those of the two functions before it")]
async fn move_version(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: DocumentId,
    version: VersionId,
    state: DocumentState,
    failure: Option<&DocumentFailure>,
    also: &str,
    now: i64,
) -> Outcome<()> {
    let failure = failure.map(serde_json::to_string).transpose()?;
    sql::for_tenant(
        tenant,
        format!(
            "UPDATE document_versions SET state = $3, failure = $4, update_time = $5{also}
                WHERE tenant_id = $1 AND id = $2"
        ),
        [version.0.into(), state.as_str().into(), failure.into(), now.into()],
    )
    .execute(tx)
    .await?;
    let revision = next_revision(tx, tenant).await?;
    sql::for_tenant(
        tenant,
        "UPDATE documents SET revision = $5, update_time = $6,
            state = CASE WHEN newest_version_id = $3 AND deleting = FALSE THEN $4 ELSE state END
            WHERE tenant_id = $1 AND id = $2",
        [document.0.into(), version.0.into(), state.as_str().into(), revision.into(), now.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
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
