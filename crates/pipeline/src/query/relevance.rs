//! Whether anything that was found fits the question.

use std::collections::HashSet;

use vectrion_core::search::Passage;

use super::words::telling_words;
use crate::settings::AnswerSettings;

/// Cosine below which even many shared words are chance.
const MIN_DENSE_WITH_MANY_WORDS: f32 = 0.05;

/// Judges passages against one question.
pub(super) struct Relevance {
    words: HashSet<String>,
    alone: f32,
    with_words: f32,
}

impl Relevance {
    pub(super) fn new(question: &str, settings: &AnswerSettings) -> Self {
        Self {
            words: telling_words(question),
            alone: settings.min_dense_score,
            with_words: settings.min_dense_score_with_words,
        }
    }

    /// Whether a passage fits: near enough by meaning alone, or less near and sharing a telling word, or hardly near and
    /// sharing at least two, and half, of them: short questions with names, codes and units say little to an embedding.
    pub(super) fn fits(&self, passage: &Passage) -> bool {
        let shared = || {
            let mut there = telling_words(&passage.text);
            for heading in &passage.heading_path {
                there.extend(telling_words(heading));
            }
            there.extend(passage.title.iter().flat_map(|title| telling_words(title)));
            self.words.intersection(&there).count()
        };
        let many = |shared: usize| 2 * shared >= self.words.len();
        match passage.dense_score {
            Some(dense) if dense >= self.alone => true,
            Some(dense) if dense >= self.with_words => shared() > 0,
            Some(dense) if dense < MIN_DENSE_WITH_MANY_WORDS => false,
            Some(_) => {
                let shared = shared();
                shared >= 2 && many(shared)
            }
            // Found by words alone, beyond the reach of the dense list.
            None => {
                let shared = shared();
                shared > 0 && many(shared)
            }
        }
    }
}
