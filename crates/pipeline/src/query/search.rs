//! Finding passages.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use vectrion_core::{
    Error, Result,
    ids::{ChunkId, TenantId},
    ports::{
        catalog::VisibleChunk,
        vectors::{Hit, VectorFilter, VectorQuery, VectorScope},
    },
    search::{Passage, SearchFilter, SearchMode, SearchQuery},
    tenancy::CallContext,
};

use super::{
    embedding,
    fusion::{self, Scored},
};
use crate::{CollectionRef, Ports};

/// Hits taken from each list at the least, so that fusing has something to work with.
const MIN_DEPTH: usize = 60;
/// Hits taken from each list for every passage asked for: chunks that are not visible fall out.
const DEPTH_FACTOR: usize = 3;
/// Hits taken from each list at the most.
const MAX_DEPTH: usize = 4096;
/// Documents that a metadata filter may name to the index; with more, hits are filtered afterwards.
const MAX_FILTER_DOCUMENTS: u32 = 4096;

/// What a search found, with what it learnt on the way.
pub(super) struct Found {
    pub(super) passages: Vec<Passage>,
    pub(super) embed_ms: f32,
    pub(super) search_ms: f32,
}

/// Resolves collections by name or id.
pub(super) async fn resolve_collections(
    ports: &Ports,
    context: &CallContext,
    collections: &[CollectionRef],
    filter: &mut SearchFilter,
) -> Result<()> {
    let tenant = context.principal.tenant;
    for collection in collections {
        let found = match collection {
            CollectionRef::Id(id) => ports.directory.collection(tenant, *id).await?,
            CollectionRef::Name(name) => ports.directory.collection_by_name(tenant, name).await?,
        };
        let found = found.ok_or_else(|| {
            Error::not_found("COLLECTION_NOT_FOUND", "there is no such collection; list them, or create it first")
        })?;
        filter.collections.push(found.id);
    }
    Ok(())
}

/// Finds passages of the tenant's visible chunks.
pub(super) async fn find(ports: &Ports, tenant: TenantId, query: &SearchQuery, by: Option<Instant>) -> Result<Found> {
    let began = Instant::now();
    let vector = match query.mode {
        SearchMode::Sparse => None,
        SearchMode::Dense | SearchMode::Hybrid => Some(embedding::of_question(ports, tenant, &query.text, by).await?),
    };
    let embedded = Instant::now();
    let passages = search(ports, tenant, query, vector).await?;
    let found =
        Found { passages, embed_ms: milliseconds(embedded - began), search_ms: milliseconds(embedded.elapsed()) };
    metrics::histogram!("vectrion_query_stage_seconds", "stage" => "embed").record(f64::from(found.embed_ms) / 1e3);
    metrics::histogram!("vectrion_query_stage_seconds", "stage" => "search").record(f64::from(found.search_ms) / 1e3);
    Ok(found)
}

pub(super) fn milliseconds(duration: std::time::Duration) -> f32 {
    duration.as_secs_f32() * 1e3
}

async fn search(
    ports: &Ports,
    tenant: TenantId,
    query: &SearchQuery,
    vector: Option<Vec<f32>>,
) -> Result<Vec<Passage>> {
    let Some(filter) = index_filter(ports, tenant, &query.filter).await? else { return Ok(Vec::new()) };
    let scope = ports.vector_scope(tenant);
    let top_k = query.top_k as usize;
    let mut depth = (top_k * DEPTH_FACTOR).max(MIN_DEPTH);
    loop {
        let (dense, sparse) = look_up(ports, &scope, query, vector.as_deref(), &filter, depth).await?;
        let exhausted = dense.len() < depth && sparse.len() < depth;
        let visible = visible(ports, tenant, &dense, &sparse, &query.filter).await?;
        let keep =
            |hits: Vec<Hit>| -> Vec<Hit> { hits.into_iter().filter(|hit| visible.contains_key(&hit.id)).collect() };
        let (dense, sparse) = (keep(dense), keep(sparse));
        let ranked = match query.mode {
            SearchMode::Hybrid => fusion::reciprocal_rank(&dense, &sparse),
            SearchMode::Dense => fusion::single(&dense, true),
            SearchMode::Sparse => fusion::single(&sparse, false),
        };
        let passages = passages(ranked, visible, query);
        if passages.len() >= top_k || exhausted || depth >= MAX_DEPTH {
            return Ok(passages);
        }
        depth = (depth * 4).min(MAX_DEPTH);
    }
}

/// What the index can filter by itself. Metadata stands in the database alone, so that a change of it is in force at once:
/// it is turned into documents. None if nothing can match.
async fn index_filter(ports: &Ports, tenant: TenantId, filter: &SearchFilter) -> Result<Option<VectorFilter>> {
    let mut documents = filter.documents.clone();
    if !filter.metadata.is_empty() {
        let matching = ports.catalog.matching_documents(tenant, filter, MAX_FILTER_DOCUMENTS).await?;
        if matching.is_empty() {
            return Ok(None);
        }
        if matching.len() <= MAX_FILTER_DOCUMENTS as usize {
            documents = matching;
        }
    }
    Ok(Some(VectorFilter { collections: filter.collections.clone(), documents }))
}

async fn look_up(
    ports: &Ports,
    scope: &VectorScope,
    query: &SearchQuery,
    vector: Option<&[f32]>,
    filter: &VectorFilter,
    depth: usize,
) -> Result<(Vec<Hit>, Vec<Hit>)> {
    let dense = async {
        match vector {
            Some(vector) => ports.vectors.search(scope, &VectorQuery::Dense(vector.to_vec()), filter, depth).await,
            None => Ok(Vec::new()),
        }
    };
    let sparse = async {
        match query.mode {
            SearchMode::Dense => Ok(Vec::new()),
            SearchMode::Hybrid | SearchMode::Sparse => {
                ports.vectors.search(scope, &VectorQuery::Sparse(query.text.clone()), filter, depth).await
            }
        }
    };
    tokio::try_join!(dense, sparse)
}

async fn visible(
    ports: &Ports,
    tenant: TenantId,
    dense: &[Hit],
    sparse: &[Hit],
    filter: &SearchFilter,
) -> Result<HashMap<ChunkId, VisibleChunk>> {
    let ids: HashSet<ChunkId> = dense.iter().chain(sparse).map(|hit| hit.id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<ChunkId> = ids.into_iter().collect();
    let chunks = ports.catalog.visible_chunks(tenant, &ids, filter).await?;
    Ok(chunks.into_iter().map(|chunk| (chunk.chunk.id, chunk)).collect())
}

/// The best passages. The same text twice in a document says nothing new and is shown once.
fn passages(ranked: Vec<Scored>, mut visible: HashMap<ChunkId, VisibleChunk>, query: &SearchQuery) -> Vec<Passage> {
    let mut shown = HashSet::new();
    ranked
        .into_iter()
        .filter(|scored| query.min_score.is_none_or(|min| scored.score >= min))
        .filter_map(|scored| visible.remove(&scored.id).map(|chunk| passage(chunk, &scored)))
        .filter(|passage| shown.insert((passage.document, passage.text.clone())))
        .take(query.top_k as usize)
        .collect()
}

fn passage(found: VisibleChunk, scored: &Scored) -> Passage {
    let chunk = found.chunk;
    Passage {
        id: chunk.id,
        document: chunk.document,
        version_id: chunk.version_id,
        version: chunk.version,
        filename: found.filename,
        title: found.title,
        text: chunk.draft.text,
        page_start: chunk.draft.page_start,
        page_end: chunk.draft.page_end,
        char_start: chunk.draft.char_start,
        char_end: chunk.draft.char_end,
        boxes: chunk.draft.boxes,
        heading_path: chunk.draft.heading_path,
        score: scored.score,
        dense_score: scored.dense,
        sparse_score: scored.sparse,
    }
}
