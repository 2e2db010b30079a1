//! Errors of a store as errors of the port.

use std::{error::Error as StdError, io};

use object_store::Error as StoreError;
use vectrion_core::{Error, ports::objects::ObjectKey};

use crate::free_space::FreeSpace;

/// The port's error for a store's error.
pub(super) fn failed(error: StoreError, key: &ObjectKey, space: &FreeSpace) -> Error {
    match &error {
        StoreError::NotFound { .. } => not_found(key).with_source(error),
        _ if is_full(&error) => space.full().with_source(error),
        _ => Error::unavailable("OBJECT_STORE_UNAVAILABLE", "the object store cannot be used").with_source(error),
    }
}

/// The error for a missing object.
pub(super) fn not_found(key: &ObjectKey) -> Error {
    Error::not_found("OBJECT_NOT_FOUND", "the object is not there").with_metadata("key", key.as_str())
}

/// Whether a cause is a full disk or quota.
fn is_full(error: &StoreError) -> bool {
    causes(error).any(|kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

/// Whether a cause is that a file or directory was not there, as when an empty directory was removed beside the call.
pub(super) fn is_missing_path(error: &StoreError) -> bool {
    causes(error).any(|kind| kind == io::ErrorKind::NotFound)
}

/// The kinds of the input and output errors among the causes of an error.
fn causes(error: &StoreError) -> impl Iterator<Item = io::ErrorKind> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |&error| error.source())
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .map(io::Error::kind)
}
