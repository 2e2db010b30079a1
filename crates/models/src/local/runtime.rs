//! ONNX Runtime: the library, and a model loaded by it.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use ort::{environment::Environment, logging::LogLevel, session::Session, value::TensorRef};
use vectrion_core::{Error, Result};

use super::batches::Batch;
use crate::assets::{model_file, onnxruntime_library};

/// Length of the vectors.
pub(super) const DIMENSION: usize = 384;

/// ONNX Runtime is loaded once per process and never unloaded; the first directory of assets decides which library.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// The process's ONNX Runtime, loaded from these assets unless it is loaded already; for those who call it bare.
///
/// # Errors
/// As [`LocalEmbedder::load`](super::LocalEmbedder::load).
pub fn environment(assets: &Path) -> Result<Environment> {
    let mut environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*environment {
        return Ok(environment.clone());
    }
    let library = onnxruntime_library(assets)?;
    let built = ort::init_from(&library)
        .map_err(|error| unusable(&library).with_source(error))?
        .with_name("vectrion")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| unusable(&library).with_source(error))?;
    built.set_log_level(LogLevel::Warning);
    Ok(environment.insert(built).clone())
}

fn log(level: LogLevel, _category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(location, message, "onnx runtime"),
        LogLevel::Warning => tracing::warn!(location, message, "onnx runtime"),
        LogLevel::Info | LogLevel::Verbose => tracing::debug!(location, message, "onnx runtime"),
    }
}

fn unusable(file: &Path) -> Error {
    Error::precondition(
        "MODEL_ASSETS_UNUSABLE",
        format!("{} cannot be used on this machine; remove it and run `make assets`", file.display()),
    )
}

/// The model in memory, for one thread.
pub(super) struct Model {
    session: Session,
}

impl Model {
    /// Loads `{variant}.onnx` and computes one sequence with it, so that a model that does not fit is found at once.
    pub(super) fn load(assets: &Path, variant: &str) -> Result<Self> {
        let environment = environment(assets)?;
        let file = model_file(assets, &format!("{variant}.onnx"))?;
        // The word vectors, which the graph maps from beside it.
        model_file(assets, "words.bin")?;
        let session = open(&environment, &file).map_err(|error| unusable(&file).with_source(error))?;
        let mut model = Self { session };
        let probe = Batch { length: 2, ids: vec![101, 102], owners: vec![0] };
        let vectors = model.embed(&probe).map_err(|error| unusable(&file).with_source(error))?;
        if vectors.len() != DIMENSION {
            return Err(unusable(&file));
        }
        Ok(model)
    }

    /// Vectors of length one of the batch's sequences, one after the other.
    pub(super) fn embed(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        self.run(batch).map_err(|error| {
            Error::internal("EMBEDDING_FAILED", "the embedding model failed to compute a vector").with_source(error)
        })
    }

    fn run(&mut self, batch: &Batch) -> ort::Result<Vec<f32>> {
        let shape = [batch.sequences(), batch.length];
        let mask = vec![1_i64; batch.ids.len()];
        let inputs = ort::inputs![
            "input_ids" => TensorRef::from_array_view((shape, batch.ids.as_slice()))?,
            "attention_mask" => TensorRef::from_array_view((shape, mask.as_slice()))?,
        ];
        let outputs = self.session.run(inputs)?;
        let (_, vectors) = outputs[0].try_extract_tensor::<f32>()?;
        Ok(vectors.to_vec())
    }
}

/// One thread per session: two sessions of one thread outrun one session of two (f32 30.9 against 23.9 chunks of 254
/// tokens a second, int8 65 against 43, one by one on two cores), since threads never wait for each other.
fn open(environment: &Environment, file: &Path) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        // A pattern per shape would be kept for every length there is.
        .with_memory_pattern(false)?
        .commit_from_file(file)
}
