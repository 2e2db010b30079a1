//! Objects that nobody refers to, and what tenants left that are gone.

use std::collections::HashSet;

use vectrion_core::{
    Result,
    ids::{TenantId, UploadId, VersionId},
    ports::objects::{ObjectInfo, ObjectKey},
};

use super::{Finding, FindingKind, Reconciliation, Remedy};

/// Objects that are listed at once.
const OBJECTS: usize = 1000;

impl Reconciliation {
    /// Versions of which there are objects, and that were not among the versions.
    pub(super) async fn unknown_versions(&mut self, tenant: TenantId, versions: Vec<VersionId>) -> Result<()> {
        if versions.is_empty() {
            return Ok(());
        }
        let known = self.ports.upkeep.known_versions(tenant, &versions).await?;
        let known: HashSet<VersionId> = known.into_iter().collect();
        for version in versions {
            if !known.contains(&version) && self.is_old(version.0) {
                let prefix = ObjectKey::version_prefix(tenant, version);
                let remedy = self.remedy_of_objects(&prefix, tenant, Some(version), None).await?;
                self.orphaned(tenant, Some(version), &prefix, remedy);
            }
        }
        Ok(())
    }

    /// The parts of uploads in pieces.
    pub(super) async fn uploads(&mut self, tenant: TenantId, after: Option<&str>) -> Result<Option<String>> {
        // Uploads belong to no collection until they end.
        if self.collection().is_some() {
            return Ok(None);
        }
        let prefix = ObjectKey::uploads_prefix(tenant);
        let after = after.map(|key| ObjectKey::from_listing(key.to_owned()));
        let found = self.ports.objects.walk(&prefix, after.as_ref(), OBJECTS).await?;
        self.progress.objects += found.len() as u64;
        let mut uploads: Vec<UploadId> = found.iter().filter_map(|object| upload_of(&prefix, object)).collect();
        uploads.dedup();
        let known: HashSet<UploadId> = self.ports.upkeep.known_uploads(tenant, &uploads).await?.into_iter().collect();
        for upload in uploads {
            if !known.contains(&upload) && self.is_old(upload.0) {
                let prefix = ObjectKey::upload_prefix(tenant, upload);
                let remedy = self.remedy_of_objects(&prefix, tenant, None, Some(upload)).await?;
                self.orphaned(tenant, None, &prefix, remedy);
            }
        }
        let is_last = found.len() < OBJECTS;
        Ok(found.last().filter(|_| !is_last).map(|last| last.key.as_str().to_owned()))
    }

    fn orphaned(&mut self, tenant: TenantId, version: Option<VersionId>, prefix: &ObjectKey, remedy: Option<Orphans>) {
        let Some(Orphans { objects, remedy }) = remedy else { return };
        let what = if version.is_some() { "a version" } else { "an upload" };
        self.report(Finding {
            kind: FindingKind::ObjectOrphaned,
            tenant,
            document: None,
            version,
            object_key: Some(prefix.as_str().to_owned()),
            expected: 0,
            found: objects,
            remedy,
            message: format!("the object store holds objects of {what} that is not known"),
        });
    }

    /// What there is of one that is not known, looked at again, and what became of it; none if there is nothing any more,
    /// or it is known by now.
    async fn remedy_of_objects(
        &self,
        prefix: &ObjectKey,
        tenant: TenantId,
        version: Option<VersionId>,
        upload: Option<UploadId>,
    ) -> Result<Option<Orphans>> {
        let objects = self.ports.objects.list(prefix).await?.len() as u64;
        let upkeep = &self.ports.upkeep;
        let is_known = match (version, upload) {
            (Some(version), _) => !upkeep.known_versions(tenant, &[version]).await?.is_empty(),
            (None, Some(upload)) => !upkeep.known_uploads(tenant, &[upload]).await?.is_empty(),
            (None, None) => true,
        };
        if objects == 0 || is_known {
            return Ok(None);
        }
        let mut remedy = Remedy::None;
        if self.order.repair {
            self.ports.objects.delete_prefix(prefix).await?;
            remedy = Remedy::Removed;
        }
        Ok(Some(Orphans { objects, remedy }))
    }

    /// Tenants of which there are objects or points, and no row.
    pub(super) async fn leftovers(&mut self, after: Option<&str>) -> Result<Option<String>> {
        if after.is_none() {
            for tenant in self.ports.vectors.tenants().await? {
                // One that has objects, too, is come to by way of them.
                if self.ports.objects.walk(&ObjectKey::tenant_prefix(tenant), None, 1).await?.is_empty() {
                    self.leftover(tenant).await?;
                }
            }
        }
        let prefix = ObjectKey::tenants_prefix();
        let after = after.map(|key| ObjectKey::from_listing(key.to_owned()));
        // One object shows a tenant; the rest of it is passed over.
        let found = self.ports.objects.walk(&prefix, after.as_ref(), 1).await?;
        let Some(object) = found.first() else { return Ok(None) };
        self.progress.objects += 1;
        let rest = object.key.as_str().strip_prefix(prefix.as_str()).unwrap_or_default();
        let name = rest.split('/').next().unwrap_or_default();
        if let Ok(tenant) = name.parse() {
            self.leftover(tenant).await?;
        }
        Ok(Some(ObjectKey::from_listing(format!("{}{name}/", prefix.as_str())).after_all().as_str().to_owned()))
    }

    async fn leftover(&mut self, tenant: TenantId) -> Result<()> {
        if self.ports.directory.tenant(tenant).await?.is_some() || !self.is_old(tenant.0) {
            return Ok(());
        }
        let objects = self.ports.objects.walk(&ObjectKey::tenant_prefix(tenant), None, OBJECTS).await?.len();
        let generations = self.ports.vectors.generations(tenant).await?.len();
        if (objects, generations) == (0, 0) {
            return Ok(());
        }
        let mut remedy = Remedy::None;
        if self.order.repair {
            crate::administration::remove_bytes(&self.ports, tenant).await?;
            remedy = Remedy::Removed;
        }
        self.report(Finding {
            kind: FindingKind::TenantLeftover,
            tenant,
            document: None,
            version: None,
            object_key: Some(ObjectKey::tenant_prefix(tenant).as_str().to_owned()),
            expected: 0,
            found: objects as u64,
            remedy,
            message: "there is no such tenant any more, and objects or points of it are left".to_owned(),
        });
        Ok(())
    }
}

/// Objects that nobody refers to.
struct Orphans {
    objects: u64,
    remedy: Remedy,
}

fn upload_of(prefix: &ObjectKey, object: &ObjectInfo) -> Option<UploadId> {
    let (upload, _) = object.key.as_str().strip_prefix(prefix.as_str())?.split_once('/')?;
    upload.parse().ok()
}
