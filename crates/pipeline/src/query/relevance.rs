//! Whether anything that was found fits the question.

use std::collections::HashSet;

use vectrion_core::search::Passage;

use super::words::telling_words;
use crate::settings::AnswerSettings;

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

    /// Whether a passage fits: near enough by meaning alone, or less near and sharing a telling word. A passage that only
    /// the sparse search found shares a word by definition; it fits if it shares at least half of the telling words.
    pub(super) fn fits(&self, passage: &Passage) -> bool {
        let shared = || {
            let mut there = telling_words(&passage.text);
            for heading in &passage.heading_path {
                there.extend(telling_words(heading));
            }
            there.extend(passage.title.iter().flat_map(|title| telling_words(title)));
            self.words.intersection(&there).count()
        };
        match passage.dense_score {
            Some(dense) if dense >= self.alone => true,
            Some(dense) if dense >= self.with_words => shared() > 0,
            Some(_) => false,
            None => {
                let shared = shared();
                shared > 0 && 2 * shared >= self.words.len()
            }
        }
    }
}
