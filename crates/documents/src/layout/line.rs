//! Lines with their text, in reading order.

use std::ops::Range;

use vectrion_core::extraction::Rect;

use super::{
    columns, footnotes,
    glyph::{Direction, PageText},
    row_text::{PageWords, is_entry_of_contents},
    rows,
    words::{Scratch, find_segments, find_words},
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
