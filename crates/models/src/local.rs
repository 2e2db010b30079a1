//! all-MiniLM-L6-v2 on the CPU, computed by ONNX Runtime.

mod batches;
mod lanes;
mod runtime;

use std::{fmt, num::NonZero, path::PathBuf, sync::Arc, thread::available_parallelism};

use async_trait::async_trait;
use futures::future::try_join_all;
use serde::Deserialize;
use vectrion_core::{
    Result,
    ports::{Embedder, Tokenizer as _, models::EmbedInput},
};

pub use self::runtime::environment;
use self::{
    batches::{Assembly, plan},
    lanes::{Lane, Workers, stopped},
    runtime::{DIMENSION, Model},
};
use crate::{assets::MODEL, tokenizer::MiniLmTokenizer};

/// How the dense layers are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// As in the original: cosine to the float64 reference above 0.9999.
    F32,
    /// Weights and activations in 8 bits: more than twice as fast, a quarter of the memory per thread, cosine to the
    /// reference above 0.98.
    #[default]
    Int8,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        })
    }
}

/// Settings of [`LocalEmbedder`].
#[derive(Clone, Debug)]
pub struct LocalEmbedderSettings {
    /// The directory that `make assets` fills.
    pub assets: PathBuf,
    /// Speed or exactness.
    pub variant: Variant,
    /// Threads that compute passages, each with a session of its own (f32: 45 MB, int8: 12 MB); one more is kept for
    /// questions.
    pub threads: NonZero<usize>,
    /// Tokens computed at once. More makes questions wait longer and passages no faster: beyond 256 tokens the
    /// activations outgrow the cache.
    pub max_batch_tokens: usize,
}

impl LocalEmbedderSettings {
    /// The defaults: int8, a thread per core, 256 tokens at once.
    #[must_use]
    pub fn new(assets: impl Into<PathBuf>) -> Self {
        Self {
            assets: assets.into(),
            variant: Variant::default(),
            threads: available_parallelism().unwrap_or(NonZero::<usize>::MIN),
            max_batch_tokens: 256,
        }
    }
}

/// all-MiniLM-L6-v2 on threads of its own.
///
/// Only sequences of one length are computed together, so nothing is padded and a text's vector does not depend on its
/// company. Questions overtake waiting texts of an answer, and both overtake waiting passages. A call that is dropped
/// is not computed any further. Waiting calls are bounded: beyond 256 batches in a lane, callers wait for room.
pub struct LocalEmbedder {
    name: String,
    tokenizer: Arc<MiniLmTokenizer>,
    workers: Workers,
    max_batch_tokens: usize,
}

impl LocalEmbedder {
    /// Loads ONNX Runtime and the model; takes about a second, so call it before serving.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` naming the file, with reason `MODEL_ASSETS_MISSING` when it is not there and
    /// `MODEL_ASSETS_UNUSABLE` when this machine or this program cannot use it; `UNAVAILABLE` with
    /// `THREAD_NOT_STARTED`.
    pub fn load(settings: &LocalEmbedderSettings) -> Result<Self> {
        let tokenizer = Arc::new(MiniLmTokenizer::load(&settings.assets)?);
        let variant = settings.variant.to_string();
        let model = || {
            let mut model = Model::load(&settings.assets, &variant)?;
            Ok(move |batch: &_| model.embed(batch))
        };
        let general = (0..settings.threads.get()).map(|_| model()).collect::<Result<_>>()?;
        let workers = Workers::start(general, vec![model()?])?;
        let name = format!("{MODEL}/{variant}");
        Ok(Self { name, tokenizer, workers, max_batch_tokens: settings.max_batch_tokens })
    }

    /// The model's tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> Arc<MiniLmTokenizer> {
        Arc::clone(&self.tokenizer)
    }

    async fn compute(&self, lane: Lane, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let batches = plan(texts, self.max_batch_tokens);
        let mut owners = Vec::with_capacity(batches.len());
        let mut replies = Vec::with_capacity(batches.len());
        for mut batch in batches {
            owners.push(std::mem::take(&mut batch.owners));
            replies.push(self.workers.submit(lane, batch).await?);
        }
        let replies = replies.into_iter().map(|reply| async { reply.await.unwrap_or_else(|_| Err(stopped())) });
        let computed = try_join_all(replies).await?;
        let mut assembly = Assembly::of(texts.len());
        for (owners, vectors) in owners.iter().zip(&computed) {
            for (owner, vector) in owners.iter().zip(vectors.chunks_exact(DIMENSION)) {
                assembly.add(*owner, vector);
            }
        }
        Ok(assembly.finish())
    }
}

#[async_trait]
impl Embedder for LocalEmbedder {
    fn model(&self) -> &str {
        &self.name
    }

    fn dimension(&self) -> usize {
        DIMENSION
    }

    fn batch_size(&self) -> usize {
        // Enough to keep all threads at work till the last batch, few enough to lose little when work is cut off.
        64
    }

    async fn embed(&self, inputs: Vec<EmbedInput>) -> Result<Vec<Vec<f32>>> {
        let tokens = |input: EmbedInput| match input.token_ids.is_empty() {
            true => Ok(self.tokenizer.encode(&input.text)?.ids),
            false => Ok(input.token_ids),
        };
        let texts: Vec<_> = inputs.into_iter().map(tokens).collect::<Result<_>>()?;
        self.compute(Lane::Passage, &texts).await
    }

    async fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        let ids = self.tokenizer.encode(text)?.ids;
        let mut vectors = self.compute(Lane::Query, &[ids]).await?;
        vectors.pop().ok_or_else(stopped)
    }

    async fn embed_texts(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let texts: Vec<_> = texts.iter().map(|text| Ok(self.tokenizer.encode(text)?.ids)).collect::<Result<_>>()?;
        self.compute(Lane::Text, &texts).await
    }

    async fn check(&self) -> Result<()> {
        self.embed_query("ready").await.map(drop)
    }
}
