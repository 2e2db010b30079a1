//! The tokenizer of all-MiniLM-L6-v2: BERT's, written for whole documents.
//!
//! The ids and offsets are those of the `tokenizers` crate, which reads the model's `tokenizer.json` and stays the
//! authority: it is asked what each character does, and it encodes the rare stretches of text where characters act on
//! each other. What is done here instead is the walk over the text, without a string per word and per attempt.

mod characters;
mod vocabulary;

use std::{ops::Range, path::Path};

use tokenizers::{ModelWrapper, NormalizerWrapper, PreTokenizerWrapper};
use vectrion_core::{
    Error, Result,
    ports::{Tokenizer, models::Tokens},
};

use self::{
    characters::{Character, Characters},
    vocabulary::Vocabulary,
};
use crate::assets::{MODEL, model_file};

/// Tokens that the model takes with the special tokens `[CLS]` and `[SEP]`, by its own configuration.
pub(crate) const SEQUENCE_LENGTH: usize = 256;

/// Bytes before and behind a character that acts on its neighbours which the reference is asked about, at the most. It
/// takes a hundred times their size in memory, and no text in any language has so many without white space.
const MAX_STRETCH_BYTES: usize = 64 * 1024;

/// The tokenizer of all-MiniLM-L6-v2.
///
/// Text that spells a special token, such as `[SEP]`, is that token, as in the reference.
pub struct MiniLmTokenizer {
    reference: tokenizers::Tokenizer,
    characters: Characters,
    vocabulary: Vocabulary,
    special: Vec<(String, u32)>,
}

impl MiniLmTokenizer {
    /// Reads `all-MiniLM-L6-v2/tokenizer.json` in the directory of the assets.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` with reason `MODEL_ASSETS_MISSING` when the file is not there, `MODEL_ASSETS_UNUSABLE`
    /// when it is not this model's tokenizer.
    pub fn load(assets: &Path) -> Result<Self> {
        let file = model_file(assets, "tokenizer.json")?;
        let unusable = |cause: &str| {
            Error::precondition(
                "MODEL_ASSETS_UNUSABLE",
                format!("{}: {cause}; remove it and run `make assets`", file.display()),
            )
        };
        let mut reference =
            tokenizers::Tokenizer::from_file(&file).map_err(|error| unusable("not a tokenizer").with_source(error))?;
        reference.with_padding(None);
        reference.with_truncation(None).map_err(|error| unusable("truncation cannot be lifted").with_source(error))?;

        let Some(NormalizerWrapper::BertNormalizer(normalizer)) = reference.get_normalizer() else {
            return Err(unusable("its normaliser is not BERT's"));
        };
        let Some(PreTokenizerWrapper::BertPreTokenizer(_)) = reference.get_pre_tokenizer() else {
            return Err(unusable("its pre-tokeniser is not BERT's"));
        };
        let ModelWrapper::WordPiece(model) = reference.get_model() else {
            return Err(unusable("its model is not WordPiece"));
        };
        let tokens = reference.get_vocab(false);
        let unknown = *tokens.get(&model.unk_token).ok_or_else(|| unusable("it has no unknown token"))?;
        let vocabulary = Vocabulary::new(
            tokens.iter().map(|(token, id)| (token.as_str(), *id)),
            &model.continuing_subword_prefix,
            unknown,
            model.max_input_chars_per_word,
        );
        let mut special = Vec::new();
        for (id, token) in reference.get_added_tokens_decoder() {
            if token.normalized || token.single_word || token.lstrip || token.rstrip || !token.content.starts_with('[')
            {
                return Err(unusable("its added tokens are not BERT's"));
            }
            special.push((token.content, id));
        }
        Ok(Self { characters: Characters::new(*normalizer), vocabulary, special, reference })
    }

    /// The first special token at or after `from`.
    fn next_special(&self, text: &str, mut from: usize) -> Option<(u32, Range<usize>)> {
        while let Some(position) = text[from..].find('[') {
            let start = from + position;
            let longest = self
                .special
                .iter()
                .filter(|(token, _)| text[start..].starts_with(token))
                .max_by_key(|(token, _)| token.len());
            if let Some((token, id)) = longest {
                return Some((*id, start..start + token.len()));
            }
            from = start + 1;
        }
        None
    }

    /// Tokens of a part of the text that holds no special token.
    fn encode_part(&self, text: &str, part: Range<usize>, output: &mut Output) -> Result<()> {
        let bytes = text.as_bytes();
        let mut at = part.start;
        // Where the stretch since the last separator began, in the text and in the output.
        let mut stretch = (at, output.tokens.ids.len());
        while at < part.end {
            let (character, next) = match bytes[at] {
                byte @ 0..0x80 => (self.characters.ascii(byte), at + 1),
                _ => {
                    let c = text[at..].chars().next().expect("`at` is on a character's boundary before the end");
                    (self.characters.get(c), at + c.len_utf8())
                }
            };
            match character {
                Character::Letters(folded) => output.word.push(at..next, folded.as_bytes()),
                Character::Isolated(folded) => {
                    output.finish_word(&self.vocabulary);
                    output.word.push(at..next, folded.as_bytes());
                    output.finish_word(&self.vocabulary);
                }
                Character::Separator => {
                    output.finish_word(&self.vocabulary);
                    stretch = (next, output.tokens.ids.len());
                }
                Character::Removed => {}
                Character::Irregular => {
                    if at - stretch.0 > MAX_STRETCH_BYTES {
                        output.finish_word(&self.vocabulary);
                        stretch = (at, output.tokens.ids.len());
                    }
                    let end = self.end_of_stretch(text, next..part.end);
                    output.truncate(stretch.1);
                    self.encode_by_reference(text, stretch.0..end, output)?;
                    stretch = (end, output.tokens.ids.len());
                    at = end;
                    continue;
                }
            }
            at = next;
        }
        output.finish_word(&self.vocabulary);
        Ok(())
    }

    fn end_of_stretch(&self, text: &str, rest: Range<usize>) -> usize {
        text[rest.clone()]
            .char_indices()
            .find(|(at, c)| *at >= MAX_STRETCH_BYTES || *self.characters.get(*c) == Character::Separator)
            .map_or(rest.end, |(position, _)| rest.start + position)
    }

    fn encode_by_reference(&self, text: &str, stretch: Range<usize>, output: &mut Output) -> Result<()> {
        let encoding = self.reference.encode(&text[stretch.clone()], false).map_err(|error| {
            Error::internal("TOKENIZER_FAILED", "the text cannot be split into tokens").with_source(error)
        })?;
        output.tokens.ids.extend(encoding.get_ids());
        output
            .tokens
            .offsets
            .extend(encoding.get_offsets().iter().map(|(start, end)| stretch.start + start..stretch.start + end));
        Ok(())
    }
}

impl Tokenizer for MiniLmTokenizer {
    fn encode(&self, text: &str) -> Result<Tokens> {
        let mut output = Output::with_capacity_for(text);
        let mut at = 0;
        while let Some((id, range)) = self.next_special(text, at) {
            self.encode_part(text, at..range.start, &mut output)?;
            at = range.end;
            output.tokens.ids.push(id);
            output.tokens.offsets.push(range);
        }
        self.encode_part(text, at..text.len(), &mut output)?;
        Ok(output.tokens)
    }

    fn max_tokens(&self) -> usize {
        SEQUENCE_LENGTH - 2
    }

    fn name(&self) -> &str {
        MODEL
    }
}

/// The tokens so far, and the word that is being read.
struct Output {
    tokens: Tokens,
    word: Word,
    pieces: Vec<(u32, Range<usize>)>,
}

impl Output {
    fn with_capacity_for(text: &str) -> Self {
        // English has four to five bytes per token.
        let capacity = text.len() / 4;
        let tokens = Tokens { ids: Vec::with_capacity(capacity), offsets: Vec::with_capacity(capacity) };
        Self { tokens, word: Word::default(), pieces: Vec::new() }
    }

    fn finish_word(&mut self, vocabulary: &Vocabulary) {
        if self.word.bytes.is_empty() {
            return;
        }
        vocabulary.split(&self.word.bytes, &mut self.pieces);
        for (id, range) in self.pieces.drain(..) {
            self.tokens.ids.push(id);
            self.tokens.offsets.push(self.word.source(range));
        }
        self.word.clear();
    }

    fn truncate(&mut self, tokens: usize) {
        self.tokens.ids.truncate(tokens);
        self.tokens.offsets.truncate(tokens);
        self.word.clear();
    }
}

/// A normalised word, and where its bytes come from.
#[derive(Default)]
struct Word {
    bytes: Vec<u8>,
    /// Where the word begins, as long as each byte comes from one byte, in a row.
    start: usize,
    /// Else the character that each byte comes from.
    sources: Vec<Range<usize>>,
}

impl Word {
    /// Bytes that are kept of one word. A word of so many has more characters than the vocabulary's longest may have, so
    /// that it is one unknown token, of which only the end still counts.
    const MAX_BYTES: usize = 16 * 1024;

    #[inline]
    fn push(&mut self, source: Range<usize>, normalised: &[u8]) {
        if self.bytes.is_empty() {
            self.start = source.start;
        }
        if self.bytes.len() >= Self::MAX_BYTES {
            if self.sources.is_empty() {
                self.sources.extend((self.start..self.start + self.bytes.len()).map(|byte| byte..byte + 1));
            }
            if let Some(last) = self.sources.last_mut() {
                *last = source;
            }
            return;
        }
        if self.sources.is_empty() {
            if source.len() == 1 && normalised.len() == 1 && source.start == self.start + self.bytes.len() {
                self.bytes.push(normalised[0]);
                return;
            }
            self.sources.extend((self.start..self.start + self.bytes.len()).map(|byte| byte..byte + 1));
        }
        self.bytes.extend_from_slice(normalised);
        self.sources.resize(self.bytes.len(), source);
    }

    fn source(&self, range: Range<usize>) -> Range<usize> {
        if self.sources.is_empty() {
            self.start + range.start..self.start + range.end
        } else {
            self.sources[range.start].start..self.sources[range.end - 1].end
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.sources.clear();
    }
}

#[cfg(test)]
mod tests;
