//! A copy of an object in the scratch directory, checked against its document.

use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use vectrion_core::{
    Error, ErrorKind, Result,
    document::Document,
    ports::{ObjectStore, objects::ObjectKey},
};

/// Reads of an object whose bytes are not those that were uploaded, before it counts as damaged: what was cut or changed
/// on the way comes right the next time.
const READS: u32 = 3;
const WRITE_BUFFER: usize = 256 * 1024;

/// A file that is removed when dropped.
pub(super) struct ScratchFile(PathBuf);

impl ScratchFile {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "cannot remove a scratch file");
            }
            _ => {}
        }
    }
}

/// Copies the bytes of the document's version into `directory/name`.
///
/// # Errors
/// `DATA_LOSS`: `OBJECT_MISSING`, `OBJECT_CORRUPT` when size or SHA-256 are not those of the upload;
/// `RESOURCE_EXHAUSTED`: `STORAGE_FULL`.
pub(super) async fn fetch(
    objects: &dyn ObjectStore,
    document: &Document,
    directory: &Path,
    name: &str,
) -> Result<ScratchFile> {
    tokio::fs::create_dir_all(directory).await.map_err(scratch_failed)?;
    let file = ScratchFile(directory.join(name));
    let key = ObjectKey::original(document.tenant, document.version_id);
    for read in 1..=READS {
        let (size, sha256) = copy(objects, &key, file.path()).await?;
        if size == document.size && sha256 == document.sha256 {
            return Ok(file);
        }
        tracing::warn!(
            read,
            size_bytes = size,
            expected_bytes = document.size,
            "the stored bytes are not those that were uploaded"
        );
    }
    Err(Error::new(
        ErrorKind::DataLoss,
        "OBJECT_CORRUPT",
        "the stored bytes are not those that were uploaded; upload the document again",
    ))
}

async fn copy(objects: &dyn ObjectStore, key: &ObjectKey, path: &Path) -> Result<(u64, String)> {
    let mut bytes = objects.get(key, 0).await.map_err(missing)?;
    let file = tokio::fs::File::create(path).await.map_err(scratch_failed)?;
    let mut file = tokio::io::BufWriter::with_capacity(WRITE_BUFFER, file);
    let (mut size, mut digest) = (0_u64, Sha256::new());
    while let Some(part) = bytes.next().await {
        let part = part.map_err(missing)?;
        size += part.len() as u64;
        digest.update(&part);
        file.write_all(&part).await.map_err(scratch_failed)?;
    }
    file.flush().await.map_err(scratch_failed)?;
    Ok((size, hex::encode(digest.finalize())))
}

fn missing(error: Error) -> Error {
    if error.reason() != "OBJECT_NOT_FOUND" {
        return error;
    }
    Error::new(ErrorKind::DataLoss, "OBJECT_MISSING", "the stored bytes are gone; upload the document again")
        .with_source(error)
}

fn scratch_failed(error: std::io::Error) -> Error {
    let failed = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Error::new(ErrorKind::ResourceExhausted, "STORAGE_FULL", "there is no room for temporary files")
        }
        _ => Error::unavailable("SCRATCH_FAILED", "the directory for temporary files cannot be written"),
    };
    failed.with_source(error)
}
