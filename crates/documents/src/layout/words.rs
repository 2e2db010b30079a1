//! Words, and segments of lines: words that follow each other on one baseline with no more than a space between them.

use super::{
    characters::{is_mark, is_rtl, is_unspaced, may_be_accent},
    glyph::{Direction, PageText, Style},
};

/// Glyphs that belong together, in the frame of their direction (see [`Direction::frame`]).
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// Index of the first glyph; the glyphs are neighbours in the order of drawing.
    pub(super) first: u32,
    pub(super) len: u32,
    pub(super) u0: f32,
    pub(super) u1: f32,
    pub(super) baseline: f32,
    pub(super) style: u16,
    pub(super) size: f32,
    /// A space stands, or is left, before it.
    pub(super) after_space: bool,
    /// Holds letters that run from right to left.
    pub(super) rtl: bool,
    /// Holds an accent apart from its letter, or a combining mark.
    pub(super) accents: bool,
    /// First and last characters belong to a script that is written without spaces.
    pub(super) unspaced: (bool, bool),
}

/// Words of one line with no wide gap between them; the words are neighbours in the order of drawing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Index of the first word.
    pub(super) first: u32,
    pub(super) len: u32,
    pub(super) u0: f32,
    pub(super) u1: f32,
    pub(super) top: f32,
    pub(super) bottom: f32,
    pub(super) baseline: f32,
    pub(super) size: f32,
    /// Its words stand from left to right.
    pub(super) sorted: bool,
    pub(super) rtl: bool,
    /// All glyphs as wide as each other.
    pub(super) fixed_pitch: bool,
}

impl Segment {
    pub(super) fn width(&self) -> f32 {
        self.u1 - self.u0
    }

    pub(super) fn middle(&self) -> f32 {
        (self.top + self.bottom) / 2.0
    }
}

/// Memory that pages use one after the other.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(super) words: Vec<Word>,
    pub(super) segments: Vec<Segment>,
}

/// Gap beyond which two glyphs are two words even if the file has no space there, in sizes. Up to it pdfium is trusted, which
/// knows the widths of the letters and how far they are set apart.
const WORD_GAP: f32 = 0.8;
/// Gap up to which two words are in one segment, in sizes.
const SEGMENT_GAP: f32 = 1.0;
/// How far a glyph may reach back over the one before, in sizes.
const OVERLAP: f32 = 0.35;
/// Difference of baselines within a word, in sizes.
const SAME_BASELINE: f32 = 0.08;
/// Difference of baselines within a segment, in sizes: superscripts and subscripts included.
const SAME_LINE: f32 = 0.5;

/// Finds the words of a direction.
pub(super) fn find_words(page: &PageText, direction: Direction, words: &mut Vec<Word>) {
    words.clear();
    let mut current: Option<Word> = None;
    for (n, run) in page.runs.iter().enumerate() {
        if run.direction != direction {
            if let Some(word) = current.take() {
                words.push(word);
            }
            continue;
        }
        let end = page.runs.get(n + 1).map_or(page.glyphs.len(), |next| next.start as usize);
        let size = page.styles[usize::from(run.style)].size;
        for index in run.start as usize..end {
            let glyph = page.glyphs[index];
            let [u0, _, u1, _] = direction.frame([glyph.x0, glyph.y0, glyph.x1, glyph.y1], page.width, page.height);
            let c = glyph.character();
            let plain = c.is_ascii();
            let rtl = !plain && is_rtl(c);
            let unspaced = !plain && is_unspaced(c);
            let accent = may_be_accent(c) || (!plain && is_mark(c));
            if let Some(word) = &mut current {
                let larger = size.max(word.size);
                let level = (run.baseline - word.baseline).abs() <= SAME_BASELINE * larger;
                let ahead = u0 - word.u1;
                let behind = word.u0 - u1;
                let overlaps = ahead < 0.0 && behind < 0.0;
                let joins = if glyph.after_space() {
                    // A space drawn between a letter and the accent over it is none.
                    (accent || word.accents) && overlaps && (ahead.min(behind) < -0.1 * larger)
                } else {
                    (ahead <= WORD_GAP * larger && ahead >= -OVERLAP * larger)
                        || (overlaps && u0 >= word.u0 - OVERLAP * larger)
                        || ((rtl || word.rtl) && behind <= WORD_GAP * larger && behind >= -OVERLAP * larger)
                };
                if level && joins {
                    word.len += 1;
                    word.u0 = word.u0.min(u0);
                    word.u1 = word.u1.max(u1);
                    word.rtl |= rtl;
                    word.accents |= accent;
                    word.unspaced.1 = unspaced;
                    continue;
                }
                words.push(*word);
            }
            let after_space = glyph.after_space()
                || current.is_some_and(|word| u0 - word.u1 > WORD_GAP * size || word.u0 - u1 > WORD_GAP * size);
            current = Some(Word {
                first: u32::try_from(index).unwrap_or(u32::MAX),
                len: 1,
                u0,
                u1,
                baseline: run.baseline,
                style: run.style,
                size,
                after_space,
                rtl,
                accents: accent,
                unspaced: (unspaced, unspaced),
            });
        }
    }
    words.extend(current);
}

/// Joins words to segments.
pub(super) fn find_segments(words: &[Word], styles: &[Style], segments: &mut Vec<Segment>) {
    segments.clear();
    let mut current: Option<Segment> = None;
    for (n, word) in words.iter().enumerate() {
        let style = &styles[usize::from(word.style)];
        let top = word.baseline - style.ascent * word.size;
        let bottom = word.baseline + style.descent * word.size;
        if let Some(segment) = &mut current {
            let larger = word.size.max(segment.size);
            let smaller = word.size.min(segment.size);
            let difference = (word.baseline - segment.baseline).abs();
            let level = difference <= SAME_BASELINE * larger
                || (difference <= SAME_LINE * larger && smaller < 0.85 * larger && !word.after_space);
            let ahead = word.u0 - segment.u1;
            let behind = segment.u0 - word.u1;
            let reach = SEGMENT_GAP * larger;
            let adjacent = (-OVERLAP * larger..=reach).contains(&ahead)
                || ((word.rtl || segment.rtl) && (-OVERLAP * larger..=reach).contains(&behind));
            if level && adjacent {
                segment.len += 1;
                segment.sorted &= word.u0 >= segment.u1 - OVERLAP * larger;
                segment.u0 = segment.u0.min(word.u0);
                segment.u1 = segment.u1.max(word.u1);
                segment.rtl |= word.rtl;
                segment.fixed_pitch &= style.fixed_pitch;
                if word.size > segment.size * 1.05 {
                    // The larger letters set the line; what came before was raised or lowered.
                    segment.size = word.size;
                    segment.baseline = word.baseline;
                }
                if difference <= SAME_BASELINE * larger {
                    segment.top = segment.top.min(top);
                    segment.bottom = segment.bottom.max(bottom);
                }
                continue;
            }
            segments.push(*segment);
        }
        current = Some(Segment {
            first: u32::try_from(n).unwrap_or(u32::MAX),
            len: 1,
            u0: word.u0,
            u1: word.u1,
            top,
            bottom,
            baseline: word.baseline,
            size: word.size,
            sorted: true,
            rtl: word.rtl,
            fixed_pitch: style.fixed_pitch,
        });
    }
    segments.extend(current);
}
