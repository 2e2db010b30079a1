//! Whether anything is left of what was deleted: index, object store and database are asked anew.

use vectrion_core::{
    Result,
    deletion::{DeletionReceipt, Left, Removed},
    ids::{DocumentId, TenantId, VersionId},
    ports::objects::ObjectKey,
};

use crate::Ports;

/// Receipts that are read at once.
const AT_ONCE: u32 = 500;

/// What the index and the object store have of a document.
pub(crate) async fn stored(
    ports: &Ports,
    tenant: TenantId,
    document: DocumentId,
    versions: &[VersionId],
) -> Result<Removed> {
    let points = ports.vectors.point_ids(&ports.vector_scope(tenant), document).await?.len() as u64;
    let mut stored = Removed { points, ..Removed::default() };
    for version in versions {
        for object in ports.objects.list(&ObjectKey::version_prefix(tenant, *version)).await? {
            stored.objects += 1;
            stored.bytes += object.size;
        }
    }
    Ok(stored)
}

/// Removes what the index and the object store have of a document, for good.
pub(crate) async fn remove(
    ports: &Ports,
    tenant: TenantId,
    document: DocumentId,
    versions: &[VersionId],
) -> Result<()> {
    let scope = ports.vector_scope(tenant);
    ports.vectors.delete_document(&scope, document).await?;
    ports.vectors.flush(&scope).await?;
    for version in versions {
        ports.objects.delete_prefix(&ObjectKey::version_prefix(tenant, *version)).await?;
    }
    Ok(())
}

/// Looks whether anything is left of a deleted document, and notes what was found. What a worker that was given up on has
/// written since is removed, and looked for again.
pub(crate) async fn verify(ports: &Ports, receipt: &DeletionReceipt) -> Result<Left> {
    let (tenant, document, versions) = (receipt.tenant, receipt.document, &receipt.versions);
    let mut left = look(ports, receipt).await?;
    if left.points + left.objects > 0 {
        tracing::warn!(document_id = %document, points = left.points, objects = left.objects,
            "something of a deleted document was left; removing it");
        remove(ports, tenant, document, versions).await?;
        left = look(ports, receipt).await?;
    }
    ports.upkeep.note_left(tenant, document, left).await?;
    Ok(left)
}

async fn look(ports: &Ports, receipt: &DeletionReceipt) -> Result<Left> {
    let stored = stored(ports, receipt.tenant, receipt.document, &receipt.versions).await?;
    let rows = ports.upkeep.rows_left(receipt).await?;
    Ok(Left { rows, points: stored.points, objects: stored.objects })
}

/// Verifies the receipt of a deletion that has just ended, as far as that can be done now; a sweep does the rest.
pub(crate) async fn verify_now(ports: &Ports, tenant: TenantId, document: DocumentId) {
    let verified = async {
        match ports.upkeep.deletion_receipt(tenant, document).await? {
            Some(receipt) if receipt.end_time.is_some() => verify(ports, &receipt).await.map(drop),
            _ => Ok(()),
        }
    };
    if let Err(error) = verified.await {
        tracing::warn!(document_id = %document, reason = error.reason(), ?error, "a deletion is verified later");
    }
}

/// Verifies receipts of deletions that have ended. Does all that it can, then reports the first failure: what cannot be
/// verified comes first the next time again, and keeps no other from being verified.
pub(crate) async fn verify_ended(ports: &Ports) -> Result<u64> {
    let (mut verified, mut failed, mut last) = (0, None, None);
    loop {
        let receipts = ports.upkeep.unverified_receipts(last.as_ref(), AT_ONCE).await?;
        if !receipts.is_empty() {
            ports.objects.check().await.and(ports.vectors.check().await)?;
        }
        for receipt in &receipts {
            match verify(ports, receipt).await {
                Ok(left) => verified += u64::from(left.is_nothing()),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if receipts.len() < AT_ONCE as usize {
            return failed.map_or(Ok(verified), Err);
        }
        last = receipts.into_iter().last();
    }
}
