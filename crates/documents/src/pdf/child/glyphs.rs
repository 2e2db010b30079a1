//! A page's characters from pdfium, as layout takes them.
//!
//! This is the hot path: three calls into pdfium a character (what it is, which text object it belongs to, where its ink is);
//! all else is asked once a text object, font or page.

use vectrion_core::text::is_invisible;

use super::pdfium::{FontFacts, FontKey, Matrix, ObjectKey, Page, TextPage};
use crate::layout::{Direction, Glyph, PageText, Run, Style, is_space};

/// What a page's text is, and what only the search for hidden text asks.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) text: PageText,
    /// For each style, whether its font is in the file.
    pub(super) embedded: Vec<bool>,
    /// For each style, the smaller of the sizes of its letters along the line and across.
    pub(super) smallest: Vec<f32>,
    /// Characters that nobody can see, in runs that are long enough to say something.
    pub(super) invisible: u32,
    /// Glyphs of which nobody knows what they mean.
    pub(super) unmapped: u32,
    fonts: Vec<(FontKey, Traits)>,
    /// Font, size and smallest size of each style.
    keys: Vec<Key>,
}

/// Styles of a page that are told apart.
const MAX_STYLES: usize = 4096;

/// What tells one style from another: the font, and sizes in hundredths of a point, because rounding errors of matrices make
/// no styles of their own.
type Key = (FontKey, u32, u32);

/// What a font makes of its letters.
#[derive(Clone, Copy)]
struct Traits {
    bold: bool,
    fixed_pitch: bool,
    embedded: bool,
    ascent: f32,
    descent: f32,
}

/// Where the page's own coordinates go on the page as displayed.
struct Placement {
    turns: u8,
    matrix: Matrix,
}

impl Placement {
    fn of(page: &Page<'_>) -> Self {
        let (width, _) = page.size();
        let bounds = page.bounds();
        let turns = page.quarter_turns();
        let across = if turns.is_multiple_of(2) { bounds.right - bounds.left } else { bounds.top - bounds.bottom };
        let scale = if across > 0.0 && width > 0.0 { width / across } else { 1.0 };
        let s = scale;
        let matrix = match turns {
            0 => Matrix { a: s, b: 0.0, c: 0.0, d: -s, e: -s * bounds.left, f: s * bounds.top },
            1 => Matrix { a: 0.0, b: s, c: s, d: 0.0, e: -s * bounds.bottom, f: -s * bounds.left },
            2 => Matrix { a: -s, b: 0.0, c: 0.0, d: s, e: s * bounds.right, f: -s * bounds.bottom },
            _ => Matrix { a: 0.0, b: -s, c: -s, d: 0.0, e: s * bounds.top, f: s * bounds.right },
        };
        Self { turns, matrix }
    }

    #[inline]
    fn place(&self, [left, bottom, right, top]: [f64; 4]) -> [f32; 4] {
        let (xa, ya) = self.matrix.apply(sane(left), sane(bottom));
        let (xb, yb) = self.matrix.apply(sane(right), sane(top));
        [xa.min(xb), ya.min(yb), xa.max(xb), ya.max(yb)]
    }
}

/// Coordinates of a hostile file may be anything.
#[inline]
fn sane(coordinate: f64) -> f32 {
    const FAR: f64 = 1e6;
    if coordinate.abs() <= FAR { coordinate as f32 } else { 0.0 }
}

/// The matrix from the page's coordinates to those of the page as displayed.
pub(super) fn display_matrix(page: &Page<'_>) -> Matrix {
    Placement::of(page).matrix
}

/// Reads a page. False, with what was read so far, if there are more characters than `limit`.
pub(super) fn read(page: &Page<'_>, source: &TextPage<'_>, limit: u64, into: &mut Reading) -> bool {
    let placement = Placement::of(page);
    let (width, height) = page.size();
    let Reading { text, embedded, smallest, invisible, unmapped, fonts, keys } = into;
    text.width = width.max(0.0);
    text.height = height.max(0.0);
    text.rotation = u16::from(placement.turns) * 90;
    text.glyphs.clear();
    text.runs.clear();
    text.styles.clear();
    (*invisible, *unmapped) = (0, 0);
    embedded.clear();
    smallest.clear();
    fonts.clear();
    keys.clear();

    let count = source.len();
    if u64::try_from(count).unwrap_or(0) > limit {
        return false;
    }
    let mut object = ObjectKey::NONE;
    let mut after_space = false;
    let mut invisible_run = 0;
    let mut high_surrogate = None;
    for index in 0..count {
        let mut code = source.unicode(index);
        if !(0x21..0x7F).contains(&code) {
            if is_space(code) {
                after_space = true;
                continue;
            }
            match code {
                0xD800..=0xDBFF => {
                    high_surrogate = Some(code);
                    continue;
                }
                0xDC00..=0xDFFF => {
                    let Some(high) = high_surrogate.take() else { continue };
                    code = 0x1_0000 + ((high - 0xD800) << 10) + (code - 0xDC00);
                }
                // What pdfium writes for a hyphen that breaks a word.
                0xFFFE => code = u32::from(Glyph::LINE_END_HYPHEN),
                0 | 0xFFFD => {
                    *unmapped += 1;
                    continue;
                }
                _ => {}
            }
        }
        let Some(character) = char::from_u32(code) else { continue };
        if !character.is_ascii() && is_invisible(character) && character != '\u{AD}' {
            invisible_run += 1;
            continue;
        }
        if invisible_run > 0 {
            *invisible += if invisible_run >= super::hidden::RUN { invisible_run } else { 0 };
            invisible_run = 0;
        }
        let this = source.object(index);
        if this != object || text.runs.is_empty() {
            object = this;
            let matrix = source.matrix(index);
            let font_size = source.font_size(index);
            let size = effective_size(font_size, matrix.c, matrix.d);
            let along = effective_size(font_size, matrix.a, matrix.b).min(size);
            let hundredths = |size: f32| (size * 100.0).round() as u32;
            let key = (source.font(this), hundredths(size), hundredths(along));
            // Most text goes on in the style of late.
            let style = match keys.iter().rposition(|known| *known == key) {
                Some(at) => at,
                None if keys.len() == MAX_STYLES => MAX_STYLES - 1,
                None => {
                    let traits = traits_of(source, key.0, fonts);
                    keys.push(key);
                    embedded.push(traits.embedded);
                    smallest.push(along);
                    text.styles.push(traits.style(size));
                    keys.len() - 1
                }
            };
            let style = u16::try_from(style).unwrap_or(u16::MAX);
            let direction = direction_of(&matrix, placement.turns);
            let (x, y) = source.origin(index);
            let origin = placement.place([x, y, x, y]);
            let baseline = direction.frame(origin, text.width, text.height)[1];
            let start = u32::try_from(text.glyphs.len()).unwrap_or(u32::MAX);
            let same = text.runs.last().is_some_and(|run| {
                run.style == style && run.direction == direction && (run.baseline - baseline).abs() < 0.01
            });
            if !same {
                text.runs.push(Run { start, style, direction, baseline });
            }
        }
        let place = placement.place(source.glyph_box(index));
        text.glyphs.push(Glyph::new(character, after_space, place));
        after_space = false;
    }
    if invisible_run >= super::hidden::RUN {
        *invisible += invisible_run;
    }
    true
}

/// Size as shown: pdfium's own figure forgets rotation.
fn effective_size(font_size: f32, x: f32, y: f32) -> f32 {
    let size = font_size * x.hypot(y);
    if size.is_finite() { size.abs().min(10_000.0) } else { 0.0 }
}

fn direction_of(matrix: &Matrix, turns: u8) -> Direction {
    let (x, y) = if matrix.a != 0.0 || matrix.b != 0.0 { (matrix.a, matrix.b) } else { (matrix.d, -matrix.c) };
    if turns == 0 && y == 0.0 && x > 0.0 {
        return Direction::Right;
    }
    Direction::from_degrees(y.atan2(x).to_degrees() - 90.0 * f32::from(turns))
}

fn traits_of(source: &TextPage<'_>, font: FontKey, fonts: &mut Vec<(FontKey, Traits)>) -> Traits {
    if let Some((_, traits)) = fonts.iter().find(|(known, _)| *known == font) {
        return *traits;
    }
    let traits = Traits::of(&source.font_facts(font));
    fonts.push((font, traits));
    traits
}

impl Traits {
    fn of(facts: &FontFacts) -> Self {
        const FIXED_PITCH: i32 = 1;
        const FORCE_BOLD: i32 = 1 << 18;
        let name = facts.name.to_ascii_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        let bold = has(&["bold", "black", "heavy", "semibold", "demi", "cmbx", "sfbx", "ecbx", "-bd"])
            || (name.contains("nimbus") && name.contains("-medi"))
            || facts.flags & FORCE_BOLD != 0
            || (facts.weight >= 700 && !has(&["light", "regular", "roman", "book", "-medi"]));
        let fixed_pitch = facts.flags & FIXED_PITCH != 0 || has(&["courier", "mono", "consolas", "cmtt", "menlo"]);
        // Fonts lie about their extents; lines that overlap for it would be taken for one.
        let ascent = if facts.ascent > 0.0 { facts.ascent.clamp(0.6, 0.95) } else { 0.75 };
        let descent = if facts.descent < 0.0 { (-facts.descent).clamp(0.12, 0.3) } else { 0.22 };
        Self { bold, fixed_pitch, embedded: facts.embedded, ascent, descent }
    }

    fn style(self, size: f32) -> Style {
        let Self { bold, fixed_pitch, ascent, descent, .. } = self;
        Style { size, bold, fixed_pitch, ascent, descent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_shown_survives_rotation_and_scale() {
        assert_eq!(effective_size(12.0, -1.0, 0.0), 12.0);
        assert!((effective_size(12.0, 0.0, 0.1) - 1.2).abs() < 1e-5);
        assert_eq!(effective_size(f32::NAN, 1.0, 0.0), 0.0);
    }

    #[test]
    fn the_direction_is_that_of_the_page_as_displayed() {
        let turned = Matrix { a: 0.0, b: 1.0, c: -1.0, d: 0.0, e: 0.0, f: 0.0 };
        assert_eq!(direction_of(&turned, 0), Direction::Up);
        assert_eq!(direction_of(&turned, 1), Direction::Right);
        assert_eq!(direction_of(&Matrix::IDENTITY, 1), Direction::Down);
    }

    #[test]
    fn weight_is_read_from_the_name_first() {
        let facts = |name: &str, weight| FontFacts {
            name: name.into(),
            flags: 0,
            weight,
            embedded: true,
            ascent: 0.0,
            descent: 0.0,
        };
        assert!(Traits::of(&facts("ABCDEF+Calibri-Bold", 400)).bold);
        assert!(Traits::of(&facts("NimbusRomNo9L-Medi", 400)).bold);
        assert!(!Traits::of(&facts("NimbusRomNo9L-Regu", 400)).bold);
        assert!(!Traits::of(&facts("Calibri-Light", 700)).bold);
    }

    #[test]
    fn coordinates_that_are_none_become_zero() {
        assert_eq!(sane(f64::NAN), 0.0);
        assert_eq!(sane(1e300), 0.0);
        assert_eq!(sane(12.5), 12.5);
    }
}
