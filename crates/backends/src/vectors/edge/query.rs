//! Reading a shard.

use std::{cmp::Ordering, collections::HashMap};

use qdrant_edge::{
    Condition, EdgeShard, FacetRequest, FacetValue, FieldCondition, Filter, Match, NamedQuery, OperationResult,
    PayloadSelectorInclude, PointId, QueryEnum, QueryRequest, ScoredPoint, ScoringQuery, ScrollRequest, SearchParams,
    SparseVector, VectorInternal, WithPayloadInterface, WithVector,
};
use uuid::Uuid;
use vectrion_core::{
    ids::{ChunkId, CollectionId, DocumentId, VersionId},
    ports::vectors::{Hit, PointPage, StoredPoint, VectorFilter},
};

use super::points::{self, COLLECTION, DENSE, DOCUMENT, SPARSE, VERSION};

/// Ids that are read at once.
const PAGE: usize = 1000;

/// Points beyond the limit that are looked at to put points of equal score in order.
const MAX_TIES: usize = 4096;

/// Times that a result which is shorter than asked for is looked at again.
const MAX_REPEATS: usize = 3;

/// What to look for.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Dense(Vec<f32>),
    Sparse(SparseVector),
}

/// Points whose field has one of these values.
pub(super) fn one_of(name: &str, ids: impl IntoIterator<Item = Uuid>) -> OperationResult<Condition> {
    let values: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    Ok(Condition::Field(FieldCondition::new_match(points::field(name)?, Match::from(values))))
}

/// The engine's form of a filter; none when it lets all through.
fn filter_of(filter: &VectorFilter) -> OperationResult<Option<Filter>> {
    let mut must = Vec::new();
    if !filter.collections.is_empty() {
        must.push(one_of(COLLECTION, filter.collections.iter().map(|id| id.0))?);
    }
    if !filter.documents.is_empty() {
        must.push(one_of(DOCUMENT, filter.documents.iter().map(|id| id.0))?);
    }
    Ok(if must.is_empty() { None } else { Some(Filter { must: Some(must), ..Filter::new() }) })
}

/// The best points, best first, those of equal score by id.
pub(super) fn search(
    shard: &EdgeShard,
    target: &Target,
    filter: &VectorFilter,
    limit: usize,
    params: SearchParams,
) -> OperationResult<Vec<Hit>> {
    let (using, vector) = match target {
        Target::Dense(vector) => (DENSE, VectorInternal::Dense(vector.clone())),
        Target::Sparse(vector) => (SPARSE, VectorInternal::Sparse(vector.clone())),
    };
    let query = NamedQuery { query: vector, using: Some(using.to_owned()) };
    let mut request = QueryRequest {
        prefetches: Vec::new(),
        query: Some(ScoringQuery::Vector(QueryEnum::Nearest(query))),
        filter: filter_of(filter)?,
        score_threshold: None,
        limit: 0,
        offset: 0,
        params: Some(params),
        with_vector: WithVector::Bool(false),
        with_payload: WithPayloadInterface::from(PayloadSelectorInclude::new(vec![
            points::field(DOCUMENT)?,
            points::field(VERSION)?,
        ])),
    };
    // One more than asked for shows whether others are as good as the last: which of them are returned must not depend
    // on how the engine happens to hold them.
    let mut fetch = limit.saturating_add(1);
    loop {
        request.limit = fetch;
        let mut found = query_settled(shard, &request)?;
        found.sort_by(by_score_then_id);
        let is_cut_in_ties = found.len() == fetch
            && found.last().map(|last| last.score) == found.get(limit.saturating_sub(1)).map(|last| last.score);
        if is_cut_in_ties && fetch <= limit.saturating_add(MAX_TIES) {
            fetch = fetch.saturating_mul(2);
            continue;
        }
        return found.iter().take(limit).map(hit).collect();
    }
}

/// Queries until two results in a row are as long. The engine ranks first and reads the points afterwards; what is removed
/// between the two is missing from the result, and the next best are not in its place.
fn query_settled(shard: &EdgeShard, request: &QueryRequest) -> OperationResult<Vec<ScoredPoint>> {
    let mut found = shard.query(request.clone())?;
    for _ in 0..MAX_REPEATS {
        if found.len() >= request.limit {
            break;
        }
        let again = shard.query(request.clone())?;
        let settled = again.len() == found.len();
        found = again;
        if settled {
            break;
        }
    }
    Ok(found)
}

fn by_score_then_id(a: &ScoredPoint, b: &ScoredPoint) -> Ordering {
    b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id))
}

fn hit(found: &ScoredPoint) -> OperationResult<Hit> {
    Ok(Hit {
        id: ChunkId(points::id_of(&found.id)?),
        document: DocumentId(points::id_in(found.payload.as_ref(), DOCUMENT)?),
        version_id: VersionId(points::id_in(found.payload.as_ref(), VERSION)?),
        score: found.score,
    })
}

/// How many points each of these versions has.
pub(super) fn count(shard: &EdgeShard, versions: &[VersionId]) -> OperationResult<Vec<u64>> {
    let mut counts: HashMap<Uuid, u64> = HashMap::new();
    let condition = one_of(VERSION, versions.iter().map(|version| version.0))?;
    let request = FacetRequest {
        key: points::field(VERSION)?,
        limit: versions.len().max(1),
        filter: Some(Filter::new_must(condition)),
        exact: true,
    };
    for found in shard.facet(request)?.hits {
        let version = match found.value {
            FacetValue::Uuid(id) => Some(Uuid::from_u128(id)),
            FacetValue::Keyword(text) => Uuid::try_parse(&text).ok(),
            FacetValue::Int(_) | FacetValue::Bool(_) => None,
        };
        if let Some(version) = version {
            *counts.entry(version).or_default() += found.count as u64;
        }
    }
    Ok(versions.iter().map(|version| counts.get(&version.0).copied().unwrap_or(0)).collect())
}

/// The ids of every point that meets the condition, in order, each once.
pub(super) fn ids(shard: &EdgeShard, condition: Option<Condition>) -> OperationResult<Vec<Uuid>> {
    let filter = condition.map(Filter::new_must);
    let mut ids = Vec::new();
    let mut offset: Option<PointId> = None;
    loop {
        let request = ScrollRequest {
            offset,
            limit: Some(PAGE),
            filter: filter.clone(),
            with_payload: Some(WithPayloadInterface::Bool(false)),
            with_vector: WithVector::Bool(false),
            order_by: None,
        };
        let (records, next) = shard.scroll(request)?;
        for record in records {
            ids.push(points::id_of(&record.id)?);
        }
        match next {
            Some(next) => offset = Some(next),
            None => return Ok(ids),
        }
    }
}

/// Some of the points, in order of their ids, from this one on.
pub(super) fn page(shard: &EdgeShard, from: Option<Uuid>, limit: usize) -> OperationResult<PointPage> {
    let fields = [DOCUMENT, VERSION, COLLECTION].into_iter().map(points::field).collect::<OperationResult<_>>()?;
    let request = ScrollRequest {
        offset: from.map(PointId::Uuid),
        limit: Some(limit.max(1)),
        filter: None,
        with_payload: Some(WithPayloadInterface::from(PayloadSelectorInclude::new(fields))),
        with_vector: WithVector::Bool(false),
        order_by: None,
    };
    let (records, next) = shard.scroll(request)?;
    let points = records
        .iter()
        .map(|record| {
            let id_in = |name| points::id_in(record.payload.as_ref(), name);
            Ok(StoredPoint {
                id: ChunkId(points::id_of(&record.id)?),
                document: DocumentId(id_in(DOCUMENT)?),
                version_id: VersionId(id_in(VERSION)?),
                collection: CollectionId(id_in(COLLECTION)?),
            })
        })
        .collect::<OperationResult<_>>()?;
    let next = next.map(|next| points::id_of(&next).map(|id| id.to_string())).transpose()?;
    Ok(PointPage { points, next })
}
