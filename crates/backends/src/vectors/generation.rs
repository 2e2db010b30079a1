//! The short name of an index generation.

use uuid::Uuid;
use vectrion_core::ports::vectors::Generation;

/// Namespace of the names of generations (UUIDv5).
const GENERATION_NAMESPACE: Uuid = Uuid::from_u128(0x3e0c_41a6_8d52_5b7f_a4f6_21c9_07de_9b13);

/// What names a generation where a model's own name does not fit: in directories and in collections.
pub(super) fn generation_id(generation: &Generation) -> Uuid {
    let Generation { model, dimension, chunker } = generation;
    // Lengths keep apart what would read the same when joined.
    let name = format!("{}:{model}{dimension}:{chunker}", model.len());
    Uuid::new_v5(&GENERATION_NAMESPACE, name.as_bytes())
}
