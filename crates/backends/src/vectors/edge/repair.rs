//! Putting a shard in order after a process died.

use qdrant_edge::{
    Condition, CountRequest, EdgeShard, Filter, HasIdCondition, OperationResult, PointId, PointInsertOperations,
    PointOperations, PointStructPersisted, Record, UpdateOperation, VectorStructInternal, WithPayloadInterface,
    WithVector,
};
use uuid::Uuid;

use super::{points, query};

/// Points that are looked at, or changed, at once.
const PAGE: usize = 500;

/// Makes every point that is there twice be there once, and returns how many were written anew. A point that moves from
/// one segment to another, as all do at the end of an optimisation, is in both for a moment.
pub(super) fn remove_doubles(shard: &EdgeShard) -> OperationResult<usize> {
    let ids = query::ids(shard, None)?;
    if shard.info().points_count == ids.len() {
        return Ok(0);
    }
    let mut rewritten = 0;
    for page in ids.chunks(PAGE) {
        rewritten += rewrite_doubles(shard, page)?;
    }
    Ok(rewritten)
}

/// Writes the points of a page anew if some of them are there twice. They are removed first, which removes every copy:
/// writing alone may renew more than one.
fn rewrite_doubles(shard: &EdgeShard, page: &[Uuid]) -> OperationResult<usize> {
    let ids: Vec<PointId> = page.iter().map(|id| PointId::Uuid(*id)).collect();
    let of_page = Condition::HasId(ids.iter().copied().collect::<HasIdCondition>());
    let copies = shard.count(CountRequest { filter: Some(Filter::new_must(of_page)), exact: true })?;
    if copies <= page.len() {
        return Ok(0);
    }
    let records = shard.retrieve(&ids, Some(WithPayloadInterface::Bool(true)), Some(WithVector::Bool(true)))?;
    let points: Vec<PointStructPersisted> = records.into_iter().map(point).collect();
    let written = points.len();
    shard.update(points::removal(page))?;
    let points = PointInsertOperations::PointsList(points);
    shard.update(UpdateOperation::PointOperation(PointOperations::UpsertPoints(points)))?;
    Ok(written)
}

fn point(record: Record) -> PointStructPersisted {
    let vector = record.vector.unwrap_or_else(|| VectorStructInternal::Named(Default::default()));
    PointStructPersisted { id: record.id, vector: vector.into(), payload: record.payload }
}
