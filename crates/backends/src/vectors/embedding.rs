//! What every index asks of an embedding.

use vectrion_core::{Error, Result, ports::vectors::Generation};

/// Refuses a vector that the engine could not compare with others.
pub(super) fn check_vector(vector: &[f32], generation: &Generation) -> Result<()> {
    if vector.len() != generation.dimension {
        return Err(dimension_mismatch(generation.dimension, vector.len()));
    }
    if vector.iter().any(|number| !number.is_finite()) {
        return Err(not_finite());
    }
    Ok(())
}

/// The error for a vector of the wrong length.
pub(super) fn dimension_mismatch(expected: usize, got: usize) -> Error {
    Error::invalid(
        "DIMENSION_MISMATCH",
        format!("the vector has {got} numbers where the index of this embedding model has {expected}"),
    )
    .with_metadata("expected", expected.to_string())
    .with_metadata("got", got.to_string())
}

/// The error for a vector with infinite or undefined numbers.
fn not_finite() -> Error {
    Error::invalid("VECTOR_NOT_FINITE", "the vector holds a number that is infinite or undefined")
}
