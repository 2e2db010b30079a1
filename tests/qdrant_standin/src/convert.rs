//! Between Qdrant's gRPC API and the engine.

use std::collections::HashMap;

use qdrant_client::qdrant::{
    self as grpc, CreateFieldIndexCollection, FieldType, ListValue, NullValue, PointStruct, QueryPoints, Struct,
    condition::ConditionOneOf, r#match::MatchValue, payload_index_params::IndexParams, point_id::PointIdOptions, query,
    value::Kind, vector, vector_input, vectors::VectorsOptions, with_payload_selector::SelectorOptions,
};
use qdrant_edge::{
    Condition, CreateIndex, FieldCondition, FieldIndexOperations, Filter, HasVectorCondition, IntegerIndexParams,
    JsonPath, KeywordIndexParams, Match, NamedQuery, OperationError, Payload, PayloadFieldSchema, PayloadSchemaParams,
    PayloadSelectorInclude, PointId, PointStructPersisted, QueryEnum, ScoringQuery, SearchParams, SparseVector,
    UuidIndexParams, VectorInternal, VectorPersisted, VectorStructPersisted, WithPayloadInterface,
};
use serde_json::{Map, Value};
use tonic::Status;
use uuid::Uuid;

/// The status for what Qdrant does and the stand-in does not.
pub(crate) fn not_served(what: &str) -> Status {
    Status::unimplemented(format!("{what} is not served by this stand-in of Qdrant"))
}

/// The status that Qdrant gives for an error of the engine.
pub(crate) fn status(error: &OperationError) -> Status {
    match error {
        OperationError::WrongVectorDimension { .. }
        | OperationError::VectorNameNotExists { .. }
        | OperationError::TypeError { .. }
        | OperationError::TypeInferenceError { .. }
        | OperationError::ValidationError { .. }
        | OperationError::WrongSparse
        | OperationError::WrongMulti
        | OperationError::MissingMapIndexForFacet { .. } => Status::invalid_argument(format!("Wrong input: {error}")),
        OperationError::PointIdError { .. } => Status::not_found(format!("Not found: {error}")),
        OperationError::Timeout { .. } => Status::deadline_exceeded(error.to_string()),
        _ => Status::internal(format!("Service internal error: {error}")),
    }
}

/// A number of points.
pub(crate) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The path of a field.
pub(crate) fn path(name: &str) -> Result<JsonPath, Status> {
    name.parse().map_err(|()| Status::invalid_argument(format!("Wrong input: {name} is not a path")))
}

/// The id of a point.
pub(crate) fn point_id(id: &grpc::PointId) -> Result<PointId, Status> {
    match &id.point_id_options {
        Some(PointIdOptions::Uuid(text)) => Uuid::try_parse(text)
            .map(PointId::Uuid)
            .map_err(|_| Status::invalid_argument(format!("Unable to parse UUID: {text}"))),
        Some(PointIdOptions::Num(number)) => Ok(PointId::NumId(*number)),
        None => Err(Status::invalid_argument("Empty ID is provided")),
    }
}

/// The id of a point, for an answer.
pub(crate) fn grpc_id(id: &PointId) -> grpc::PointId {
    let options = match id {
        PointId::Uuid(id) => PointIdOptions::Uuid(id.to_string()),
        PointId::NumId(number) => PointIdOptions::Num(*number),
    };
    grpc::PointId { point_id_options: Some(options) }
}

/// A point to be written.
pub(crate) fn point(point: &PointStruct) -> Result<PointStructPersisted, Status> {
    let id = point.id.as_ref().ok_or_else(|| Status::invalid_argument("Empty ID is provided"))?;
    let Some(VectorsOptions::Vectors(named)) =
        point.vectors.as_ref().and_then(|vectors| vectors.vectors_options.as_ref())
    else {
        return Err(not_served("a point without named vectors"));
    };
    let mut vectors = HashMap::new();
    for (name, vector) in &named.vectors {
        let vector = match &vector.vector {
            Some(vector::Vector::Dense(dense)) => VectorPersisted::Dense(dense.data.clone()),
            Some(vector::Vector::Sparse(vector)) => VectorPersisted::Sparse(sparse(vector)?),
            _ => return Err(not_served("a vector that is neither dense nor sparse")),
        };
        vectors.insert(name.clone(), vector);
    }
    Ok(PointStructPersisted {
        id: point_id(id)?,
        vector: VectorStructPersisted::Named(vectors),
        payload: Some(Payload(point.payload.iter().map(|(name, value)| (name.clone(), json(value))).collect())),
    })
}

fn sparse(vector: &grpc::SparseVector) -> Result<SparseVector, Status> {
    let mut pairs: Vec<(u32, f32)> = vector.indices.iter().copied().zip(vector.values.iter().copied()).collect();
    pairs.sort_unstable_by_key(|(index, _)| *index);
    let count = pairs.len();
    pairs.dedup_by_key(|(index, _)| *index);
    if count != pairs.len() || vector.indices.len() != vector.values.len() {
        return Err(Status::invalid_argument("Validation error in sparse vector: indices must be unique"));
    }
    let (indices, values) = pairs.into_iter().unzip();
    Ok(SparseVector { indices, values })
}

fn json(value: &grpc::Value) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::DoubleValue(number)) => (*number).into(),
        Some(Kind::IntegerValue(number)) => (*number).into(),
        Some(Kind::StringValue(text)) => text.clone().into(),
        Some(Kind::BoolValue(value)) => (*value).into(),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(json).collect()),
        Some(Kind::StructValue(object)) => {
            Value::Object(object.fields.iter().map(|(name, value)| (name.clone(), json(value))).collect())
        }
    }
}

fn grpc_value(value: Value) -> grpc::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(NullValue::NullValue as i32),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Kind::IntegerValue(number),
            None => Kind::DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Kind::StringValue(text),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(grpc_value).collect() }),
        Value::Object(fields) => Kind::StructValue(Struct { fields: grpc_fields(fields) }),
    };
    grpc::Value { kind: Some(kind) }
}

fn grpc_fields(fields: Map<String, Value>) -> HashMap<String, grpc::Value> {
    fields.into_iter().map(|(name, value)| (name, grpc_value(value))).collect()
}

/// The payload of a point, for an answer.
pub(crate) fn grpc_payload(payload: Payload) -> HashMap<String, grpc::Value> {
    grpc_fields(payload.0)
}

/// Which fields are asked for.
pub(crate) fn with_payload(
    selector: Option<&grpc::WithPayloadSelector>,
    default: bool,
) -> Result<WithPayloadInterface, Status> {
    match selector.and_then(|selector| selector.selector_options.as_ref()) {
        None => Ok(WithPayloadInterface::Bool(default)),
        Some(SelectorOptions::Enable(enable)) => Ok(WithPayloadInterface::Bool(*enable)),
        Some(SelectorOptions::Include(include)) => {
            let fields = include.fields.iter().map(|name| path(name)).collect::<Result<Vec<_>, Status>>()?;
            Ok(PayloadSelectorInclude::new(fields).into())
        }
        Some(SelectorOptions::Exclude(_)) => Err(not_served("leaving out fields of the payload")),
    }
}

/// A filter.
pub(crate) fn filter(filter: &grpc::Filter) -> Result<Filter, Status> {
    if filter.min_should.is_some() {
        return Err(not_served("min_should"));
    }
    let conditions = |conditions: &[grpc::Condition]| {
        let converted = conditions.iter().map(condition).collect::<Result<Vec<_>, Status>>()?;
        Ok::<_, Status>(Some(converted).filter(|conditions| !conditions.is_empty()))
    };
    Ok(Filter {
        should: conditions(&filter.should)?,
        must: conditions(&filter.must)?,
        must_not: conditions(&filter.must_not)?,
        ..Filter::new()
    })
}

fn condition(condition: &grpc::Condition) -> Result<Condition, Status> {
    match &condition.condition_one_of {
        Some(ConditionOneOf::Field(field)) => {
            let matching = match field.r#match.as_ref().and_then(|matching| matching.match_value.as_ref()) {
                Some(MatchValue::Keyword(text)) => Match::from(text.clone()),
                Some(MatchValue::Integer(number)) => Match::from(*number),
                Some(MatchValue::Keywords(texts)) => Match::from(texts.strings.clone()),
                _ => return Err(not_served("a condition other than a match with texts or an integer")),
            };
            Ok(Condition::Field(FieldCondition::new_match(path(&field.key)?, matching)))
        }
        Some(ConditionOneOf::HasVector(has)) => {
            Ok(Condition::HasVector(HasVectorCondition::from(has.has_vector.clone())))
        }
        Some(ConditionOneOf::Filter(inner)) => filter(inner).map(Condition::Filter),
        _ => Err(not_served("a condition of this kind")),
    }
}

/// What to look for.
pub(crate) fn nearest(message: &QueryPoints) -> Result<ScoringQuery, Status> {
    let Some(query::Variant::Nearest(input)) = message.query.as_ref().and_then(|query| query.variant.as_ref()) else {
        return Err(not_served("a query other than for the nearest"));
    };
    let vector = match &input.variant {
        Some(vector_input::Variant::Dense(dense)) => VectorInternal::Dense(dense.data.clone()),
        Some(vector_input::Variant::Sparse(vector)) => VectorInternal::Sparse(sparse(vector)?),
        _ => return Err(not_served("a query that is neither a dense nor a sparse vector")),
    };
    Ok(ScoringQuery::Vector(QueryEnum::Nearest(NamedQuery { query: vector, using: message.using.clone() })))
}

/// How to search.
pub(crate) fn params(params: &grpc::SearchParams) -> SearchParams {
    SearchParams { hnsw_ef: params.hnsw_ef.map(size), exact: params.exact.unwrap_or(false), ..SearchParams::default() }
}

/// A payload index.
pub(crate) fn index(message: &CreateFieldIndexCollection) -> Result<FieldIndexOperations, Status> {
    let params = message.field_index_params.as_ref().and_then(|params| params.index_params.as_ref());
    let params = match (message.field_type.and_then(|number| FieldType::try_from(number).ok()), params) {
        (Some(FieldType::Uuid) | None, Some(IndexParams::UuidIndexParams(given))) => {
            PayloadSchemaParams::Uuid(UuidIndexParams {
                is_tenant: given.is_tenant,
                enable_hnsw: given.enable_hnsw,
                ..UuidIndexParams::default()
            })
        }
        (Some(FieldType::Integer) | None, Some(IndexParams::IntegerIndexParams(given))) => {
            PayloadSchemaParams::Integer(IntegerIndexParams {
                lookup: given.lookup,
                range: given.range,
                enable_hnsw: given.enable_hnsw,
                ..IntegerIndexParams::default()
            })
        }
        (Some(FieldType::Keyword), None) => PayloadSchemaParams::Keyword(KeywordIndexParams::default()),
        _ => return Err(not_served("an index of this kind")),
    };
    Ok(FieldIndexOperations::CreateIndex(CreateIndex {
        field_name: path(&message.field_name)?,
        field_schema: Some(PayloadFieldSchema::FieldParams(params)),
    }))
}
