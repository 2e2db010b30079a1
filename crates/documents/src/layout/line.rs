//! Lines with their text, in reading order.

use std::ops::Range;

use vectrion_core::extraction::Rect;

use super::{
    characters::{self, is_bullet},
    columns, footnotes,
    glyph::{Direction, PageText},
    rows::{self, Mark, Row, Rows},
    visual,
    words::{Scratch, Segment, Word, find_segments, find_words},
};

/// A line of a page.
#[derive(Clone, Debug)]
pub(super) struct TextLine {
    /// Counted from 1.
    pub(super) page: u32,
    /// In [`PageLines::text`].
    pub(super) range: Range<usize>,
    /// On the page as displayed.
    pub(super) bounds: Rect,
    /// Left and right ends in the frame of its direction.
    pub(super) u0: f32,
    pub(super) u1: f32,
    pub(super) baseline: f32,
    /// Size of most of its letters.
    pub(super) size: f32,
    pub(super) bold: bool,
    pub(super) fixed_pitch: bool,
    pub(super) direction: Direction,
    pub(super) rtl: bool,
    /// Width of its first word, in points.
    pub(super) first_word: f32,
    /// What it ends with.
    pub(super) ending: Ending,
    /// The region it stands in; unlike any other's of the document.
    pub(super) region: u32,
    /// Left and right ends of the region.
    pub(super) column: (f32, f32),
    /// Usual distance of baselines of lines of its size in the region; 0 where too few are there to tell.
    pub(super) pitch: f32,
    /// The table it is a row of; unlike any other's of the document.
    pub(super) table: Option<u32>,
}

/// What a line ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// A hyphen, which is the last character of the line's text.
    Hyphen,
    /// Anything else.
    Other,
}

/// The lines of the pages so far.
#[derive(Default)]
pub(super) struct PageLines {
    /// What the lines' ranges refer to.
    pub(super) text: String,
    pub(super) lines: Vec<TextLine>,
    regions: u32,
    tables: u32,
}

impl PageLines {
    pub(super) fn add(&mut self, number: u32, page: &PageText, scratch: &mut Scratch) {
        let mut directions: Vec<(Direction, usize)> = Vec::with_capacity(1);
        for (n, run) in page.runs.iter().enumerate() {
            let end = page.runs.get(n + 1).map_or(page.glyphs.len(), |next| next.start as usize);
            let count = end - run.start as usize;
            match directions.iter_mut().find(|(direction, _)| *direction == run.direction) {
                Some((_, sum)) => *sum += count,
                None => directions.push((run.direction, count)),
            }
        }
        // What most of the page is written in comes first; a label on its side, or a watermark, after it.
        directions.sort_by_key(|(direction, count)| (std::cmp::Reverse(*count), *direction));
        let first = self.lines.len();
        for (direction, _) in directions {
            find_words(page, direction, &mut scratch.words);
            find_segments(&scratch.words, &page.styles, &mut scratch.segments);
            let text = PageWords { number, page, direction, words: &scratch.words, segments: &scratch.segments };
            if direction == Direction::Slanted {
                for n in 0..text.segments.len() {
                    self.add_region(&text, &[u32::try_from(n).unwrap_or(u32::MAX)]);
                }
            } else {
                for region in columns::regions(text.segments) {
                    self.add_region(&text, &region);
                }
            }
        }
        footnotes::defer(&self.text, &mut self.lines[first..], page.height);
    }

    fn add_region(&mut self, page: &PageWords<'_>, ids: &[u32]) {
        let rows = rows::find(page.segments, ids, |segment| page.mark(segment));
        let Some(column) = rows.rows.iter().map(|row| (row.u0, row.u1)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
        else {
            return;
        };
        let first = self.lines.len();
        let mut tables = rows.rows.iter().filter_map(|row| row.table).max().map_or(0, |table| table + 1);
        let mut contents = None;
        for row in &rows.rows {
            let start = self.text.len();
            let facts = page.write(&rows, row, &mut self.text);
            if self.text.len() == start {
                continue;
            }
            let ending = if self.text.ends_with(['-', '\u{2010}']) { Ending::Hyphen } else { Ending::Other };
            let [x0, y0, x1, y1] =
                page.direction.unframe([row.u0, row.top, row.u1, row.bottom], page.page.width, page.page.height);
            let of_contents = row.table.is_none() && is_entry_of_contents(&self.text[start..]);
            let table = if of_contents {
                // Entries that follow each other are one table of contents.
                contents = contents.or(Some(tables));
                tables = tables.max(contents.map_or(0, |table| table + 1));
                contents
            } else {
                contents = None;
                row.table
            };
            self.lines.push(TextLine {
                page: page.number,
                range: start..self.text.len(),
                bounds: Rect { x0, y0, x1, y1 },
                u0: row.u0,
                u1: row.u1,
                baseline: row.baseline,
                size: facts.size,
                bold: facts.bold,
                fixed_pitch: facts.fixed_pitch,
                direction: page.direction,
                rtl: facts.rtl,
                first_word: facts.first_word,
                ending,
                region: self.regions,
                column,
                pitch: 0.0,
                table: table.map(|table| self.tables + table),
            });
        }
        set_pitch(&mut self.lines[first..]);
        self.regions += 1;
        self.tables += tables;
    }
}

/// Measures the usual distance of baselines for each size of letters in a region.
fn set_pitch(lines: &mut [TextLine]) {
    const STEPS: usize = 3;
    let same = |a: f32, b: f32| (a - b).abs() <= 0.05 * a.max(b);
    let mut steps: Vec<(f32, Vec<f32>)> = Vec::new();
    for pair in lines.windows(2) {
        let step = pair[1].baseline - pair[0].baseline;
        if !same(pair[0].size, pair[1].size) || !(0.8 * pair[1].size..3.0 * pair[1].size).contains(&step) {
            continue;
        }
        match steps.iter_mut().find(|(size, _)| same(*size, pair[1].size)) {
            Some((_, steps)) => steps.push(step),
            None => steps.push((pair[1].size, vec![step])),
        }
    }
    for (size, steps) in steps.iter_mut().filter(|(_, steps)| steps.len() >= STEPS) {
        let middle = steps.len() / 2;
        let pitch = *steps.select_nth_unstable_by(middle, f32::total_cmp).1;
        lines.iter_mut().filter(|line| same(*size, line.size)).for_each(|line| line.pitch = pitch);
    }
}

/// The words of a page in one direction.
pub(super) struct PageWords<'a> {
    number: u32,
    pub(super) page: &'a PageText,
    pub(super) direction: Direction,
    words: &'a [Word],
    segments: &'a [Segment],
}

/// What is known of a row when its text is written.
struct Facts {
    size: f32,
    bold: bool,
    fixed_pitch: bool,
    rtl: bool,
    first_word: f32,
}

impl PageWords<'_> {
    fn words_of(&self, segment: &Segment) -> &[Word] {
        &self.words[segment.first as usize..(segment.first + segment.len) as usize]
    }

    fn characters(&self, word: &Word) -> impl Iterator<Item = char> {
        self.page.glyphs[word.first as usize..(word.first + word.len) as usize].iter().map(|glyph| glyph.character())
    }

    fn mark(&self, segment: &Segment) -> Mark {
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
    fn write(&self, rows: &Rows, row: &Row, text: &mut String) -> Facts {
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
fn is_entry_of_contents(line: &str) -> bool {
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
