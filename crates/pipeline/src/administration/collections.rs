//! Collections.

use vectrion_core::{
    Error, Result,
    ids::CollectionId,
    page::{Page, PageRequest},
    tenancy::{CallContext, Collection},
};

use super::{Administration, TenantRef, names};
use crate::CollectionRef;

impl Administration {
    /// Creates a collection. A taken name is `ALREADY_EXISTS`, reason `COLLECTION_EXISTS`.
    pub async fn create_collection(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        name: &str,
        description: &str,
    ) -> Result<Collection> {
        names::check(name)?;
        names::check_description(description)?;
        let tenant = self.resolve_tenant(context, tenant).await?;
        let model = self.ports.embedder.model();
        let made =
            self.ports.directory.create_collection(tenant, CollectionId::new(), name, description, model).await?;
        Ok(self.ports.with_model(made))
    }

    /// A collection.
    pub async fn get_collection(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: &CollectionRef,
    ) -> Result<Collection> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        self.ports.find_collection(tenant, collection).await
    }

    /// The collections of a tenant.
    pub async fn list_collections(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        page: &PageRequest,
    ) -> Result<Page<Collection>> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        let found = self.ports.directory.list_collections(tenant, page).await?;
        Ok(found.map(|collection| self.ports.with_model(collection)))
    }

    /// Changes a collection.
    pub async fn update_collection(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: &CollectionRef,
        name: Option<&str>,
        description: Option<&str>,
    ) -> Result<Collection> {
        name.map_or(Ok(()), names::check)?;
        description.map_or(Ok(()), names::check_description)?;
        let tenant = self.resolve_tenant(context, tenant).await?;
        let found = self.ports.find_collection(tenant, collection).await?;
        if name.is_none() && description.is_none() {
            return Ok(found);
        }
        let changed = self.ports.directory.update_collection(tenant, found.id, name, description).await?;
        Ok(self.ports.with_model(changed))
    }

    /// Deletes a collection without documents (`FAILED_PRECONDITION`, reason `COLLECTION_NOT_EMPTY`).
    pub async fn delete_collection(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        collection: &CollectionRef,
    ) -> Result<()> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        let found = self.ports.find_collection(tenant, collection).await?;
        self.ports.directory.delete_collection(tenant, found.id).await
    }
}

impl crate::Ports {
    /// The collection with the model that its documents are embedded by: the installation's where none was stored with
    /// it, as with the collection that comes with a tenant.
    fn with_model(&self, collection: Collection) -> Collection {
        if collection.embedding_model.is_empty() {
            return Collection { embedding_model: self.embedder.model().to_owned(), ..collection };
        }
        collection
    }

    /// A collection of this tenant. A missing one, and one of another tenant, is `NOT_FOUND`, reason
    /// `COLLECTION_NOT_FOUND`.
    pub(crate) async fn find_collection(
        &self,
        tenant: vectrion_core::ids::TenantId,
        collection: &CollectionRef,
    ) -> Result<Collection> {
        let found = match collection {
            CollectionRef::Id(id) => self.directory.collection(tenant, *id).await?,
            CollectionRef::Name(name) => self.directory.collection_by_name(tenant, name).await?,
        };
        found.map(|collection| self.with_model(collection)).ok_or_else(|| missing(collection))
    }

    /// The id of a collection of this tenant; its counts are not asked for. Missing as with [`Self::find_collection`].
    pub(crate) async fn find_collection_id(
        &self,
        tenant: vectrion_core::ids::TenantId,
        collection: &CollectionRef,
    ) -> Result<CollectionId> {
        self.directory.collection_id(tenant, collection).await?.ok_or_else(|| missing(collection))
    }
}

fn missing(collection: &CollectionRef) -> Error {
    let named = match collection {
        CollectionRef::Id(id) => id.to_string(),
        CollectionRef::Name(name) => name.clone(),
    };
    Error::not_found("COLLECTION_NOT_FOUND", format!("there is no collection `{named}`; create it, or name another"))
        .with_metadata("collection", named)
}
