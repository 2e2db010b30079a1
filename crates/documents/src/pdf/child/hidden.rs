//! Text that comes out of a PDF and that a person does not see: white, tiny, transparent, covered, clipped, off the page, or
//! in characters that show nothing. It is the way to slip instructions past a reader to a model, so it is left out.
//!
//! A glyph is hidden if the page drawn with and without its text is the same where the glyph stands, or if it is smaller
//! than two points. Runs of a few hidden glyphs are left alone (a full stop on a fold of the paper); so is text over the ink
//! of a picture, which is the text layer of a scan, and text in a script for which this machine seems to have no font. Not
//! found: text over which the same was printed in the same place, and fonts whose characters are not what they show.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{
    glyphs::{Reading, display_matrix},
    pdfium::{Bounds, Matrix, ObjectKind, Page},
};

/// Hidden characters in a row that make text.
pub(super) const RUN: u32 = 4;
/// Pixels a point: 144 dots an inch.
const SCALE: f32 = 2.0;
/// Difference of grey that can be seen.
const VISIBLE: u8 = 24;
/// Difference of grey within a picture that is ink.
const INK: u8 = 48;
/// Smallest size that can be read, in points.
const SMALLEST: f32 = 2.0;
/// Time for drawing one page, and all pages of a document: text is worth more than the search.
const PAGE_TIME: Duration = Duration::from_secs(4);
const DOCUMENT_TIME: Duration = Duration::from_secs(20);
/// Objects of a page that are looked at.
const MAX_OBJECTS: usize = 400_000;

/// Looks for hidden text on page after page.
#[derive(Default)]
pub(super) struct Search {
    with_text: Vec<u8>,
    without_text: Vec<u8>,
    hidden: Vec<Why>,
    /// Scripts that were seen in fonts of this machine.
    scripts: HashSet<u32>,
    spent: Duration,
    /// Pages that could not be drawn, for want of time or memory.
    pub(super) unchecked: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Visible,
    /// Drawing it changes nothing.
    NoTrace,
    Tiny,
}

/// A page drawn in grey.
struct Picture<'a> {
    with_text: &'a [u8],
    /// None where nothing but text is on the page: it is white.
    without_text: Option<&'a [u8]>,
    width: usize,
    height: usize,
    scale: f32,
}

impl Search {
    /// Takes hidden text out of what was read from the page; tells how many characters.
    pub(super) fn drop_hidden(&mut self, page: &Page<'_>, reading: &mut Reading, max_pixels: u32) -> u32 {
        self.hidden.clear();
        self.hidden.resize(reading.text.glyphs.len(), Why::Visible);
        let images = self.find_without_trace(page, reading, max_pixels);
        for_each_run(reading, |style, glyphs| {
            if reading.smallest[style] < SMALLEST {
                self.hidden[glyphs].fill(Why::Tiny);
            }
        });
        self.keep_short_runs_and_scans(reading, images.as_ref());
        let count = self.hidden.iter().filter(|why| **why != Why::Visible).count();
        if count > 0 {
            self.remove(reading);
        }
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Draws the page with and without its text and compares. Gives the pictures' places if there are any.
    fn find_without_trace(&mut self, page: &Page<'_>, reading: &Reading, max_pixels: u32) -> Option<Images> {
        let start = Instant::now();
        let until = start + PAGE_TIME.min(DOCUMENT_TIME.saturating_sub(self.spent));
        let (width, height) = (reading.text.width, reading.text.height);
        if !(width >= 1.0 && height >= 1.0 && width.is_finite() && height.is_finite()) {
            return None;
        }
        let scale = SCALE.min((max_pixels as f32 / (width * height)).sqrt());
        let (columns, rows) = ((width * scale).ceil() as u32, (height * scale).ceil() as u32);
        let display = display_matrix(page);
        let mut images: Vec<[f32; 4]> = Vec::new();
        let mut only_text = !page.has_annotations();
        page.for_each_object(MAX_OBJECTS, |object, matrix| match object.kind() {
            ObjectKind::Text => object.set_active(false),
            ObjectKind::Form => {}
            ObjectKind::Image => {
                only_text = false;
                if let Some(bounds) = object.bounds() {
                    images.push(transform(&bounds, &matrix.then(&display)));
                }
            }
            ObjectKind::Path | ObjectKind::Shading | ObjectKind::Unknown => only_text = false,
        });
        let drawn = only_text || page.render_grey(columns, rows, &mut self.without_text, until);
        page.for_each_object(MAX_OBJECTS, |object, _| {
            if object.kind() == ObjectKind::Text {
                object.set_active(true);
            }
        });
        let drawn = drawn && page.render_grey(columns, rows, &mut self.with_text, until);
        self.spent += start.elapsed();
        if !drawn {
            // The other rules hold alone.
            self.unchecked += 1;
            return None;
        }
        let picture = Picture {
            with_text: &self.with_text,
            without_text: (!only_text).then_some(self.without_text.as_slice()),
            width: columns as usize,
            height: rows as usize,
            scale: columns as f32 / width,
        };
        let (hidden, scripts) = (&mut self.hidden, &mut self.scripts);
        for_each_run(reading, |style, glyphs| {
            for at in glyphs {
                let glyph = &reading.text.glyphs[at];
                if !picture.shows([glyph.x0, glyph.y0, glyph.x1, glyph.y1]) {
                    hidden[at] = Why::NoTrace;
                } else if !reading.embedded[style]
                    && let Some(script) = foreign_script(glyph.character())
                {
                    scripts.insert(script);
                }
            }
        });
        // Where the machine has no font for a script, nothing is drawn and nothing can be told.
        for_each_run(reading, |style, glyphs| {
            if reading.embedded[style] {
                return;
            }
            for at in glyphs {
                let script = foreign_script(reading.text.glyphs[at].character());
                if hidden[at] == Why::NoTrace && script.is_some_and(|script| !scripts.contains(&script)) {
                    hidden[at] = Why::Visible;
                }
            }
        });
        (!images.is_empty()).then(|| Images {
            over_ink: reading
                .text
                .glyphs
                .iter()
                .zip(hidden.iter())
                .map(|(glyph, why)| {
                    *why == Why::NoTrace && {
                        let (x, y) = ((glyph.x0 + glyph.x1) / 2.0, (glyph.y0 + glyph.y1) / 2.0);
                        let over =
                            |image: &[f32; 4]| (image[0]..=image[2]).contains(&x) && (image[1]..=image[3]).contains(&y);
                        images.iter().any(over) && picture.has_ink([glyph.x0, glyph.y0, glyph.x1, glyph.y1])
                    }
                })
                .collect(),
        })
    }

    fn keep_short_runs_and_scans(&mut self, reading: &Reading, images: Option<&Images>) {
        let mut start = 0;
        while start < self.hidden.len() {
            if self.hidden[start] == Why::Visible {
                start += 1;
                continue;
            }
            let end =
                (start..self.hidden.len()).find(|at| self.hidden[*at] == Why::Visible).unwrap_or(self.hidden.len());
            let scanned = images.is_some_and(|images| {
                let over_ink = images.over_ink[start..end].iter().filter(|over| **over).count();
                let tiny = self.hidden[start..end].contains(&Why::Tiny);
                over_ink * 2 >= end - start && !tiny
            });
            if end - start < RUN as usize || scanned {
                self.hidden[start..end].fill(Why::Visible);
            }
            start = end;
        }
        debug_assert_eq!(self.hidden.len(), reading.text.glyphs.len());
    }

    fn remove(&self, reading: &mut Reading) {
        let text = &mut reading.text;
        let mut kept = 0;
        let mut gap = false;
        let mut run = 0;
        for at in 0..text.glyphs.len() {
            while text.runs.get(run).is_some_and(|run| run.start as usize == at) {
                text.runs[run].start = u32::try_from(kept).unwrap_or(u32::MAX);
                run += 1;
            }
            if self.hidden[at] == Why::Visible {
                let mut glyph = text.glyphs[at];
                if gap {
                    glyph.put_after_space();
                }
                text.glyphs[kept] = glyph;
                kept += 1;
                gap = false;
            } else {
                gap = true;
            }
        }
        text.glyphs.truncate(kept);
        // Of runs that begin at the same glyph all but the last are empty.
        let mut starts = text.runs.iter().map(|run| run.start).skip(1).chain([u32::try_from(kept).unwrap_or(u32::MAX)]);
        let keep: Vec<bool> = text.runs.iter().map(|run| starts.next().is_some_and(|next| next > run.start)).collect();
        let mut keep = keep.into_iter();
        text.runs.retain(|_| keep.next().unwrap_or(false));
    }
}

/// Which hidden glyphs stand over the ink of a picture.
struct Images {
    over_ink: Vec<bool>,
}

/// Calls the function with each run's style and the range of its glyphs.
fn for_each_run(reading: &Reading, mut visit: impl FnMut(usize, std::ops::Range<usize>)) {
    let runs = &reading.text.runs;
    for (n, run) in runs.iter().enumerate() {
        let end = runs.get(n + 1).map_or(reading.text.glyphs.len(), |next| next.start as usize);
        visit(usize::from(run.style), run.start as usize..end);
    }
}

fn transform(bounds: &Bounds, matrix: &Matrix) -> [f32; 4] {
    let corners = [
        matrix.apply(bounds.left, bounds.bottom),
        matrix.apply(bounds.left, bounds.top),
        matrix.apply(bounds.right, bounds.bottom),
        matrix.apply(bounds.right, bounds.top),
    ];
    corners.iter().fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |[x0, y0, x1, y1], (x, y)| {
        [x0.min(*x), y0.min(*y), x1.max(*x), y1.max(*y)]
    })
}

/// The script of a character for which pdfium has no font of its own; none for Latin letters and common signs.
fn foreign_script(c: char) -> Option<u32> {
    const CJK: u32 = 1;
    match u32::from(c) {
        0..=0x24F | 0x2000..=0x206F | 0x20A0..=0x20CF | 0x2100..=0x214F => None,
        0x2E80..=0x9FFF | 0xF900..=0xFAFF | 0xFF00..=0xFFEF | 0x2_0000..=0x3_FFFF => Some(CJK),
        0xAC00..=0xD7AF => Some(0xAC00),
        code => Some(code & !0x7F),
    }
}

impl Picture<'_> {
    /// Columns and rows of the pixels that the box touches; none if it lies outside.
    fn pixels(
        &self,
        [x0, y0, x1, y1]: [f32; 4],
        margin: f32,
    ) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
        let span = |from: f32, to: f32, count: usize| {
            let start = ((from - margin) * self.scale).floor().max(0.0) as usize;
            let end = ((to + margin) * self.scale).ceil().min(count as f32).max(0.0) as usize;
            (start < end).then_some(start..end)
        };
        Some((span(x0, x1.max(x0 + 0.01), self.width)?, span(y0, y1.max(y0 + 0.01), self.height)?))
    }

    /// Whether drawing the text changes what is seen in the box.
    fn shows(&self, bounds: [f32; 4]) -> bool {
        let Some((columns, rows)) = self.pixels(bounds, 0.0) else { return false };
        rows.into_iter().any(|row| {
            let line = row * self.width + columns.start..row * self.width + columns.end;
            let with_text = &self.with_text[line.clone()];
            match self.without_text {
                Some(without_text) => {
                    with_text.iter().zip(&without_text[line]).any(|(with, without)| with.abs_diff(*without) >= VISIBLE)
                }
                None => with_text.iter().any(|with| 0xFF - with >= VISIBLE),
            }
        })
    }

    /// Whether something is drawn about the box besides text.
    fn has_ink(&self, bounds: [f32; 4]) -> bool {
        let Some(without_text) = self.without_text else { return false };
        let margin = 0.25 * (bounds[3] - bounds[1]).max(2.0);
        let Some((columns, rows)) = self.pixels(bounds, margin) else { return false };
        let (mut darkest, mut lightest) = (u8::MAX, u8::MIN);
        for row in rows {
            for pixel in &without_text[row * self.width + columns.start..row * self.width + columns.end] {
                darkest = darkest.min(*pixel);
                lightest = lightest.max(*pixel);
            }
        }
        lightest.saturating_sub(darkest) >= INK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_outside_the_page_shows_nothing() {
        let pixels = vec![0; 100];
        let picture = Picture { with_text: &pixels, without_text: None, width: 10, height: 10, scale: 1.0 };
        assert!(picture.shows([2.0, 2.0, 3.0, 3.0]));
        assert!(!picture.shows([-5.0, 2.0, -1.0, 3.0]));
        assert!(!picture.shows([2.0, 10.5, 3.0, 12.0]));
    }

    #[test]
    fn a_difference_that_can_be_seen_shows() {
        let without: Vec<u8> = vec![100; 16];
        let mut with = without.clone();
        let shows = |with: &[u8]| {
            Picture { with_text: with, without_text: Some(&without), width: 4, height: 4, scale: 1.0 }
                .shows([1.0, 1.0, 3.0, 3.0])
        };
        assert!(!shows(&with));
        with[5] = 100 + VISIBLE - 1;
        assert!(!shows(&with));
        with[5] = 100 + VISIBLE;
        assert!(shows(&with));
    }

    #[test]
    fn scripts_are_told_apart() {
        assert_eq!(foreign_script('é'), None);
        assert_eq!(foreign_script('漢'), foreign_script('か'));
        assert_ne!(foreign_script('漢'), foreign_script('ش'));
    }
}
