//! What must hold whenever nothing is left to do.

use std::collections::BTreeSet;

use vectrion_core::{
    document::{Document, DocumentFilter, DocumentOrder, DocumentState},
    ids::TenantId,
    page::PageRequest,
    ports::objects::ObjectKey,
};

use super::World;

impl World {
    /// Every document of the tenant, through its newest version.
    pub async fn documents(&self, tenant: TenantId) -> Vec<Document> {
        let (filter, order) = (DocumentFilter::default(), DocumentOrder::default());
        let page = PageRequest { size: PageRequest::MAX_SIZE, token: None };
        self.ports.catalog.list_documents(tenant, &filter, order, &page).await.expect("a list").items
    }

    /// Keys of the objects that are there, without the tenant's prefix.
    pub async fn objects(&self, tenant: TenantId) -> BTreeSet<String> {
        let prefix = ObjectKey::tenant_prefix(tenant);
        let listed = self.ports.objects.list(&prefix).await.expect("a listing");
        listed.into_iter().map(|info| info.key.as_str()[prefix.as_str().len()..].to_owned()).collect()
    }

    /// Every document is in a final state; of an indexed one the chunks in the database are the points in the index, and
    /// its bytes and its text are there; nothing else is there: no points, no objects, no uploads, no scratch files.
    pub async fn assert_consistent(&self) {
        let page = PageRequest { size: PageRequest::MAX_SIZE, token: None };
        let scope = self.ports.vector_scope(self.tenant);
        let mut wanted_objects = BTreeSet::new();
        for document in self.documents(self.tenant).await {
            assert!(document.state.is_terminal(), "{} is {:?}", document.filename, document.state);
            let versions = self.ports.catalog.list_versions(self.tenant, document.id, &page).await.expect("versions");
            let mut chunks = BTreeSet::new();
            for version in &versions.items {
                wanted_objects.insert(format!("versions/{}/original", version.version_id));
                let stored = self
                    .ports
                    .catalog
                    .list_chunks(self.tenant, document.id, Some(version.version), &page)
                    .await
                    .expect("chunks");
                if Some(version.version) == document.indexed_version {
                    assert_eq!(stored.items.len(), version.chunk_count as usize, "{}", version.filename);
                    chunks.extend(stored.items.iter().map(|chunk| chunk.id));
                }
                if version.page_count > 0 {
                    wanted_objects.insert(format!("versions/{}/extracted.json", version.version_id));
                }
            }
            let points = self.ports.vectors.point_ids(&scope, document.id).await.expect("points");
            assert_eq!(points.len(), points.iter().collect::<BTreeSet<_>>().len(), "no point twice");
            if document.state == DocumentState::Indexed {
                assert_eq!(points.into_iter().collect::<BTreeSet<_>>(), chunks, "{}", document.filename);
                assert!(!chunks.is_empty());
            }
        }
        assert_eq!(self.objects(self.tenant).await, wanted_objects);
        let uploads = self.ports.uploads.expired_uploads(true, 100).await.expect("uploads");
        assert_eq!(uploads, [], "no upload is left over");
        let depths = self.ports.jobs.queue_depths().await.expect("depths");
        assert!(depths.iter().all(|depth| depth.ready + depth.delayed + depth.running == 0), "{depths:?}");
    }
}
