//! A collection: one shard of the engine.

use std::{
    collections::HashMap,
    fs,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Mutex, PoisonError},
};

use qdrant_client::qdrant::{
    CollectionConfig, CollectionInfo, CollectionParams, CountPoints, CreateCollection, CreateFieldIndexCollection,
    DeletePoints, Distance as GrpcDistance, FacetCounts, FacetHit, FacetValue as GrpcFacetValue,
    PointId as GrpcPointId, QueryPoints, RetrievedPoint, ScoredPoint as GrpcScoredPoint, ScrollPoints, UpsertPoints,
    facet_value::Variant, points_selector::PointsSelectorOneOf, vectors_config,
};
use qdrant_edge::{
    CountRequest, Distance, EdgeConfig, EdgeShard, EdgeSparseVectorParams, EdgeVectorParams, FacetRequest, FacetValue,
    OperationResult, PointInsertOperations, PointOperations, QueryRequest, ScrollRequest, UpdateOperation, WalOptions,
    WithVector,
};
use tonic::Status;
use uuid::Uuid;

use crate::convert;

/// A collection.
#[derive(Debug)]
pub(crate) struct Collection {
    shard: EdgeShard,
    /// What it was made of.
    description: CreateCollection,
    /// Held while the shard is changed.
    changing: Mutex<()>,
}

impl Collection {
    /// Makes a collection in a directory that is not there yet.
    pub(crate) fn create(directory: &Path, message: &CreateCollection) -> Result<Self, Status> {
        let config = config(message)?;
        fs::create_dir_all(directory).map_err(|error| Status::internal(format!("Service internal error: {error}")))?;
        let shard = caught(|| EdgeShard::new(directory, config))?;
        Ok(Self { shard, description: message.clone(), changing: Mutex::default() })
    }

    /// The vectors and the notes that it was made with; nothing else of what a real server tells.
    pub(crate) fn info(&self) -> CollectionInfo {
        let params =
            CollectionParams { vectors_config: self.description.vectors_config.clone(), ..CollectionParams::default() };
        CollectionInfo {
            config: Some(CollectionConfig {
                params: Some(params),
                metadata: self.description.metadata.clone(),
                ..CollectionConfig::default()
            }),
            ..CollectionInfo::default()
        }
    }

    fn change(&self, operation: UpdateOperation) -> Result<(), Status> {
        caught(|| self.shard.update(operation))
    }

    pub(crate) fn create_index(&self, message: &CreateFieldIndexCollection) -> Result<(), Status> {
        let operation = convert::index(message)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.change(UpdateOperation::FieldIndexOperation(operation))
    }

    pub(crate) fn upsert(&self, message: &UpsertPoints) -> Result<(), Status> {
        let points = message.points.iter().map(convert::point).collect::<Result<Vec<_>, Status>>()?;
        let points = PointOperations::UpsertPoints(PointInsertOperations::PointsList(points));
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.change(UpdateOperation::PointOperation(points))
    }

    pub(crate) fn delete(&self, message: &DeletePoints) -> Result<(), Status> {
        let selector = message.points.as_ref().and_then(|points| points.points_selector_one_of.as_ref());
        let operation = match selector {
            Some(PointsSelectorOneOf::Points(list)) => {
                let ids = list.ids.iter().map(convert::point_id).collect::<Result<Vec<_>, Status>>()?;
                PointOperations::DeletePoints { ids }
            }
            Some(PointsSelectorOneOf::Filter(filter)) => {
                PointOperations::DeletePointsByFilter(convert::filter(filter)?)
            }
            None => return Err(Status::invalid_argument("PointSelector is missing")),
        };
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.change(UpdateOperation::PointOperation(operation))
    }

    pub(crate) fn count(&self, message: &CountPoints) -> Result<u64, Status> {
        let filter = message.filter.as_ref().map(convert::filter).transpose()?;
        let request = CountRequest { filter, exact: message.exact.unwrap_or(true) };
        caught(|| self.shard.count(request)).map(|count| count as u64)
    }

    pub(crate) fn facet(&self, message: &FacetCounts) -> Result<Vec<FacetHit>, Status> {
        let request = FacetRequest {
            key: convert::path(&message.key)?,
            limit: convert::size(message.limit.unwrap_or(10)),
            filter: message.filter.as_ref().map(convert::filter).transpose()?,
            exact: message.exact.unwrap_or(false),
        };
        let hits = caught(|| self.shard.facet(request))?.hits;
        Ok(hits
            .into_iter()
            .map(|hit| {
                let variant = match hit.value {
                    FacetValue::Keyword(text) => Variant::StringValue(text),
                    FacetValue::Int(number) => Variant::IntegerValue(number),
                    FacetValue::Uuid(id) => Variant::StringValue(Uuid::from_u128(id).to_string()),
                    FacetValue::Bool(value) => Variant::BoolValue(value),
                };
                FacetHit { value: Some(GrpcFacetValue { variant: Some(variant) }), count: hit.count as u64 }
            })
            .collect())
    }

    pub(crate) fn scroll(&self, message: &ScrollPoints) -> Result<(Vec<RetrievedPoint>, Option<GrpcPointId>), Status> {
        let request = ScrollRequest {
            offset: message.offset.as_ref().map(convert::point_id).transpose()?,
            limit: Some(message.limit.unwrap_or(10) as usize),
            filter: message.filter.as_ref().map(convert::filter).transpose()?,
            with_payload: Some(convert::with_payload(message.with_payload.as_ref(), true)?),
            with_vector: WithVector::Bool(false),
            order_by: None,
        };
        let (records, next) = caught(|| self.shard.scroll(request))?;
        let points = records
            .into_iter()
            .map(|record| RetrievedPoint {
                id: Some(convert::grpc_id(&record.id)),
                payload: record.payload.map(convert::grpc_payload).unwrap_or_default(),
                ..RetrievedPoint::default()
            })
            .collect();
        Ok((points, next.as_ref().map(convert::grpc_id)))
    }

    pub(crate) fn query(&self, message: &QueryPoints) -> Result<Vec<GrpcScoredPoint>, Status> {
        let request = QueryRequest {
            prefetches: match message.prefetch.is_empty() {
                true => Vec::new(),
                false => return Err(convert::not_served("a prefetch")),
            },
            query: Some(convert::nearest(message)?),
            filter: message.filter.as_ref().map(convert::filter).transpose()?,
            score_threshold: None,
            limit: convert::size(message.limit.unwrap_or(10)),
            offset: convert::size(message.offset.unwrap_or(0)),
            params: message.params.as_ref().map(convert::params),
            with_vector: WithVector::Bool(false),
            with_payload: convert::with_payload(message.with_payload.as_ref(), false)?,
        };
        let found = caught(|| self.shard.query(request))?;
        Ok(found
            .into_iter()
            .map(|point| GrpcScoredPoint {
                id: Some(convert::grpc_id(&point.id)),
                payload: point.payload.map(convert::grpc_payload).unwrap_or_default(),
                score: point.score,
                version: point.version,
                ..GrpcScoredPoint::default()
            })
            .collect())
    }
}

fn config(message: &CreateCollection) -> Result<EdgeConfig, Status> {
    let Some(vectors_config::Config::ParamsMap(vectors)) =
        message.vectors_config.as_ref().and_then(|config| config.config.as_ref())
    else {
        return Err(convert::not_served("a collection without named vectors"));
    };
    let mut dense = HashMap::new();
    for (name, params) in &vectors.map {
        let distance = match params.distance() {
            GrpcDistance::Cosine => Distance::Cosine,
            GrpcDistance::Euclid => Distance::Euclid,
            GrpcDistance::Dot => Distance::Dot,
            GrpcDistance::Manhattan => Distance::Manhattan,
            GrpcDistance::UnknownDistance => return Err(Status::invalid_argument("unknown distance")),
        };
        if params.size == 0 {
            return Err(Status::invalid_argument("Validation error: size must be at least 1"));
        }
        dense.insert(name.clone(), EdgeVectorParams::builder(convert::size(params.size), distance).build());
    }
    let mut sparse = HashMap::new();
    for (name, params) in message.sparse_vectors_config.iter().flat_map(|config| &config.map) {
        if params.modifier.unwrap_or(0) != 0 {
            return Err(convert::not_served("a modifier of sparse vectors"));
        }
        sparse.insert(name.clone(), EdgeSparseVectorParams::builder().build());
    }
    Ok(EdgeConfig {
        vectors: dense,
        sparse_vectors: sparse,
        wal_options: Some(WalOptions {
            segment_capacity: 4 << 20,
            segment_queue_len: 0,
            retain_closed: NonZeroUsize::MIN,
        }),
        ..EdgeConfig::default()
    })
}

/// Runs what the engine does; its panics are errors.
fn caught<T>(work: impl FnOnce() -> OperationResult<T>) -> Result<T, Status> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(convert::status(&error)),
        Err(_) => Err(Status::internal("Service internal error: the engine panicked")),
    }
}
