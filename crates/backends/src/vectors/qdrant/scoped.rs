//! What is asked of the server. Every request about points is made from [`Scoped`], which has a tenant: there is no other
//! way to one but [`tenants`].

use qdrant_client::qdrant::{
    Condition, CountPoints, DeletePoints, FacetCounts, FieldCondition, Filter, HasVectorCondition, Match,
    PayloadIncludeSelector, PointId, PointStruct, PointsSelector, Query, QueryPoints, RepeatedStrings, ScrollPoints,
    SearchParams, UpsertPoints, VectorInput, WithPayloadSelector, WithVectorsSelector, WriteOrdering,
    WriteOrderingType, condition::ConditionOneOf, r#match::MatchValue, points_selector::PointsSelectorOneOf, query,
    vector_input, with_payload_selector::SelectorOptions, with_vectors_selector,
};
use qdrant_edge::bm25_embed::EdgeBm25;
use uuid::Uuid;
use vectrion_core::{
    ids::{TenantId, VersionId},
    ports::vectors::{Point, VectorFilter},
};

use super::points::{self, CHUNK, COLLECTION, DENSE, DOCUMENT, SPARSE, TENANT, VERSION, WORDS};

/// The points of one tenant in one collection, or those of them that meet further conditions.
#[derive(Clone, Debug)]
pub(super) struct Scoped {
    collection: String,
    tenant: TenantId,
    further: Vec<Condition>,
}

/// What to look for.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Dense(Vec<f32>),
    /// Words by their numbers, ascending, each with its weight.
    Sparse(Vec<(u32, f32)>),
}

impl Scoped {
    /// The points of `tenant` in `collection`.
    pub(super) fn new(collection: String, tenant: TenantId) -> Self {
        Self { collection, tenant, further: Vec::new() }
    }

    /// Those whose field has one of these values.
    pub(super) fn with_one_of(mut self, field: &str, ids: impl IntoIterator<Item = Uuid>) -> Self {
        let strings = ids.into_iter().map(|id| id.to_string()).collect();
        self.further.push(matching(field, MatchValue::Keywords(RepeatedStrings { strings })));
        self
    }

    /// Those that hold a word.
    pub(super) fn with_word(mut self, word: u32) -> Self {
        self.further.push(matching(WORDS, MatchValue::Integer(i64::from(word))));
        self
    }

    /// Those that hold any word.
    pub(super) fn with_words(mut self) -> Self {
        let has_vector = HasVectorCondition { has_vector: SPARSE.to_owned() };
        self.further.push(Condition { condition_one_of: Some(ConditionOneOf::HasVector(has_vector)) });
        self
    }

    /// Those that a search is limited to.
    pub(super) fn filtered(mut self, filter: &VectorFilter) -> Self {
        if !filter.collections.is_empty() {
            self = self.with_one_of(COLLECTION, filter.collections.iter().map(|id| id.0));
        }
        if !filter.documents.is_empty() {
            self = self.with_one_of(DOCUMENT, filter.documents.iter().map(|id| id.0));
        }
        self
    }

    fn filter(&self) -> Filter {
        let tenant = matching(TENANT, MatchValue::Keyword(self.tenant.to_string()));
        Filter { must: std::iter::once(tenant).chain(self.further.iter().cloned()).collect(), ..Filter::default() }
    }

    /// The points themselves, as the server holds them.
    pub(super) fn records<'a>(
        &self,
        points: &'a [Point],
        bm25: &'a EdgeBm25,
    ) -> impl Iterator<Item = PointStruct> + use<'a> {
        let tenant = self.tenant;
        points.iter().map(move |point| points::record(tenant, point, bm25))
    }

    /// Writes records.
    pub(super) fn upsert(&self, records: Vec<PointStruct>) -> UpsertPoints {
        UpsertPoints {
            collection_name: self.collection.clone(),
            wait: Some(true),
            points: records,
            ordering: Some(strong()),
            ..UpsertPoints::default()
        }
    }

    /// Removes the points.
    pub(super) fn delete(&self) -> DeletePoints {
        DeletePoints {
            collection_name: self.collection.clone(),
            wait: Some(true),
            points: Some(PointsSelector { points_selector_one_of: Some(PointsSelectorOneOf::Filter(self.filter())) }),
            ordering: Some(strong()),
            ..DeletePoints::default()
        }
    }

    /// Counts the points.
    pub(super) fn count(&self) -> CountPoints {
        CountPoints {
            collection_name: self.collection.clone(),
            filter: Some(self.filter()),
            exact: Some(true),
            ..CountPoints::default()
        }
    }

    /// Counts the points of each of at most `limit` versions.
    pub(super) fn count_versions(&self, limit: usize) -> FacetCounts {
        FacetCounts {
            collection_name: self.collection.clone(),
            key: VERSION.to_owned(),
            filter: Some(self.filter()),
            limit: Some(limit as u64),
            exact: Some(true),
            ..FacetCounts::default()
        }
    }

    /// Lists the points with these fields, `limit` of them, from `offset` on.
    pub(super) fn list(&self, with: &[&str], limit: u32, offset: Option<PointId>) -> ScrollPoints {
        ScrollPoints {
            collection_name: self.collection.clone(),
            filter: Some(self.filter()),
            offset,
            limit: Some(limit),
            with_payload: Some(fields(with)),
            with_vectors: Some(WithVectorsSelector {
                selector_options: Some(with_vectors_selector::SelectorOptions::Enable(false)),
            }),
            ..ScrollPoints::default()
        }
    }

    /// Finds the best `limit` points.
    pub(super) fn search(&self, target: &Target, limit: usize, hnsw_ef: u64) -> QueryPoints {
        let (using, variant) = match target {
            Target::Dense(vector) => (DENSE, vector_input::Variant::Dense(vector.clone().into())),
            Target::Sparse(words) => {
                let (indices, values) = words.iter().copied().unzip();
                let vector = qdrant_client::qdrant::SparseVector { values, indices };
                (SPARSE, vector_input::Variant::Sparse(vector))
            }
        };
        QueryPoints {
            collection_name: self.collection.clone(),
            query: Some(Query { variant: Some(query::Variant::Nearest(VectorInput { variant: Some(variant) })) }),
            using: Some(using.to_owned()),
            filter: Some(self.filter()),
            params: Some(SearchParams { hnsw_ef: Some(hnsw_ef), ..SearchParams::default() }),
            limit: Some(limit as u64),
            with_payload: Some(fields(&[CHUNK, DOCUMENT, VERSION])),
            ..QueryPoints::default()
        }
    }
}

/// Counts the points of each of at most `limit` tenants of a collection. The one request that is of no tenant: it says
/// which there are, and nothing of them.
pub(super) fn tenants(collection: String, limit: u64) -> FacetCounts {
    FacetCounts {
        collection_name: collection,
        key: TENANT.to_owned(),
        limit: Some(limit),
        exact: Some(true),
        ..FacetCounts::default()
    }
}

/// Versions, as what [`Scoped::with_one_of`] takes.
pub(super) fn ids(versions: &[VersionId]) -> impl Iterator<Item = Uuid> {
    versions.iter().map(|version| version.0)
}

fn matching(field: &str, value: MatchValue) -> Condition {
    let condition = FieldCondition {
        key: field.to_owned(),
        r#match: Some(Match { match_value: Some(value) }),
        ..FieldCondition::default()
    };
    Condition { condition_one_of: Some(ConditionOneOf::Field(condition)) }
}

fn fields(names: &[&str]) -> WithPayloadSelector {
    let fields = names.iter().map(|name| (*name).to_owned()).collect();
    WithPayloadSelector { selector_options: Some(SelectorOptions::Include(PayloadIncludeSelector { fields })) }
}

/// Changes go through one replica of each shard, so that all replicas see them in the same order.
pub(super) fn strong() -> WriteOrdering {
    WriteOrdering { r#type: WriteOrderingType::Strong as i32 }
}
