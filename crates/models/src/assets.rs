//! Where the fetched libraries and models lie, and what to say when they do not.

use std::path::{Path, PathBuf};

use vectrion_core::{Error, Result};

/// Name of the local embedding model, and of its directory.
pub(crate) const MODEL: &str = "all-MiniLM-L6-v2";

/// A file of the embedding model.
pub(crate) fn model_file(assets: &Path, name: &str) -> Result<PathBuf> {
    existing(assets.join(MODEL).join(name))
}

/// The library of ONNX Runtime.
pub(crate) fn onnxruntime_library(assets: &Path) -> Result<PathBuf> {
    existing(assets.join("onnxruntime").join("libonnxruntime.so"))
}

fn existing(file: PathBuf) -> Result<PathBuf> {
    match std::fs::metadata(&file) {
        Ok(found) if found.is_file() => Ok(file),
        Ok(_) => Err(missing(&file)),
        Err(error) => Err(missing(&file).with_source(error)),
    }
}

fn missing(file: &Path) -> Error {
    Error::precondition(
        "MODEL_ASSETS_MISSING",
        format!("{} is not there; run `make assets`, or set the directory of the assets", file.display()),
    )
}
