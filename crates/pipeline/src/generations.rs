//! What becomes of the vectors when the embedding model or the chunker is changed.
//!
//! Documents are searched in one generation of the index: that of the configured model and chunker. Those that were
//! embedded before a change are not in it, and searches would miss them without a word. So a start with such a change is
//! refused as long as a document needs the old vectors; when none does, they are dropped.

use vectrion_core::{
    Error, Result,
    document::{Document, DocumentFilter, DocumentOrder, DocumentState},
    ids::TenantId,
    page::PageRequest,
    ports::vectors::{Generation, VectorScope},
};

use crate::{Ports, chores};

/// Drops the old generations that no document needs any more. To be called at the start, before anything is searched.
///
/// # Errors
/// `FAILED_PRECONDITION`, reason `EMBEDDING_MODEL_CHANGED`, if searches would miss a document: nothing is dropped then.
pub async fn settle(ports: &Ports) -> Result<()> {
    // Nearly always there is nothing to drop, and nobody waits for anybody.
    if old_scopes(ports).await?.is_empty() {
        return Ok(());
    }
    // Whoever drops looks again before it does, when nobody else does the same.
    chores::in_turn(ports, chores::GENERATIONS, || async {
        for scope in old_scopes(ports).await? {
            tracing::info!(tenant_id = %scope.tenant, model = scope.generation.model, chunker = scope.generation.chunker,
                "dropping vectors that no document needs any more");
            ports.vectors.drop_scope(&scope).await?;
        }
        Ok(())
    })
    .await
}

/// The old generations that no document needs any more.
async fn old_scopes(ports: &Ports) -> Result<Vec<VectorScope>> {
    let mut old = Vec::new();
    let mut tenants = first_page();
    loop {
        let page = ports.directory.list_tenants(&tenants).await?;
        for tenant in page.items {
            let scope = ports.vector_scope(tenant.id);
            let mut others = ports.vectors.generations(tenant.id).await?;
            others.retain(|generation| *generation != scope.generation);
            let Some(other) = others.first() else { continue };
            if let Some(document) = missing(ports, &scope).await? {
                return Err(refusal(&document, other, &scope.generation));
            }
            old.extend(others.into_iter().map(|generation| VectorScope { generation, tenant: tenant.id }));
        }
        match page.next {
            Some(next) => tenants.token = Some(next),
            None => return Ok(old),
        }
    }
}

/// A document that can be searched, and has not all its points in this generation.
async fn missing(ports: &Ports, scope: &VectorScope) -> Result<Option<Document>> {
    let mut page = first_page();
    loop {
        let filter = DocumentFilter::default();
        let found = ports.catalog.list_documents(scope.tenant, &filter, DocumentOrder::default(), &page).await?;
        let mut visible = Vec::with_capacity(found.items.len());
        for document in found.items {
            if document.state != DocumentState::Deleting {
                visible.extend(searched(ports, scope.tenant, document).await?);
            }
        }
        let versions: Vec<_> = visible.iter().map(|document| document.version_id).collect();
        let counts = ports.vectors.count(scope, &versions).await?;
        let short = visible.into_iter().zip(counts).find(|(document, count)| *count < u64::from(document.chunk_count));
        if let Some((document, _)) = short {
            return Ok(Some(document));
        }
        match found.next {
            Some(next) => page.token = Some(next),
            None => return Ok(None),
        }
    }
}

/// The version of a document that searches see, if there is one.
async fn searched(ports: &Ports, tenant: TenantId, document: Document) -> Result<Option<Document>> {
    let Some(version) = document.indexed_version else { return Ok(None) };
    if version == document.version {
        return Ok(Some(document));
    }
    let mut page = first_page();
    loop {
        let found = ports.catalog.list_versions(tenant, document.id, &page).await?;
        if let Some(document) = found.items.into_iter().find(|document| document.version == version) {
            return Ok(Some(document));
        }
        match found.next {
            Some(next) => page.token = Some(next),
            None => return Ok(None),
        }
    }
}

fn refusal(document: &Document, old: &Generation, new: &Generation) -> Error {
    let what = if old.model == new.model && old.dimension == new.dimension {
        format!(
            "documents were cut by the chunker `{}`, and the configuration now asks for `{}`: set \
             documents.chunk_overlap_tokens back",
            old.chunker, new.chunker
        )
    } else {
        format!(
            "documents were embedded by the model `{}` ({} dimensions), and the configuration now names `{}` ({}): set \
             the settings models.embed… back",
            old.model, old.dimension, new.model, new.dimension
        )
    };
    Error::precondition(
        "EMBEDDING_MODEL_CHANGED",
        format!(
            "{what}, or begin a new data directory and ingest the documents again; otherwise searches would not find \
             them (the first one is {})",
            document.id
        ),
    )
}

fn first_page() -> PageRequest {
    PageRequest { size: PageRequest::MAX_SIZE, token: None }
}
