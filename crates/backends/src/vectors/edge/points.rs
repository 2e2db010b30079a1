//! Points as the engine holds them.

use std::{collections::HashMap, num::NonZeroUsize};

use qdrant_edge::{
    CreateIndex, Distance, EdgeConfig, EdgeOptimizersConfig, EdgeSparseVectorParams, EdgeVectorParams,
    FieldIndexOperations, HnswIndexConfig, JsonPath, Modifier, OperationError, OperationResult, Payload,
    PayloadFieldSchema, PayloadSchemaParams, PointId, PointInsertOperations, PointOperations, PointStructPersisted,
    UpdateOperation, UuidIndexParams, VectorPersisted, VectorStructPersisted, WalOptions, bm25_embed::EdgeBm25,
};
use serde_json::Value;
use uuid::Uuid;
use vectrion_core::{ids::TenantId, ports::vectors::Point};

use super::settings::EdgeSettings;

/// Names of the vectors.
pub(super) const DENSE: &str = "dense";
pub(super) const SPARSE: &str = "sparse";

/// Names of the payload's fields.
pub(super) const TENANT: &str = "tenant_id";
pub(super) const DOCUMENT: &str = "document_id";
pub(super) const VERSION: &str = "version_id";
pub(super) const COLLECTION: &str = "collection_id";

/// A megabyte of vectors, in kilobytes.
const MB: usize = 1 << 10;

/// The configuration of a shard.
pub(super) fn config(dimension: usize, settings: &EdgeSettings) -> EdgeConfig {
    let dense = EdgeVectorParams::builder(dimension, Distance::Cosine).on_disk(true).build();
    let sparse = EdgeSparseVectorParams::builder().modifier(Modifier::Idf).build();
    EdgeConfig {
        vectors: HashMap::from([(DENSE.to_owned(), dense)]),
        sparse_vectors: HashMap::from([(SPARSE.to_owned(), sparse)]),
        hnsw_config: HnswIndexConfig {
            m: settings.hnsw_m,
            ef_construct: settings.hnsw_ef_construct,
            full_scan_threshold: settings.index_from_kb,
            max_indexing_threads: settings.optimize_threads,
            on_disk: None,
            payload_m: None,
            inline_storage: None,
        },
        optimizers: EdgeOptimizersConfig {
            default_segment_number: Some(2),
            max_segment_size: Some(4096 * MB),
            indexing_threshold: Some(settings.index_from_kb),
            ..EdgeOptimizersConfig::default()
        },
        wal_options: Some(WalOptions {
            segment_capacity: settings.log_file_bytes,
            segment_queue_len: 0,
            retain_closed: NonZeroUsize::MIN,
        }),
        ..EdgeConfig::default()
    }
}

/// A field's path.
pub(super) fn field(name: &str) -> OperationResult<JsonPath> {
    name.parse().map_err(|()| OperationError::service_error_light(format!("{name} is not a path")))
}

/// The changes that make the payload's fields searchable.
pub(super) fn payload_indexes() -> OperationResult<Vec<UpdateOperation>> {
    // Every point of a shard has the same tenant, and a version is never searched in: links among their points would
    // only cost time.
    let fields = [(TENANT, false), (DOCUMENT, true), (VERSION, false), (COLLECTION, true)];
    fields
        .into_iter()
        .map(|(name, has_links)| {
            let params = UuidIndexParams { enable_hnsw: Some(has_links), ..UuidIndexParams::default() };
            Ok(UpdateOperation::FieldIndexOperation(FieldIndexOperations::CreateIndex(CreateIndex {
                field_name: field(name)?,
                field_schema: Some(PayloadFieldSchema::FieldParams(PayloadSchemaParams::Uuid(params))),
            })))
        })
        .collect()
}

/// The change that writes points.
pub(super) fn upsert(tenant: TenantId, points: &[Point], bm25: &EdgeBm25) -> UpdateOperation {
    let points = points.iter().map(|point| record(tenant, point, bm25)).collect();
    UpdateOperation::PointOperation(PointOperations::UpsertPoints(PointInsertOperations::PointsList(points)))
}

fn record(tenant: TenantId, point: &Point, bm25: &EdgeBm25) -> PointStructPersisted {
    let mut vectors = HashMap::from([(DENSE.to_owned(), VectorPersisted::Dense(point.dense.clone()))]);
    let words = bm25.embed_document(&point.text);
    if !words.indices.is_empty() {
        vectors.insert(SPARSE.to_owned(), VectorPersisted::Sparse(words));
    }
    let fields = [
        (TENANT, tenant.0),
        (DOCUMENT, point.document.0),
        (VERSION, point.version_id.0),
        (COLLECTION, point.collection.0),
    ];
    let payload = fields.into_iter().map(|(name, id)| (name.to_owned(), Value::String(id.to_string()))).collect();
    PointStructPersisted {
        id: PointId::Uuid(point.id.0),
        vector: VectorStructPersisted::Named(vectors),
        payload: Some(Payload(payload)),
    }
}

/// The change that removes points.
pub(super) fn removal(ids: &[Uuid]) -> UpdateOperation {
    let ids = ids.iter().map(|id| PointId::Uuid(*id)).collect();
    UpdateOperation::PointOperation(PointOperations::DeletePoints { ids })
}

/// The id of a point that we wrote.
pub(super) fn id_of(id: &PointId) -> OperationResult<Uuid> {
    match id {
        PointId::Uuid(id) => Ok(*id),
        PointId::NumId(_) => Err(OperationError::service_error_light("a point has a number for an id")),
    }
}

/// A field of a point that we wrote.
pub(super) fn id_in(payload: Option<&Payload>, name: &str) -> OperationResult<Uuid> {
    payload
        .and_then(|payload| payload.0.get(name))
        .and_then(Value::as_str)
        .and_then(|text| Uuid::try_parse(text).ok())
        .ok_or_else(|| OperationError::service_error_light(format!("a point has no {name}")))
}
