//! Cutting text into chunks by structure and by the tokens of the embedding model.
//!
//! A document is tokenised once. Cuts are made where the tokenizer would begin anew anyhow, so that a chunk's tokens are
//! a slice of the document's; where no such place is within the limit (one endless word), the piece is tokenised by
//! itself. Cuts fall between sections first, then paragraphs, items of lists, rows, sentences, words. A heading stays
//! with what follows it; small sections under one parent share a chunk.

mod cuts;
mod outline;
mod place;
mod sentences;
mod split;
mod tokens;

use std::sync::Arc;

use vectrion_core::{Error, Result, chunk::ChunkDraft, extraction::Extracted, ports::Tokenizer};

use self::{outline::Outline, place::Places, split::Splitter, tokens::TokenMap};

/// Settings of the chunker. Another value makes other chunks, and another index generation.
#[derive(Clone, Debug)]
pub struct ChunkSettings {
    /// Tokens of a chunk at the most; 0: as many as the embedding model takes.
    pub max_tokens: usize,
    /// Tokens at the end of a chunk that the next one of the same section begins with, at the most.
    pub overlap_tokens: usize,
}

impl Default for ChunkSettings {
    fn default() -> Self {
        Self { max_tokens: 0, overlap_tokens: 32 }
    }
}

/// Changes with every change of the algorithm that makes other chunks of the same text.
const ALGORITHM: &str = "structure-1";

/// Bytes of a chunk at the most, for each token it may have: words that the tokenizer does not know, and white space,
/// cost few tokens whatever their length.
const MAX_BYTES_PER_TOKEN: usize = 32;

/// Cuts documents into chunks.
pub struct Chunker {
    tokenizer: Arc<dyn Tokenizer>,
    locality: tokens::Locality,
    limits: split::Limits,
    version: String,
}

impl Chunker {
    /// A chunker for this tokenizer.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with reason `INVALID_CHUNK_SETTINGS` when a chunk would be longer than the model takes, or the
    /// overlap leaves no room for new text; what the tokenizer fails with.
    pub fn new(tokenizer: Arc<dyn Tokenizer>, settings: &ChunkSettings) -> Result<Self> {
        let model_takes = tokenizer.max_tokens();
        let tokens = if settings.max_tokens == 0 { model_takes } else { settings.max_tokens };
        let overlap = settings.overlap_tokens;
        let refused = |message| Err(Error::invalid("INVALID_CHUNK_SETTINGS", message));
        if !(MIN_TOKENS..=model_takes).contains(&tokens) {
            return refused(format!(
                "chunks of {tokens} tokens: allowed are {MIN_TOKENS} to {model_takes}, which is what the embedding model takes"
            ));
        }
        if overlap * 2 > tokens {
            return refused(format!(
                "an overlap of {overlap} tokens: allowed is half of the {tokens} tokens of a chunk"
            ));
        }
        let locality = tokens::Locality::of(tokenizer.as_ref())?;
        let version = format!("{ALGORITHM}/{}/max={tokens}/overlap={overlap}", tokenizer.name());
        let limits = split::Limits { tokens, bytes: tokens * MAX_BYTES_PER_TOKEN, overlap };
        Ok(Self { tokenizer, locality, limits, version })
    }

    /// Name and settings of the chunker.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Cuts a document, in order. Computes for as long as the text is long: run it off the async threads.
    ///
    /// # Errors
    /// What the tokenizer fails with.
    pub fn chunk(&self, extracted: &Extracted) -> Result<Vec<ChunkDraft>> {
        let text = extracted.text.as_str();
        let tokens = TokenMap::new(text, self.tokenizer.as_ref(), self.locality)?;
        let outline = Outline::of(extracted);
        let mut places = Places::new(extracted);
        let mut chunks = Vec::new();
        let splitter = Splitter::new(text, &tokens, &outline, self.limits);
        splitter.split(&mut |range, heading_path| {
            let token_ids = tokens.ids_of(range.clone())?;
            let place = places.find(&range);
            chunks.push(ChunkDraft {
                text: text[range].to_owned(),
                char_start: place.char_start,
                char_end: place.char_end,
                page_start: place.page_start,
                page_end: place.page_end,
                boxes: place.boxes,
                heading_path: heading_path.to_vec(),
                token_ids,
            });
            Ok(())
        })?;
        Ok(chunks)
    }
}

/// Shorter chunks say nothing.
const MIN_TOKENS: usize = 16;

#[cfg(test)]
mod tests;
