//! A small tokenizer that splits text the way BERT's does.

use std::ops::Range;

use vectrion_core::{
    Result,
    ports::{Tokenizer, models::Tokens},
};

/// Splits at white space, punctuation and ideographs, lower-cases, drops accents and control characters, and cuts words
/// into pieces whose ids depend on whether they begin a word. `[SEP]` is one token. The vocabulary is a hash.
#[derive(Clone, Debug)]
pub struct WordPieces {
    max_tokens: usize,
}

/// A longer word is one unknown token.
const MAX_WORD_CHARS: usize = 100;

const UNKNOWN: u32 = 100;

const SPECIAL: (&str, u32) = ("[SEP]", 102);

impl WordPieces {
    /// With this limit of tokens per input.
    #[must_use]
    pub fn new(max_tokens: usize) -> Self {
        Self { max_tokens }
    }
}

impl Tokenizer for WordPieces {
    fn encode(&self, text: &str) -> Result<Tokens> {
        let mut tokens = Tokens::default();
        let mut word: Vec<(char, Range<usize>)> = Vec::new();
        let mut special_end = 0;
        for (at, c) in text.char_indices() {
            let range = at..at + c.len_utf8();
            if text[at..].starts_with(SPECIAL.0) {
                end_word(&mut tokens, &mut word);
                special_end = at + SPECIAL.0.len();
                tokens.ids.push(SPECIAL.1);
                tokens.offsets.push(at..special_end);
            }
            if is_dropped(c) || at < special_end {
                continue;
            }
            if c.is_whitespace() || is_alone(c) {
                end_word(&mut tokens, &mut word);
                if is_alone(c) {
                    push(&mut tokens, std::slice::from_ref(&(c, range)), false);
                }
            } else {
                word.extend(c.to_lowercase().map(|lower| (lower, range.clone())));
            }
        }
        end_word(&mut tokens, &mut word);
        Ok(tokens)
    }

    fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    fn name(&self) -> &str {
        "word-pieces"
    }
}

fn is_dropped(c: char) -> bool {
    let is_accent = matches!(c, '\u{300}'..='\u{36f}');
    is_accent || c == '\u{fffd}' || (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

fn is_alone(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c, '\u{2010}'..='\u{2027}' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{ff01}'..='\u{ff0f}')
        || matches!(c, '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' | '\u{20000}'..='\u{2ceaf}')
}

fn end_word(tokens: &mut Tokens, word: &mut Vec<(char, Range<usize>)>) {
    if word.len() > MAX_WORD_CHARS {
        tokens.ids.push(UNKNOWN);
        tokens.offsets.push(word[0].1.start..word[word.len() - 1].1.end);
        word.clear();
    }
    let mut rest = word.as_slice();
    while let Some((first, _)) = rest.first() {
        let length = if rest.len() <= 5 { rest.len() } else { 2 + *first as usize % 3 };
        let (piece, behind) = rest.split_at(length);
        push(tokens, piece, rest.len() < word.len());
        rest = behind;
    }
    word.clear();
}

fn push(tokens: &mut Tokens, piece: &[(char, Range<usize>)], continues: bool) {
    let mut hash = 0x811c_9dc5_u32 ^ u32::from(continues);
    for (c, _) in piece {
        hash = (hash ^ u32::from(*c)).wrapping_mul(0x0100_0193);
    }
    tokens.ids.push(1000 + hash % 29_000);
    tokens.offsets.push(piece[0].1.start..piece[piece.len() - 1].1.end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_into_pieces_that_know_where_they_stand() {
        let tokenizer = WordPieces::new(16);
        let encode = |text: &str| tokenizer.encode(text).expect("never fails");
        let tokens = encode("Überlandleitung, 東京!");
        let texts: Vec<&str> = tokens.offsets.iter().map(|range| &"Überlandleitung, 東京!"[range.clone()]).collect();
        assert_eq!(texts.concat(), "Überlandleitung,東京!");
        assert_eq!(texts[texts.len() - 4..], [",", "東", "京", "!"]);
        assert_ne!(encode("landleitung").ids[0], encode("überlandleitung").ids[1], "a piece inside a word is another");
        assert_eq!(encode(&"x".repeat(101)).ids, [UNKNOWN]);
        assert_eq!(encode("a[SEP]b").ids[1], SPECIAL.1);
        assert_eq!(encode("a\u{301}b").ids, encode("AB").ids);
    }
}
