//! What a page's text is made of before any order is found in it.

/// The text of a page as the file draws it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageText {
    /// Points, as displayed.
    pub(crate) width: f32,
    /// Points, as displayed.
    pub(crate) height: f32,
    /// Clockwise degrees by which the page is turned when it is displayed.
    pub(crate) rotation: u16,
    /// In the order of drawing; white space is not among them.
    pub(crate) glyphs: Vec<Glyph>,
    /// Which glyphs share a style and a baseline: each run ends where the next begins.
    pub(crate) runs: Vec<Run>,
    /// The styles that runs refer to.
    pub(crate) styles: Vec<Style>,
}

/// A character and its ink's box.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glyph {
    code: u32,
    pub(crate) x0: f32,
    pub(crate) y0: f32,
    pub(crate) x1: f32,
    pub(crate) y1: f32,
}

impl Glyph {
    const SPACE_BEFORE: u32 = 1 << 31;
    /// Where the file breaks a word at the end of a line, pdfium names the hyphen so.
    pub(crate) const LINE_END_HYPHEN: char = '\u{2}';

    pub(crate) fn new(character: char, after_space: bool, [x0, y0, x1, y1]: [f32; 4]) -> Self {
        Self { code: u32::from(character) | if after_space { Self::SPACE_BEFORE } else { 0 }, x0, y0, x1, y1 }
    }

    #[inline]
    pub(crate) fn character(self) -> char {
        // The code came from a character.
        char::from_u32(self.code & !Self::SPACE_BEFORE).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    /// Whether white space was drawn, or left, since the glyph before.
    #[inline]
    pub(crate) fn after_space(self) -> bool {
        self.code & Self::SPACE_BEFORE != 0
    }

    /// Has a space stand before it.
    pub(crate) fn put_after_space(&mut self) {
        self.code |= Self::SPACE_BEFORE;
    }
}

/// Glyphs of one style on one baseline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Index of its first glyph.
    pub(crate) start: u32,
    /// Index into the page's styles.
    pub(crate) style: u16,
    /// Where its text runs to.
    pub(crate) direction: Direction,
    /// The baseline, in the direction's frame: see [`Direction::frame`].
    pub(crate) baseline: f32,
}

/// How glyphs look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Style {
    /// Effective size in points: font size times the scale of its matrix.
    pub(crate) size: f32,
    pub(crate) bold: bool,
    /// Every glyph as wide as every other.
    pub(crate) fixed_pitch: bool,
    /// Height above the baseline, in sizes.
    pub(crate) ascent: f32,
    /// Depth below the baseline, in sizes, positive.
    pub(crate) descent: f32,
}

/// Where a line of text runs to, on the page as displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Direction {
    Right,
    /// Turned a quarter counter-clockwise.
    Up,
    Left,
    /// Turned a quarter clockwise.
    Down,
    /// At any other angle, such as a watermark.
    Slanted,
}

impl Direction {
    /// From an angle on the page as displayed, degrees counter-clockwise.
    pub(crate) fn from_degrees(angle: f32) -> Self {
        const TOLERANCE: f32 = 5.0;
        let turned = angle.rem_euclid(360.0);
        let near = |degrees: f32| (turned - degrees).abs() <= TOLERANCE;
        if near(0.0) || near(360.0) {
            Self::Right
        } else if near(90.0) {
            Self::Up
        } else if near(180.0) {
            Self::Left
        } else if near(270.0) {
            Self::Down
        } else {
            Self::Slanted
        }
    }

    /// The box in the frame in which text of this direction runs from left to right and lines follow each other downwards,
    /// as (left, top, right, bottom). `width` and `height` are the page's.
    #[inline]
    pub(crate) fn frame(self, [x0, y0, x1, y1]: [f32; 4], width: f32, height: f32) -> [f32; 4] {
        match self {
            Self::Right | Self::Slanted => [x0, y0, x1, y1],
            Self::Up => [height - y1, x0, height - y0, x1],
            Self::Left => [width - x1, height - y1, width - x0, height - y0],
            Self::Down => [y0, width - x1, y1, width - x0],
        }
    }

    /// The way back from [`Direction::frame`].
    pub(crate) fn unframe(self, [u0, v0, u1, v1]: [f32; 4], width: f32, height: f32) -> [f32; 4] {
        match self {
            Self::Right | Self::Slanted => [u0, v0, u1, v1],
            Self::Up => [v0, height - u1, v1, height - u0],
            Self::Left => [width - u1, height - v1, width - u0, height - v0],
            Self::Down => [width - v1, u0, width - v0, u1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_leads_back_to_the_page() {
        let rect = [10.0, 20.0, 40.0, 25.0];
        for direction in [Direction::Right, Direction::Up, Direction::Left, Direction::Down, Direction::Slanted] {
            assert_eq!(direction.unframe(direction.frame(rect, 600.0, 800.0), 600.0, 800.0), rect, "{direction:?}");
        }
    }

    #[test]
    fn text_that_runs_up_reads_from_the_bottom() {
        let lower = Direction::Up.frame([10.0, 700.0, 20.0, 710.0], 600.0, 800.0);
        let upper = Direction::Up.frame([10.0, 600.0, 20.0, 610.0], 600.0, 800.0);
        assert!(lower[0] < upper[0]);
        let next_line = Direction::Up.frame([30.0, 700.0, 40.0, 710.0], 600.0, 800.0);
        assert!(next_line[1] > lower[1]);
    }

    #[test]
    fn angles_near_a_quarter_turn_count_as_one() {
        assert_eq!(Direction::from_degrees(-0.4), Direction::Right);
        assert_eq!(Direction::from_degrees(-90.0), Direction::Down);
        assert_eq!(Direction::from_degrees(45.0), Direction::Slanted);
    }

    #[test]
    fn a_glyph_keeps_its_character_beside_its_mark() {
        let mut glyph = Glyph::new('\u{10FFFF}', false, [0.0; 4]);
        assert!(!glyph.after_space());
        glyph.put_after_space();
        assert_eq!((glyph.character(), glyph.after_space()), ('\u{10FFFF}', true));
    }
}
