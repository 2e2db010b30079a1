//! An embedding model of words.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use vectrion_core::{
    Result,
    ports::{Embedder, models::EmbedInput},
};

use super::Faults;

/// Texts that share words are near each other: each word adds its own direction.
#[derive(Debug)]
pub struct WordEmbedder {
    model: String,
    batch_size: usize,
    /// Faults of the next calls of `embed`.
    pub faults: Faults,
    /// Faults of the next calls of `embed_query`.
    pub question_faults: Faults,
    batches: Mutex<Vec<usize>>,
    questions: AtomicUsize,
}

const DIMENSION: usize = 64;

impl WordEmbedder {
    /// With this name and batch size.
    #[must_use]
    pub fn new(model: &str, batch_size: usize) -> Self {
        Self {
            model: model.to_owned(),
            batch_size,
            faults: Faults::default(),
            question_faults: Faults::default(),
            batches: Mutex::default(),
            questions: AtomicUsize::new(0),
        }
    }

    /// Sizes of the batches embedded so far.
    #[must_use]
    pub fn batches(&self) -> Vec<usize> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Questions embedded so far.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Embedder for WordEmbedder {
    fn model(&self) -> &str {
        &self.model
    }

    fn dimension(&self) -> usize {
        DIMENSION
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    async fn embed(&self, inputs: Vec<EmbedInput>) -> Result<Vec<Vec<f32>>> {
        self.faults.strike().await?;
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).push(inputs.len());
        Ok(inputs.iter().map(|input| vector(&input.text)).collect())
    }

    async fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        self.question_faults.strike().await?;
        self.questions.fetch_add(1, Ordering::SeqCst);
        Ok(vector(text))
    }

    async fn embed_texts(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        Ok(texts.iter().map(|text| vector(text)).collect())
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }
}

fn vector(text: &str) -> Vec<f32> {
    // A text without words is not the zero vector, which has no direction.
    let mut sum = vec![1e-3; DIMENSION];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let mut hasher = DefaultHasher::new();
        word.to_lowercase().hash(&mut hasher);
        let hash = hasher.finish();
        let at = usize::try_from(hash % DIMENSION as u64).expect("a remainder by 64");
        sum[at] += if hash & (1 << 32) == 0 { 1.0 } else { -1.0 };
    }
    let length = sum.iter().map(|x: &f32| x * x).sum::<f32>().sqrt();
    sum.iter().map(|x| x / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_unit_length_and_shared_words_are_near() {
        let near = |one: &str, two: &str| vector(one).iter().zip(vector(two)).map(|(x, y)| x * y).sum::<f32>();
        assert!((near("a lease", "a lease") - 1.0).abs() < 1e-5);
        assert!(near("lease of a job", "the lease") > near("lease of a job", "chalk cliffs"));
        assert!((near("", "") - 1.0).abs() < 1e-5);
    }
}
