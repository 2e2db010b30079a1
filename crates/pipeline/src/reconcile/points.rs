//! Points beside the chunks that they are of.

use std::collections::{BTreeMap, HashSet};

use vectrion_core::{
    Result,
    ids::{ChunkId, TenantId, VersionId},
    job::JobPayload,
    ports::vectors::{Generation, StoredPoint, VectorScope},
};

use super::{Finding, FindingKind, Reconciliation, Remedy};

/// Points that are read at once.
const POINTS: usize = 1000;

impl Reconciliation {
    pub(super) async fn points(&mut self, tenant: TenantId, from: Option<&str>) -> Result<Option<String>> {
        if from.is_none() && self.collection_of_points().is_none() {
            for generation in self.ports.vectors.generations(tenant).await? {
                if !self.is_current(&generation, tenant) {
                    self.stale_generation(tenant, &generation);
                }
            }
        }
        let scope = self.ports.vector_scope(tenant);
        let page = self.ports.vectors.walk(&scope, from, POINTS).await?;
        self.progress.points += page.points.len() as u64;
        let ids: Vec<ChunkId> = page.points.iter().map(|point| point.id).collect();
        let known: HashSet<ChunkId> = self.ports.upkeep.known_chunks(tenant, &ids).await?.into_iter().collect();
        let mut unknown: BTreeMap<VersionId, StoredPoint> = BTreeMap::new();
        for point in page.points {
            let is_asked_for = self.collection_of_points().is_none_or(|collection| collection == point.collection);
            if is_asked_for && !known.contains(&point.id) {
                unknown.entry(point.version_id).or_insert(point);
            }
        }
        let mut removed = false;
        for point in unknown.into_values() {
            if self.is_news(point.version_id) {
                removed |= self.without_chunk(&scope, point).await?;
            }
        }
        if removed {
            self.ports.vectors.flush(&scope).await?;
        }
        Ok(page.next)
    }

    /// A point, and maybe others of its version, is of no chunk. Says whether points were removed.
    async fn without_chunk(&mut self, scope: &VectorScope, point: StoredPoint) -> Result<bool> {
        let (tenant, version) = (scope.tenant, point.version_id);
        let record = self.ports.upkeep.version_record(tenant, version).await?;
        let found = self.points_of(scope, version).await?;
        let mut finding = Finding {
            kind: FindingKind::PointsOrphaned,
            tenant,
            document: Some(point.document),
            version: Some(version),
            object_key: None,
            expected: 0,
            found,
            remedy: Remedy::None,
            message: "the vector index holds points of a version that is not known".to_owned(),
        };
        let Some(record) = record else {
            if found == 0 || !self.is_old(version.0) {
                return Ok(false);
            }
            if self.order.repair {
                finding.remedy = self.remove_points(scope, version).await?;
            }
            let removed = finding.remedy == Remedy::Removed;
            self.report(finding);
            return Ok(removed);
        };
        // Somebody is at work on it, and leaves it as it should be. Points of a version that failed are seen by nobody, and
        // go when it is tried again or replaced.
        let is_settled = record.searched || record.replaced;
        if record.busy || record.deleting || !is_settled || found == 0 || self.is_of_orphans() {
            return Ok(false);
        }
        finding.kind = FindingKind::PointsStale;
        finding.expected = record.chunks;
        finding.message = format!("the vector index holds points that are of no chunk of version {}", record.number);
        let payload = if record.searched {
            JobPayload::EmbedV1 { version_id: version }
        } else {
            JobPayload::DeleteVersionV1 { version_id: version }
        };
        finding.remedy = self.requeue(tenant, &record, payload).await?;
        self.report(finding);
        Ok(false)
    }

    pub(super) async fn points_of(&self, scope: &VectorScope, version: VersionId) -> Result<u64> {
        Ok(self.ports.vectors.count(scope, &[version]).await?.first().copied().unwrap_or(0))
    }

    fn stale_generation(&mut self, tenant: TenantId, generation: &Generation) {
        self.report(Finding {
            kind: FindingKind::GenerationStale,
            tenant,
            document: None,
            version: None,
            object_key: None,
            expected: 0,
            found: 0,
            remedy: Remedy::None,
            message: format!(
                "the vector index holds points of the model `{}` cut by `{}`; the next start drops them if no document \
                 needs them",
                generation.model, generation.chunker
            ),
        });
    }
}
