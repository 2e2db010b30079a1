//! The tokens of a whole document, and where they may be cut apart.

use std::ops::Range;

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
///
/// The text is tokenised in parts, cut where the tokenizer begins anew, and of each token the id and the start are
/// kept: eight bytes a token, and nothing else that grows with the text.
pub(super) struct TokenMap<'t> {
    text: &'t str,
    tokenizer: &'t dyn Tokenizer,
    locality: Locality,
    parts: Vec<Part>,
}

/// The tokens of a part of the text.
struct Part {
    /// Where the part begins.
    from: usize,
    /// Tokens before it.
    before: usize,
    ids: Box<[u32]>,
    /// Where each token begins, counted from the start of the part.
    starts: Box<[u32]>,
}

/// Bytes that are tokenised at once, if the text can be cut there.
const PART_BYTES: usize = 64 * 1024;

impl<'t> TokenMap<'t> {
    pub(super) fn new(text: &'t str, tokenizer: &'t dyn Tokenizer, locality: Locality) -> Result<Self> {
        Self::in_parts(text, tokenizer, locality, PART_BYTES)
    }

    fn in_parts(text: &'t str, tokenizer: &'t dyn Tokenizer, locality: Locality, bytes: usize) -> Result<Self> {
        let mut map = Self { text, tokenizer, locality, parts: Vec::new() };
        let (mut from, mut before) = (0, 0);
        while from < text.len() {
            let to = map.next_cut(from + bytes);
            let Tokens { ids, offsets } = tokenizer.encode(&text[from..to])?;
            let start = |offset: Range<usize>| u32::try_from(offset.start).unwrap_or(u32::MAX);
            let starts: Box<[u32]> = offsets.into_iter().map(start).collect();
            let count = ids.len();
            map.parts.push(Part { from, before, ids: ids.into(), starts });
            (from, before) = (to, before + count);
        }
        Ok(map)
    }

    /// The first place from here on where the text may be cut; its end if there is none.
    fn next_cut(&self, from: usize) -> usize {
        if from >= self.text.len() {
            return self.text.len();
        }
        let from = self.text.ceil_char_boundary(from);
        let mut before = self.text[..from].chars().next_back();
        for (at, after) in self.text[from..].char_indices() {
            if before.is_some_and(|before| self.locality.allows(before, after)) {
                return from + at;
            }
            before = Some(after);
        }
        self.text.len()
    }

    /// Tokens that begin before this byte.
    pub(super) fn before(&self, at: usize) -> usize {
        let Some(index) = self.parts.partition_point(|part| part.from < at).checked_sub(1) else { return 0 };
        let part = &self.parts[index];
        part.before + part.starts.partition_point(|start| part.from + (*start as usize) < at)
    }

    /// Where the token of this number begins; the end of the text behind the last.
    pub(super) fn start_of(&self, token: usize) -> usize {
        let Some(part) = self.parts.get(self.part_of(token)) else { return self.text.len() };
        part.starts.get(token - part.before).map_or(self.text.len(), |start| part.from + *start as usize)
    }

    /// Number of the part that holds a token; behind the last, the number of parts.
    fn part_of(&self, token: usize) -> usize {
        self.parts.partition_point(|part| part.before + part.ids.len() <= token)
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
        if !self.is_slice(&range) {
            return Ok(self.tokenizer.encode(&self.text[range])?.ids);
        }
        let (first, end) = (self.before(range.start), self.before(range.end));
        let mut ids = Vec::with_capacity(end.saturating_sub(first));
        for part in self.parts.get(self.part_of(first)..).unwrap_or_default() {
            if part.before >= end {
                break;
            }
            let (from, to) = (first.saturating_sub(part.before), (end - part.before).min(part.ids.len()));
            ids.extend_from_slice(&part.ids[from..to]);
        }
        Ok(ids)
    }

    /// How many tokens a piece of the text has by itself.
    pub(super) fn count(&self, range: Range<usize>) -> Result<usize> {
        if self.is_slice(&range) {
            return Ok(self.before(range.end) - self.before(range.start));
        }
        Ok(self.tokenizer.encode(&self.text[range])?.ids.len())
    }

    /// Whether the tokens of a piece by itself are those that it has in the text.
    fn is_slice(&self, range: &Range<usize>) -> bool {
        self.may_cut(range.start) && self.may_cut(range.end)
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
        assert_ne!(tokens.ids_of(3..5).expect("never fails"), keeper.encode("ab cd").expect("never fails").ids[3..5]);
    }

    #[test]
    fn parts_give_the_tokens_of_the_whole() {
        let pieces = WordPieces::new(64);
        let locality = Locality::of(&pieces).expect("never fails");
        let text = "Unbelievable [SEP] words, naïvely:\n\n東京都庁の建物 and anotherverylongwordwithoutanyend 🙂🙂 (4.5%) end ";
        let whole = TokenMap::in_parts(text, &pieces, locality, text.len()).expect("never fails");
        assert_eq!(whole.parts.len(), 1);
        assert_eq!(*whole.parts[0].ids, pieces.encode(text).expect("never fails").ids);
        let total = whole.parts[0].ids.len();
        let bounds: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
        for bytes in 1..40 {
            let parts = TokenMap::in_parts(text, &pieces, locality, bytes).expect("never fails");
            assert!(parts.parts.len() > 2, "{bytes}");
            for token in 0..total + 2 {
                assert_eq!(parts.start_of(token), whole.start_of(token), "{bytes}: token {token}");
            }
            for from in &bounds {
                assert_eq!(parts.before(*from), whole.before(*from), "{bytes}: at {from}");
                for to in bounds.iter().filter(|to| *to >= from) {
                    let range = *from..*to;
                    let ids = parts.ids_of(range.clone()).expect("never fails");
                    assert_eq!(ids, whole.ids_of(range.clone()).expect("never fails"), "{bytes}: {range:?}");
                    assert_eq!(ids.len(), parts.count(range).expect("never fails"));
                }
            }
        }
    }

    #[test]
    fn a_tokenizer_without_locality_gets_the_text_in_one_part() {
        let keeper = SpaceKeeper;
        let locality = Locality::of(&keeper).expect("never fails");
        let tokens = TokenMap::in_parts("ab cd. ef", &keeper, locality, 2).expect("never fails");
        assert_eq!(tokens.parts.len(), 1);
        assert_eq!((tokens.before(9), tokens.start_of(9)), (9, 9));
    }
}
