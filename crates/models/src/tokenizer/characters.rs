//! What BERT's normaliser and pre-tokeniser make of each character.
//!
//! Both work character by character, with one exception: the canonical order of combining marks. So their effect is
//! asked of the `tokenizers` crate once per character, a page of 256 at a time when the first of them is seen, and the
//! few characters that combine and stay are marked as irregular.

use std::sync::OnceLock;

use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    normalizers::bert::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
};
use unicode_normalization::char::canonical_combining_class;

const PAGE: usize = 256;

/// The effect of a character on the text around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Character {
    /// It vanishes and parts nothing.
    Removed,
    /// It ends a word and leaves nothing.
    Separator,
    /// It is a word of its own.
    Isolated(Folded),
    /// It is part of a word.
    Letters(Folded),
    /// Its effect depends on its neighbours.
    Irregular,
}

/// The normalised form of one character, in UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Folded {
    length: u8,
    bytes: [u8; Self::CAPACITY],
}

impl Folded {
    const CAPACITY: usize = 15;

    fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::CAPACITY];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { length: u8::try_from(text.len()).ok()?, bytes })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The characters, by code point.
pub(super) struct Characters {
    normalizer: BertNormalizer,
    ascii: [Character; 128],
    pages: Box<[OnceLock<Box<[Character; PAGE]>>]>,
}

impl Characters {
    pub(super) fn new(normalizer: BertNormalizer) -> Self {
        let ascii = std::array::from_fn(|code| classify(&normalizer, char::from(code as u8)));
        let pages = std::iter::repeat_with(OnceLock::new).take(char::MAX as usize / PAGE + 1).collect();
        Self { normalizer, ascii, pages }
    }

    #[inline]
    pub(super) fn ascii(&self, byte: u8) -> &Character {
        &self.ascii[usize::from(byte)]
    }

    pub(super) fn get(&self, c: char) -> &Character {
        let code = c as usize;
        let page = self.pages[code / PAGE].get_or_init(|| {
            Box::new(std::array::from_fn(|index| {
                let code = u32::try_from(code / PAGE * PAGE + index).expect("code points are 32 bits");
                // The surrogates are no characters and never looked up.
                char::from_u32(code).map_or(Character::Removed, |c| classify(&self.normalizer, c))
            }))
        });
        &page[code % PAGE]
    }
}

fn classify(normalizer: &BertNormalizer, c: char) -> Character {
    let mut normalized = NormalizedString::from(c.to_string());
    if normalizer.normalize(&mut normalized).is_err() {
        return Character::Irregular;
    }
    let text = normalized.get();
    if text.is_empty() {
        return Character::Removed;
    }
    if text.chars().any(|c| canonical_combining_class(c) != 0) {
        return Character::Irregular;
    }
    let effects: Option<Vec<Effect>> = text.chars().map(effect).collect();
    let folded = Folded::new(text.trim());
    match (effects.as_deref(), folded) {
        (Some(effects), _) if effects.iter().all(|effect| *effect == Effect::Separates) => Character::Separator,
        (Some(effects), Some(folded)) if effects.iter().all(|effect| *effect == Effect::Joins) => {
            Character::Letters(folded)
        }
        // Punctuation, and the ideographs, around which the normaliser puts spaces.
        (Some([Effect::Isolates] | [Effect::Separates, _, Effect::Separates]), Some(folded)) => {
            Character::Isolated(folded)
        }
        _ => Character::Irregular,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Joins,
    Separates,
    Isolates,
}

/// What the pre-tokeniser does at a normalised character.
fn effect(c: char) -> Option<Effect> {
    let mut text = PreTokenizedString::from(format!("a{c}a"));
    BertPreTokenizer.pre_tokenize(&mut text).ok()?;
    match text.get_splits(OffsetReferential::Original, OffsetType::Byte).len() {
        1 => Some(Effect::Joins),
        2 => Some(Effect::Separates),
        3 => Some(Effect::Isolates),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(text: &str) -> Character {
        Character::Letters(Folded::new(text).unwrap())
    }

    fn isolated(text: &str) -> Character {
        Character::Isolated(Folded::new(text).unwrap())
    }

    #[test]
    fn characters_have_the_effects_that_bert_gives_them() {
        let characters = Characters::new(BertNormalizer::default());
        let cases = [
            ('a', letters("a")),
            ('É', letters("e")),
            ('ß', letters("ß")),
            ('İ', letters("i")),
            ('Ж', letters("ж")),
            ('각', letters("\u{1100}\u{1161}\u{11A8}")),
            ('中', isolated("中")),
            ('\u{F900}', isolated("\u{8C48}")),
            ('!', isolated("!")),
            ('«', isolated("«")),
            ('\u{37E}', isolated(";")),
            (' ', Character::Separator),
            ('\u{3000}', Character::Separator),
            ('\u{301}', Character::Removed),
            ('\u{200B}', Character::Removed),
            ('\0', Character::Removed),
            ('\u{B}', Character::Removed),
            ('\u{302E}', Character::Irregular),
        ];
        for (c, expected) in cases {
            assert_eq!(*characters.get(c), expected, "{c:?}");
        }
        for byte in 0..128_u8 {
            assert_eq!(characters.ascii(byte), characters.get(char::from(byte)));
        }
    }
}
