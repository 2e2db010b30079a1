//! Versions beside their chunks, their points and their objects: three walks in the same order.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use vectrion_core::{
    Result,
    document::DocumentState,
    ids::{TenantId, VersionId},
    job::JobPayload,
    ports::{
        objects::{ObjectInfo, ObjectKey},
        upkeep::VersionRecord,
    },
};

use super::{Finding, FindingKind, Reconciliation, Remedy, invalid_cursor};

/// Versions of a page, and of one whose objects are read whole.
const VERSIONS: u32 = 500;
const VERSIONS_READ: u32 = 16;
/// Objects that are listed at once.
const OBJECTS: usize = 1000;

/// What was found of the objects of a page's versions: the length of the bytes as uploaded.
type Originals = HashMap<VersionId, u64>;

impl Reconciliation {
    pub(super) async fn versions(&mut self, tenant: TenantId, after: Option<&str>) -> Result<Option<String>> {
        let after: Option<VersionId> = after.map(|text| text.parse().map_err(|_| invalid_cursor())).transpose()?;
        let limit = if self.order.verify_objects { VERSIONS_READ } else { VERSIONS };
        let page = self.ports.upkeep.walk_versions(tenant, self.collection(), after, limit).await?;
        let is_last = page.len() < limit as usize;
        let end = page.last().map(|record| record.id).filter(|_| !is_last);

        let searched: Vec<VersionId> = page
            .iter()
            .filter(|record| record.searched && !record.busy && !self.is_of_orphans())
            .map(|record| record.id)
            .collect();
        let counted = self.ports.vectors.count(&self.ports.vector_scope(tenant), &searched).await?;
        let points: HashMap<VersionId, u64> = searched.into_iter().zip(counted).collect();
        let originals = self.objects_between(tenant, after, end, &page).await?;

        for record in &page {
            self.progress.versions += 1;
            if record.busy || self.is_of_orphans() {
                continue;
            }
            if is_left(record) {
                self.left(tenant, record).await?;
            } else if !record.deleting {
                // The bytes first: where the chunks are mended, a job waits from then on.
                self.object(tenant, record, originals.get(&record.id).copied()).await?;
                if record.searched {
                    self.contents(tenant, record, points.get(&record.id).copied().unwrap_or(0)).await?;
                }
            }
        }
        Ok(end.map(|id| id.to_string()))
    }

    /// Looks at the objects of versions between these two: those of the page are given back, those of versions that nobody
    /// knows are told of.
    async fn objects_between(
        &mut self,
        tenant: TenantId,
        after: Option<VersionId>,
        end: Option<VersionId>,
        page: &[VersionRecord],
    ) -> Result<Originals> {
        let prefix = ObjectKey::versions_prefix(tenant);
        let mut originals: Originals = HashMap::new();
        let mut from = after.map(|id| ObjectKey::version_prefix(tenant, id).after_all());
        loop {
            let found = self.ports.objects.walk(&prefix, from.as_ref(), OBJECTS).await?;
            let is_last = found.len() < OBJECTS;
            let mut unknown: Vec<VersionId> = Vec::new();
            let mut is_beyond = false;
            for object in &found {
                let Some(version) = version_of(&prefix, object) else {
                    self.unknown_object(tenant, object);
                    continue;
                };
                if end.is_some_and(|end| version > end) {
                    is_beyond = true;
                    break;
                }
                self.progress.objects += 1;
                if page.binary_search_by_key(&version, |record| record.id).is_ok() {
                    if object.key == ObjectKey::original(tenant, version) {
                        originals.insert(version, object.size);
                    }
                } else if unknown.last() != Some(&version) {
                    unknown.push(version);
                }
            }
            // A collection's versions alone were read: others are unknown for that reason.
            if self.collection().is_none() {
                self.unknown_versions(tenant, unknown).await?;
            }
            from = found.last().map(|last| last.key.clone());
            if is_last || is_beyond {
                return Ok(originals);
            }
        }
    }

    /// A version between states without a job that would go on.
    async fn left(&mut self, tenant: TenantId, record: &VersionRecord) -> Result<()> {
        let payload = match record.state {
            _ if record.deleting => JobPayload::DeleteDocumentV1 {},
            DocumentState::Uploaded | DocumentState::Processing => JobPayload::ProcessV1 { version_id: record.id },
            _ => JobPayload::EmbedV1 { version_id: record.id },
        };
        let remedy = self.requeue(tenant, record, payload).await?;
        let message = format!("version {} is {} and no job goes on with it", record.number, record.state.as_str());
        self.report(Finding { remedy, message, ..finding(FindingKind::JobMissing, tenant, record) });
        Ok(())
    }

    /// Chunks and points of the version that searches see.
    async fn contents(&mut self, tenant: TenantId, record: &VersionRecord, points: u64) -> Result<()> {
        let (kind, payload, expected, found, message) = if record.chunks != u64::from(record.chunk_count) {
            let message = format!("{} of {} chunks are in the database", record.chunks, record.chunk_count);
            let payload = JobPayload::ProcessV1 { version_id: record.id };
            (FindingKind::ChunksMissing, payload, u64::from(record.chunk_count), record.chunks, message)
        } else if points < record.chunks {
            let message = format!("{points} of {} chunks are in the vector index", record.chunks);
            let payload = JobPayload::EmbedV1 { version_id: record.id };
            (FindingKind::PointsMissing, payload, record.chunks, points, message)
        } else {
            // Points that are too many are found where the points are walked.
            return Ok(());
        };
        // It may have been replaced, deleted or taken up again since the page was read.
        let now = self.ports.upkeep.version_record(tenant, record.id).await?;
        if now.is_none_or(|now| now != *record) || !self.is_news(record.id) {
            return Ok(());
        }
        let remedy = self.requeue(tenant, record, payload).await?;
        self.report(Finding { expected, found, remedy, message, ..finding(kind, tenant, record) });
        Ok(())
    }

    /// The bytes of a version. Nothing can make them again: they are told of.
    async fn object(&mut self, tenant: TenantId, record: &VersionRecord, size: Option<u64>) -> Result<()> {
        let key = ObjectKey::original(tenant, record.id);
        let (kind, found, message) = match size {
            None => (FindingKind::ObjectMissing, 0, "the bytes are gone; upload the document again".to_owned()),
            Some(size) if size != record.size => (
                FindingKind::ObjectSizeWrong,
                size,
                format!("{size} bytes are stored of {}; upload the document again", record.size),
            ),
            Some(size) if self.order.verify_objects && !self.is_intact(&key, record).await? => (
                FindingKind::ObjectCorrupt,
                size,
                "the stored bytes are not those that were uploaded; upload the document again".to_owned(),
            ),
            Some(_) => return Ok(()),
        };
        let is_still_so = match self.ports.objects.head(&key).await {
            Ok(info) => Some(info.size) == size,
            Err(error) if error.reason() == "OBJECT_NOT_FOUND" => size.is_none(),
            Err(error) => return Err(error),
        };
        let now = self.ports.upkeep.version_record(tenant, record.id).await?;
        if is_still_so && now.is_some_and(|now| !now.deleting && !now.busy) {
            let object_key = Some(key.as_str().to_owned());
            let expected = record.size;
            self.report(Finding { expected, found, object_key, message, ..finding(kind, tenant, record) });
        }
        Ok(())
    }

    async fn is_intact(&self, key: &ObjectKey, record: &VersionRecord) -> Result<bool> {
        let bytes = match self.ports.objects.get(key, 0).await {
            Ok(bytes) => bytes,
            Err(error) if error.reason() == "OBJECT_NOT_FOUND" => return Ok(true),
            Err(error) => return Err(error),
        };
        let hashed = bytes.try_fold(Sha256::new(), |mut digest, part| async move {
            digest.update(&part);
            Ok(digest)
        });
        Ok(hashed.await?.finalize().as_slice() == record.sha256)
    }

    fn unknown_object(&mut self, tenant: TenantId, object: &ObjectInfo) {
        if self.collection().is_some() || self.is_of_orphans() {
            return;
        }
        self.report(Finding {
            kind: FindingKind::ObjectUnknown,
            tenant,
            document: None,
            version: None,
            object_key: Some(object.key.as_str().to_owned()),
            expected: 0,
            found: object.size,
            remedy: Remedy::None,
            message: "the name of the object is none of ours; it is left alone".to_owned(),
        });
    }
}

/// Whether nothing will go on with a version that is on its way.
fn is_left(record: &VersionRecord) -> bool {
    if record.deleting {
        return record.state != DocumentState::Failed;
    }
    !record.state.is_terminal() && !record.replaced
}

fn finding(kind: FindingKind, tenant: TenantId, record: &VersionRecord) -> Finding {
    Finding {
        kind,
        tenant,
        document: Some(record.document),
        version: Some(record.id),
        object_key: None,
        expected: 0,
        found: 0,
        remedy: Remedy::None,
        message: String::new(),
    }
}

fn version_of(prefix: &ObjectKey, object: &ObjectInfo) -> Option<VersionId> {
    let (version, _) = object.key.as_str().strip_prefix(prefix.as_str())?.split_once('/')?;
    version.parse().ok()
}
