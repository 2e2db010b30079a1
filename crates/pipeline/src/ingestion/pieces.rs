//! Uploads in pieces, which survive broken connections and restarts.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use vectrion_core::{
    Error, ErrorKind, Result,
    ids::UploadId,
    ports::{
        documents::SNIFF_BYTES,
        objects::{ObjectInfo, ObjectKey},
        uploads::Upload,
    },
    tenancy::CallContext,
};

use super::{Ingestion, UploadSpec, completion::COMPLETING_RETRY};

/// Bytes of a chunk at the most.
const MAX_CHUNK_BYTES: usize = 2 * 1024 * 1024;

impl Ingestion {
    /// Begins an upload in pieces.
    pub async fn create_upload(&self, context: &CallContext, spec: UploadSpec) -> Result<Upload> {
        self.begin(context, spec, false).await
    }

    /// Stores the next bytes and returns the new committed size. `OUT_OF_RANGE`, reason `WRONG_OFFSET`, with metadata
    /// `committed_size`, if `offset` is not the committed size; a chunk that is sent again because its answer was lost
    /// gets that too, and goes on from there. Of two calls at once for the same offset one wins. `ABORTED`, reason
    /// `UPLOAD_CONFLICT`, while the upload is being completed.
    pub async fn upload_chunk(&self, context: &CallContext, id: UploadId, offset: u64, data: Bytes) -> Result<u64> {
        let upload = self.get_upload(context, id).await?;
        if offset != upload.committed {
            return Err(wrong_offset(upload.committed));
        }
        if data.is_empty() || data.len() > MAX_CHUNK_BYTES {
            return Err(Error::invalid_field("data", format!("has 1 to {MAX_CHUNK_BYTES} bytes")));
        }
        let len = data.len() as u64;
        let end = offset + len;
        self.expected(upload.header.size, vec![]).check_size(end)?;
        // The type shows as soon as the first chunk is long enough; a shorter one is looked at in the end.
        if offset == 0 && (data.len() >= SNIFF_BYTES || upload.header.size == Some(end)) {
            let head = &data[..data.len().min(SNIFF_BYTES)];
            self.ports.parser.sniff(head, upload.header.filename.as_str())?;
        }
        self.ports.objects.check().await?;
        let key = ObjectKey::upload_part(upload.tenant, id, offset, len);
        self.ports.objects.put(&key, stream::once(async move { Ok(data) }).boxed()).await?;
        match self.ports.uploads.advance_upload(upload.tenant, id, offset, end, self.settings.upload_ttl_ms()).await {
            Ok(()) => Ok(end),
            Err(error) if error.reason() == "UPLOAD_CONFLICT" => {
                match self.get_upload(context, id).await?.committed {
                    // It is being completed, with what it has.
                    committed if committed == offset => Err(error.with_retry_after(COMPLETING_RETRY)),
                    committed => Err(wrong_offset(committed).with_source(error)),
                }
            }
            Err(error) if error.reason() == "UPLOAD_NOT_FOUND" => {
                // It ended while the bytes were stored, and whoever ended it has removed what was there then.
                if let Err(left) = self.ports.objects.delete(&key).await {
                    tracing::warn!(upload_id = %id, reason = left.reason(), error = ?left, "bytes of an ended upload are left over");
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// An upload in pieces. `NOT_FOUND`, reason `UPLOAD_NOT_FOUND`.
    pub async fn get_upload(&self, context: &CallContext, id: UploadId) -> Result<Upload> {
        let found = self.ports.uploads.upload(context.principal.tenant, id).await?;
        found.filter(|upload| !upload.one_call).ok_or_else(|| {
            Error::not_found("UPLOAD_NOT_FOUND", format!("there is no upload {id}; it has ended or expired"))
                .with_metadata("upload_id", id.to_string())
        })
    }
}

/// The parts from byte 0 to `committed` in order; none if some are missing. Parts of calls that came too late lead nowhere:
/// no part begins where they end, because the committed size was never there.
pub(super) fn in_order(listed: Vec<ObjectInfo>, committed: u64) -> Option<Vec<ObjectKey>> {
    let mut parts: Vec<(u64, u64, ObjectKey)> = listed
        .into_iter()
        .filter_map(|info| {
            let (offset, len) = info.key.as_str().rsplit('/').next()?.split_once('-')?;
            let (offset, len): (u64, u64) = (offset.parse().ok()?, len.parse().ok()?);
            (len > 0 && len == info.size).then(|| (offset, offset + len, info.key))
        })
        .collect();
    parts.sort_by_key(|(offset, _, _)| *offset);
    // From the end: the part that each offset goes on with, if the end can be reached from there.
    let mut next = std::collections::HashMap::new();
    for (index, (offset, end, _)) in parts.iter().enumerate().rev() {
        if *end == committed || next.contains_key(end) {
            next.insert(*offset, index);
        }
    }
    let mut order = Vec::new();
    let mut at = 0;
    while at != committed {
        let index = *next.get(&at)?;
        at = parts[index].1;
        order.push(parts[index].2.clone());
    }
    Some(order)
}

fn wrong_offset(committed: u64) -> Error {
    Error::new(
        ErrorKind::OutOfRange,
        "WRONG_OFFSET",
        format!("{committed} bytes of the upload are stored; send the bytes from offset {committed} on"),
    )
    .with_metadata("committed_size", committed.to_string())
}

#[cfg(test)]
mod tests {
    use vectrion_core::ids::TenantId;

    use super::*;

    fn part(tenant: TenantId, upload: UploadId, offset: u64, len: u64) -> ObjectInfo {
        ObjectInfo { key: ObjectKey::upload_part(tenant, upload, offset, len), size: len }
    }

    #[test]
    fn parts_are_put_in_order_and_late_ones_are_left_out() {
        let (tenant, upload) = (TenantId::new(), UploadId::new());
        let part = |offset, len| part(tenant, upload, offset, len);
        // 5 bytes at 0 and 40 at 10 came too late: 10 at 0, 20 at 10 and 3 at 30 were committed.
        let listed = vec![part(0, 5), part(0, 10), part(10, 20), part(10, 40), part(30, 3)];
        let order = in_order(listed.clone(), 33).expect("whole");
        assert_eq!(order, [part(0, 10).key, part(10, 20).key, part(30, 3).key]);
        assert_eq!(in_order(listed, 34), None);
    }

    #[test]
    fn a_missing_or_truncated_part_is_noticed() {
        let (tenant, upload) = (TenantId::new(), UploadId::new());
        let whole = vec![part(tenant, upload, 0, 10), part(tenant, upload, 10, 10)];
        assert!(in_order(whole.clone(), 20).is_some());
        assert_eq!(in_order(vec![whole[1].clone()], 20), None);
        assert_eq!(in_order(vec![whole[0].clone(), ObjectInfo { size: 9, ..whole[1].clone() }], 20), None);
        assert_eq!(in_order(vec![], 20), None);
    }
}
