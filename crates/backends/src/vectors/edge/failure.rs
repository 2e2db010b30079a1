//! What can go wrong inside the engine, as errors of the port.

use std::{any::Any, path::Path, time::Duration};

use qdrant_edge::OperationError;
use vectrion_core::{Error, ErrorKind};

use crate::{free_space::FreeSpace, vectors::embedding::dimension_mismatch};

/// Trouble with an open shard.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The engine said so.
    #[error(transparent)]
    Failed(#[from] OperationError),
    /// The engine panicked.
    #[error("panicked: {0}")]
    Panicked(String),
    /// The shard is closed.
    #[error("closed")]
    Closed,
}

/// Numbers of the operating system's errors. The engine gives them as text only.
mod errno {
    pub(super) const ENOMEM: i32 = 12;
    pub(super) const EACCES: i32 = 13;
    pub(super) const ENFILE: i32 = 23;
    pub(super) const EMFILE: i32 = 24;
    pub(super) const ENOSPC: i32 = 28;
    pub(super) const EROFS: i32 = 30;
    pub(super) const EDQUOT: i32 = 122;
}

impl Trouble {
    /// What a panic carried.
    pub(super) fn from_panic(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        let mut message = message.unwrap_or_else(|| "without a message".to_owned());
        // The engine's own errors hold the stack, page after page.
        if let Some(end) = message.find(", backtrace: ") {
            message.truncate(end);
        }
        Self::Panicked(message)
    }

    /// The number of the operating system's error in the text, as Rust prints it: `(os error 28)`.
    fn os_error(&self) -> Option<i32> {
        let text = self.to_string();
        let (_, rest) = text.split_once("(os error ")?;
        rest.split_once(')')?.0.parse().ok()
    }

    /// Whether the engine's log is locked by another process.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self, Self::Failed(OperationError::ServiceError { description, .. })
            if description.starts_with("failed to open WAL") && description.contains("WouldBlock"))
    }

    fn is_full(&self) -> bool {
        matches!(self.os_error(), Some(errno::ENOSPC | errno::EDQUOT))
    }

    /// The error of a call that failed.
    pub(super) fn into_error(self, task: &'static str, space: &FreeSpace) -> Error {
        if self.is_full() {
            return space.full().with_source(self);
        }
        match &self {
            Self::Closed => closed(),
            Self::Failed(OperationError::WrongVectorDimension { expected_dim, received_dim }) => {
                dimension_mismatch(*expected_dim, *received_dim).with_source(self)
            }
            Self::Failed(OperationError::OutOfMemory { .. }) => Error::new(
                ErrorKind::ResourceExhausted,
                "VECTOR_INDEX_OUT_OF_MEMORY",
                "the vector index needs more memory",
            )
            .with_source(self),
            Self::Failed(_) => {
                Error::internal("VECTOR_INDEX_FAILED", format!("the vector index failed to {task}")).with_source(self)
            }
            Self::Panicked(_) => Error::internal(
                "VECTOR_INDEX_PANICKED",
                format!("the vector index met a defect of its own while trying to {task}"),
            )
            .with_source(self),
        }
    }

    /// The error of a shard that cannot be opened.
    pub(super) fn into_open_error(self, directory: &Path, space: &FreeSpace) -> Error {
        if self.is_full() {
            return space.full().with_source(self);
        }
        let is_passing = matches!(
            self.os_error(),
            Some(errno::ENOMEM | errno::EACCES | errno::ENFILE | errno::EMFILE | errno::EROFS)
        );
        if is_passing || self.is_locked() {
            return Error::unavailable(
                "VECTOR_INDEX_UNAVAILABLE",
                format!("the vector index in {} cannot be opened now", directory.display()),
            )
            .with_source(self);
        }
        damaged(directory).with_source(self)
    }
}

/// The error of a shard whose files cannot be read.
pub(super) fn damaged(directory: &Path) -> Error {
    Error::new(
        ErrorKind::DataLoss,
        "VECTOR_SHARD_DAMAGED",
        format!(
            "the vector index in {} is damaged: stop the server, move that directory away, start again, and have the \
             tenant's documents embedded anew",
            directory.display()
        ),
    )
}

/// The error after the index was closed.
pub(super) fn closed() -> Error {
    Error::unavailable("VECTOR_INDEX_CLOSED", "the vector index is closed")
}

/// The error for too many searches at once.
pub(super) fn busy() -> Error {
    Error::new(
        ErrorKind::ResourceExhausted,
        "VECTOR_INDEX_BUSY",
        "too many searches wait for the vector index: try again in a moment",
    )
    .with_retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(text: &str) -> Trouble {
        Trouble::Failed(OperationError::service_error_light(text))
    }

    #[test]
    fn trouble_becomes_the_error_that_says_what_to_do() {
        let space = FreeSpace::new("/", 1);
        let full = failed("cannot write: No space left on device (os error 28)");
        assert_eq!(full.into_error("write", &space).reason(), "STORAGE_FULL");
        let full = Trouble::Panicked("segments flushed: Failed (os error 28)".to_owned());
        assert_eq!(full.into_error("flush", &space).reason(), "STORAGE_FULL");
        assert_eq!(failed("odd").into_error("write", &space).reason(), "VECTOR_INDEX_FAILED");

        let directory = Path::new("/data/vectors/g/t");
        let files = failed("failed to load segment: Too many open files (os error 24)");
        let error = files.into_open_error(directory, &space);
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, true));
        let locked = failed("failed to open WAL /x/wal: Can't init WAL: Kind(WouldBlock)");
        assert!(locked.is_locked());
        assert_eq!(locked.into_open_error(directory, &space).reason(), "VECTOR_INDEX_UNAVAILABLE");
        let error = failed("failed to load segment: bad magic").into_open_error(directory, &space);
        assert_eq!((error.kind(), error.reason()), (ErrorKind::DataLoss, "VECTOR_SHARD_DAMAGED"));
        assert!(error.message().contains("/data/vectors/g/t"), "{error}");
    }
}
