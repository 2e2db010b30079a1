//! The tokens of a whole document, and where they may be cut apart.

use std::{borrow::Cow, ops::Range};

use vectrion_core::{
    Result,
    ports::{Tokenizer, models::Tokens},
};

/// Between which characters the tokenizer begins anew, so that the tokens of the parts are the tokens of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Locality {
    at_space: bool,
    at_punctuation: bool,
    at_ideographs: bool,
}

impl Locality {
    /// Tries it out. What a tokenizer does with these samples it does with any text: it either looks beyond such a place
    /// or does not.
    pub(super) fn of(tokenizer: &dyn Tokenizer) -> Result<Self> {
        let begins_anew = |samples: &[&str], cuts: fn(char) -> bool| -> Result<bool> {
            for sample in samples {
                let whole = tokenizer.encode(sample)?.ids;
                let places = sample.char_indices().filter(|(_, c)| cuts(*c));
                for cut in places.flat_map(|(at, c)| [at, at + c.len_utf8()]) {
                    let (before, after) = sample.split_at(cut);
                    let mut parts = tokenizer.encode(before)?.ids;
                    parts.extend(tokenizer.encode(after)?.ids);
                    if parts != whole {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        };
        Ok(Self {
            at_space: begins_anew(&["Unbelievable words\nÜber  alles\tgo\u{a0}here, naïvely. 12 345"], is_space)?,
            at_punctuation: begins_anew(&["(alpha/beta)-gamma.delta,epsilon's_zeta:4.5%", "don't...stop!"], |c| {
                c.is_ascii_punctuation()
            })?,
            at_ideographs: begins_anew(&["東京都庁の建物abc中文test"], is_ideograph)?,
        })
    }

    /// Whether text may be cut between these two characters.
    fn allows(self, before: char, after: char) -> bool {
        // Text may spell a special token, such as `[SEP]`, which is one token only while it is whole.
        if matches!(before, '[' | '<') || matches!(after, ']' | '>') {
            return self.at_space && (is_space(before) || is_space(after));
        }
        let either = |is: fn(char) -> bool| is(before) || is(after);
        (self.at_space && either(is_space))
            || (self.at_punctuation && either(|c| c.is_ascii_punctuation()))
            || (self.at_ideographs && either(is_ideograph))
    }
}

/// White space that a tokenizer takes as such; other control characters it may drop.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r') || (c.is_whitespace() && !c.is_control())
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' | '\u{20000}'..='\u{2a6df}' | '\u{f900}'..='\u{faff}')
}

/// A text and its tokens.
pub(super) struct TokenMap<'t> {
    text: &'t str,
    tokenizer: &'t dyn Tokenizer,
    locality: Locality,
    tokens: Tokens,
}

impl<'t> TokenMap<'t> {
    pub(super) fn new(text: &'t str, tokenizer: &'t dyn Tokenizer, locality: Locality) -> Result<Self> {
        Ok(Self { text, tokenizer, locality, tokens: tokenizer.encode(text)? })
    }

    /// Tokens that begin before this byte.
    pub(super) fn before(&self, at: usize) -> usize {
        self.tokens.offsets.partition_point(|offset| offset.start < at)
    }

    /// Where the token of this number begins; the end of the text behind the last.
    pub(super) fn start_of(&self, token: usize) -> usize {
        self.tokens.offsets.get(token).map_or(self.text.len(), |offset| offset.start)
    }

    /// Whether a cut here leaves the tokens on both sides as they are.
    pub(super) fn may_cut(&self, at: usize) -> bool {
        let (before, after) = self.text.split_at(at);
        match (before.chars().next_back(), after.chars().next()) {
            (Some(before), Some(after)) => self.locality.allows(before, after),
            _ => true,
        }
    }

    /// Ids of a piece of the text: what the tokenizer gives for it alone.
    pub(super) fn ids_of(&self, range: Range<usize>) -> Result<Vec<u32>> {
        self.ids(range).map(Cow::into_owned)
    }

    /// How many tokens a piece of the text has by itself.
    pub(super) fn count(&self, range: Range<usize>) -> Result<usize> {
        self.ids(range).map(|ids| ids.len())
    }

    fn ids(&self, range: Range<usize>) -> Result<Cow<'_, [u32]>> {
        if self.may_cut(range.start) && self.may_cut(range.end) {
            return Ok(Cow::Borrowed(&self.tokens.ids[self.before(range.start)..self.before(range.end)]));
        }
        Ok(Cow::Owned(self.tokenizer.encode(&self.text[range])?.ids))
    }
}

#[cfg(test)]
mod tests {
    use vectrion_testkit::tokenizer::WordPieces;

    use super::*;

    /// Marks the beginning of each word but the first of a text, as tokenizers that keep spaces do.
    struct SpaceKeeper;

    impl Tokenizer for SpaceKeeper {
        fn encode(&self, text: &str) -> Result<Tokens> {
            let mut tokens = Tokens::default();
            for (at, c) in text.char_indices() {
                tokens.ids.push(u32::from(c) + if at == 0 { 0 } else { 0x20_0000 });
                tokens.offsets.push(at..at + c.len_utf8());
            }
            Ok(tokens)
        }

        fn max_tokens(&self) -> usize {
            64
        }

        fn name(&self) -> &str {
            "space-keeper"
        }
    }

    #[test]
    fn locality_is_tried_out() {
        let local = Locality::of(&WordPieces::new(64)).expect("never fails");
        assert_eq!(local, Locality { at_space: true, at_punctuation: true, at_ideographs: true });
        let keeper = Locality::of(&SpaceKeeper).expect("never fails");
        assert_eq!(keeper, Locality { at_space: false, at_punctuation: false, at_ideographs: false });
    }

    #[test]
    fn pieces_of_a_tokenizer_without_locality_are_tokenised_by_themselves() {
        let keeper = SpaceKeeper;
        let tokens = TokenMap::new("ab cd", &keeper, Locality::of(&keeper).expect("never fails")).expect("never fails");
        assert_eq!(tokens.ids_of(3..5).expect("never fails"), keeper.encode("cd").expect("never fails").ids);
        assert_ne!(tokens.ids_of(3..5).expect("never fails"), tokens.tokens.ids[3..5]);
    }
}
