//! The text of a row, and what its letters tell about it.

use super::{
    characters::{self, is_bullet},
    glyph::{Direction, PageText},
    rows::{Mark, Row, Rows},
    visual,
    words::{Segment, Word},
};

/// The words of a page in one direction.
pub(super) struct PageWords<'a> {
    /// The page's, counted from 1.
    pub(super) number: u32,
    pub(super) page: &'a PageText,
    pub(super) direction: Direction,
    pub(super) words: &'a [Word],
    pub(super) segments: &'a [Segment],
}

/// What is known of a row when its text is written.
pub(super) struct Facts {
    pub(super) size: f32,
    pub(super) bold: bool,
    pub(super) fixed_pitch: bool,
    pub(super) rtl: bool,
    pub(super) first_word: f32,
}

impl PageWords<'_> {
    fn words_of(&self, segment: &Segment) -> &[Word] {
        &self.words[segment.first as usize..(segment.first + segment.len) as usize]
    }

    fn characters(&self, word: &Word) -> impl Iterator<Item = char> {
        self.page.glyphs[word.first as usize..(word.first + word.len) as usize].iter().map(|glyph| glyph.character())
    }

    /// What the segment is, as far as rows need to know.
    pub(super) fn mark(&self, segment: &Segment) -> Mark {
        let [word] = self.words_of(segment) else { return Mark::Text };
        if word.len > 6 {
            return Mark::Text;
        }
        let mut characters = self.characters(word);
        let (Some(first), second) = (characters.next(), characters.next()) else { return Mark::Text };
        match second {
            None if matches!(first, '$' | '€' | '£' | '¥') => Mark::Prefix,
            None if matches!(first, '%' | ')') => Mark::Suffix,
            None if is_bullet(first) || matches!(first, '-' | '–' | '—' | '*' | 'o' | '§') => Mark::Marker,
            Some('%') if first == ')' => Mark::Suffix,
            _ if is_marker(&self.characters(word).collect::<String>()) => Mark::Marker,
            _ => Mark::Text,
        }
    }

    /// Appends the row's text.
    pub(super) fn write(&self, rows: &Rows, row: &Row, text: &mut String) -> Facts {
        let mut sizes: [(f32, u32); 4] = [(0.0, 0); 4];
        let (mut count, mut bold, mut fixed, mut rtl, mut accents) = (0, 0, 0, false, false);
        let mut first_word = None;
        for id in &rows.order[row.segments.clone()] {
            for word in self.words_of(&self.segments[*id as usize]) {
                let style = &self.page.styles[usize::from(word.style)];
                count += word.len;
                bold += if style.bold { word.len } else { 0 };
                fixed += if style.fixed_pitch { word.len } else { 0 };
                rtl |= word.rtl;
                accents |= word.accents;
                first_word.get_or_insert(word.u1 - word.u0);
                if let Some(slot) =
                    sizes.iter_mut().find(|(size, count)| *count == 0 || (*size - style.size).abs() < 0.3)
                {
                    slot.0 = style.size;
                    slot.1 += word.len;
                }
            }
        }
        let start = text.len();
        if rtl || accents {
            visual::write(self, rows, row, text);
        } else {
            self.write_plain(rows, row, text);
        }
        tidy(text, start);
        Facts {
            size: sizes.iter().max_by_key(|(_, count)| *count).map_or(row.size, |(size, _)| *size),
            bold: bold * 10 >= count * 9,
            fixed_pitch: fixed * 10 >= count * 9,
            rtl,
            first_word: first_word.unwrap_or(0.0),
        }
    }

    /// Calls the function with each word of the row from left to right, and with what stands before it.
    pub(super) fn for_each_word(&self, rows: &Rows, row: &Row, mut visit: impl FnMut(&Word, Before)) {
        let mut last: Option<Word> = None;
        let mut sorted = Vec::new();
        for (n, cell) in rows.cells[row.cells.clone()].iter().enumerate() {
            let mut first_of_cell = true;
            for id in &rows.order[cell.segments.clone()] {
                let segment = &self.segments[*id as usize];
                let words = self.words_of(segment);
                let words = if segment.sorted {
                    words
                } else {
                    sorted.clear();
                    sorted.extend_from_slice(words);
                    sorted.sort_by(|a: &Word, b| a.u0.total_cmp(&b.u0));
                    &sorted
                };
                for (at, word) in words.iter().enumerate() {
                    let before = match &last {
                        None => Before::Nothing,
                        Some(_) if first_of_cell && row.table.is_some() && n > 0 => Before::Cell,
                        Some(last) => {
                            let gap = word.u0 - last.u1;
                            let size = word.size.min(last.size);
                            // A segment may begin where the file left off long before: only the gap tells there.
                            let apart = if at > 0 && segment.sorted { word.after_space } else { gap > 0.15 * size };
                            let close = gap <= 1.2 * size;
                            if last.unspaced.1 && word.unspaced.0 && close {
                                Before::Nothing
                            } else if apart || gap > 1.2 * size || self.is_note_mark(last, word) {
                                Before::Space
                            } else {
                                Before::Nothing
                            }
                        }
                    };
                    visit(word, before);
                    first_of_cell = false;
                    last = Some(*word);
                }
            }
        }
    }

    /// Whether one of the two words is the raised number or sign of a note at the other: it is no part of the word.
    fn is_note_mark(&self, left: &Word, right: &Word) -> bool {
        let (small, large) = if left.size < right.size { (left, right) } else { (right, left) };
        let raised = small.size < 0.85 * large.size && small.baseline < large.baseline - 0.12 * large.size;
        if !raised || small.len > 3 {
            return false;
        }
        let sign = |c: char| c.is_ascii_digit() || matches!(c, '*' | '∗' | '†' | '‡' | '§' | '¶' | ',');
        let of_letters = |c: char| c.is_alphabetic() || matches!(c, '.' | ',' | ';' | ':' | ')' | '”' | '’' | '"');
        let neighbour = if left.size < right.size {
            self.characters(large).next()
        } else {
            self.page.glyphs.get((large.first + large.len - 1) as usize).map(|glyph| glyph.character())
        };
        // Powers of a letter are powers.
        large.len > 1 && neighbour.is_some_and(of_letters) && self.characters(small).all(sign)
    }

    fn write_plain(&self, rows: &Rows, row: &Row, text: &mut String) {
        self.for_each_word(rows, row, |word, before| {
            before.write(text);
            for glyph in &self.page.glyphs[word.first as usize..(word.first + word.len) as usize] {
                let c = glyph.character();
                if matches!(c, ' '..='~') {
                    text.push(c);
                } else {
                    characters::push(text, c);
                }
            }
        });
        if let Some(last) = self.last_glyph(rows, row)
            && last == '\u{AD}'
        {
            text.push('-');
        }
    }

    fn last_glyph(&self, rows: &Rows, row: &Row) -> Option<char> {
        let id = rows.order[row.segments.clone()].last()?;
        let segment = &self.segments[*id as usize];
        let word = self.words_of(segment).last()?;
        Some(self.page.glyphs[(word.first + word.len - 1) as usize].character())
    }
}

/// What stands between two words of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    Space,
    Cell,
}

impl Before {
    pub(super) fn write(self, text: &mut String) {
        match self {
            Self::Nothing => {}
            Self::Space => text.push(' '),
            Self::Cell => text.push_str(" | "),
        }
    }
}

/// What the dots become that lead from a heading to its page.
const LEADER: &str = " … ";

/// Whether the line names a heading and its page.
pub(super) fn is_entry_of_contents(line: &str) -> bool {
    line.rsplit_once(LEADER).is_some_and(|(_, page)| {
        let page = page.trim();
        !page.is_empty() && page.len() <= 6 && page.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    })
}

/// Brings what was written since `start` into normal form C, and shortens the dots that lead from a heading to its page.
fn tidy(text: &mut String, start: usize) {
    use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};
    const DOTS: usize = 5;
    let line = &text[start..];
    if !line.is_ascii() && is_nfc_quick(line.chars()) != IsNormalized::Yes {
        let composed: String = line.nfc().collect();
        text.truncate(start);
        text.push_str(&composed);
    }
    let dots = |c: char| matches!(c, '.' | '…' | '·' | '_' | '\u{2024}');
    if text[start..].matches(dots).count() >= DOTS {
        let mut out = String::with_capacity(text.len() - start);
        let mut rest = &text[start..];
        while let Some(at) = rest.find(dots) {
            let run = rest[at..].find(|c: char| !dots(c) && c != ' ').unwrap_or(rest.len() - at);
            if rest[at..at + run].matches(dots).count() >= DOTS {
                out.push_str(rest[..at].trim_end());
                out.push_str(LEADER);
            } else {
                out.push_str(&rest[..at + run]);
            }
            rest = &rest[at + run..];
        }
        out.push_str(rest);
        text.truncate(start);
        text.push_str(out.trim());
    }
}

/// Whether the word numbers an item: `1.`, `(a)`, `iv)`, `2.3`.
pub(super) fn is_marker(word: &str) -> bool {
    let inner = word.strip_prefix('(').unwrap_or(word);
    let closed = inner.strip_suffix([')', '.']);
    let Some(body) = closed else { return false };
    if body.is_empty() || body.len() > 4 {
        return false;
    }
    (body.len() <= 3 && body.chars().all(|c| c.is_ascii_digit()))
        || (body.len() == 1 && body.chars().all(|c| c.is_ascii_alphabetic()))
        || body.chars().all(|c| matches!(c, 'i' | 'v' | 'x'))
        || body.chars().all(|c| matches!(c, 'I' | 'V' | 'X'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tidied(line: &str) -> String {
        let mut text = format!("before {line}");
        tidy(&mut text, 7);
        text[7..].to_owned()
    }

    #[test]
    fn leaders_are_shortened() {
        assert_eq!(tidied("Introduction ........... 5"), "Introduction … 5");
        assert_eq!(tidied("Annex . . . . . . . . 12"), "Annex … 12");
        assert_eq!(tidied("Wait... what? 3.14"), "Wait... what? 3.14");
    }

    #[test]
    fn accents_are_composed() {
        assert_eq!(tidied("Cafe\u{301}"), "Café");
    }

    #[test]
    fn markers_are_told_from_words() {
        for marker in ["1.", "12)", "(a)", "iv)", "B.", "(3)"] {
            assert!(is_marker(marker), "{marker}");
        }
        for word in ["1", "the.", "2021.", "word)", "12345.", "a"] {
            assert!(!is_marker(word), "{word}");
        }
    }
}
