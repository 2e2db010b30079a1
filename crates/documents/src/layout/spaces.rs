//! Spaces that are left between words but not drawn, and that pdfium does not take for spaces.
//!
//! pdfium compares a gap with the widths that the font states, which some files get wrong. The page's own letters tell
//! better: how far apart they stand inside words, and how far where there is a space.

use super::{
    characters::{is_mark, is_rtl, is_unspaced},
    glyph::{PageText, Style},
};

/// Steps in which gaps are counted, in sizes.
const STEP: f32 = 0.01;
/// Gaps of this many steps and more are counted as one.
const STEPS: usize = 100;
/// Pairs of letters that tell what is usual, at the least.
const ENOUGH: u32 = 12;
/// Gap that may be a space, in sizes, at the least: side bearings alone make smaller ones.
const LEAST: f32 = 0.15;
/// How far from the usual gap in words to the usual gap of spaces a gap is that is a space.
const SHARE: f32 = 0.6;
/// The same between a small letter and a capital.
const SHARE_BEFORE_CAPITAL: f32 = 0.45;
/// How much wider than the other gaps around it such a gap is.
const STANDS_OUT: f32 = 2.5;

/// The usual gaps of one style.
#[derive(Clone)]
struct Gaps {
    in_words: [u32; STEPS],
    of_spaces: [u32; STEPS],
}

impl Default for Gaps {
    fn default() -> Self {
        Self { in_words: [0; STEPS], of_spaces: [0; STEPS] }
    }
}

impl Gaps {
    fn count(&mut self, gap: f32, space: bool) {
        let step = ((gap / STEP).max(0.0) as usize).min(STEPS - 1);
        if space {
            self.of_spaces[step] += 1;
        } else {
            self.in_words[step] += 1;
        }
    }

    /// The middle gap in words and that of spaces; none when too few were seen, or they are hardly different.
    fn usual(&self) -> Option<(f32, f32)> {
        let (inside, space) = (middle(&self.in_words)?, middle(&self.of_spaces)?);
        (space - inside > 0.08).then_some((inside, space))
    }
}

fn middle(counts: &[u32; STEPS]) -> Option<f32> {
    let all: u32 = counts.iter().sum();
    let mut sum = 0;
    (all >= ENOUGH).then_some(())?;
    let step = counts.iter().position(|count| {
        sum += count;
        sum * 2 >= all
    })?;
    Some(step as f32 * STEP)
}

/// Has a space stand before each letter that is set apart from the one before as words are on this page.
pub(crate) fn restore(page: &mut PageText) {
    let mut gaps: Vec<Option<Box<Gaps>>> = vec![None; page.styles.len()];
    for_each_pair(page, |pair, style| {
        let gaps = gaps[usize::from(pair.style)].get_or_insert_default();
        if !pair.behind_mark {
            gaps.count(pair.gap / style.size, pair.space);
        }
    });
    let usual: Vec<Option<(f32, f32)>> = gaps.iter().map(|gaps| gaps.as_deref().and_then(Gaps::usual)).collect();
    let mut found: Vec<usize> = Vec::new();
    // The gaps of the word that is gone through, and those in it that may be spaces.
    let (mut word, mut wide): (Vec<f32>, Vec<(usize, f32)>) = (Vec::new(), Vec::new());
    let mut last = usize::MAX;
    let mut close = |word: &mut Vec<f32>, wide: &mut Vec<(usize, f32)>| {
        if !wide.is_empty() && word.len() > 2 * wide.len() {
            word.sort_by(f32::total_cmp);
            let middle = word[word.len() / 2].max(0.0);
            found.extend(wide.iter().filter(|(_, gap)| *gap > STANDS_OUT * middle).map(|(at, _)| *at));
        }
        word.clear();
        wide.clear();
    };
    for_each_pair(page, |pair, style| {
        if pair.space || pair.at != last.wrapping_add(1) {
            close(&mut word, &mut wide);
        }
        last = pair.at;
        let Some((inside, space)) = usual[usize::from(pair.style)].filter(|_| !pair.space) else { return };
        let gap = pair.gap / style.size;
        let share = if pair.before_capital { SHARE_BEFORE_CAPITAL } else { SHARE };
        word.push(gap);
        if gap >= LEAST && gap >= inside + share * (space - inside) {
            wide.push((pair.at, gap));
        }
    });
    close(&mut word, &mut wide);
    for at in found {
        page.glyphs[at].put_after_space();
    }
}

/// Two letters that follow each other on one line, in one style; the first may be a mark that ends a clause.
struct Pair {
    /// Index of the second.
    at: usize,
    style: u16,
    /// Points between them.
    gap: f32,
    /// A space stands between them.
    space: bool,
    /// A small letter, then a capital.
    before_capital: bool,
    /// The first is a mark.
    behind_mark: bool,
}

fn for_each_pair(page: &PageText, mut visit: impl FnMut(Pair, &Style)) {
    for (n, run) in page.runs.iter().enumerate() {
        let end = page.runs.get(n + 1).map_or(page.glyphs.len(), |next| next.start as usize);
        let style = &page.styles[usize::from(run.style)];
        if style.fixed_pitch || style.size <= 0.0 {
            continue;
        }
        let frame = |at: usize| {
            let glyph = page.glyphs[at];
            run.direction.frame([glyph.x0, glyph.y0, glyph.x1, glyph.y1], page.width, page.height)
        };
        for at in run.start as usize + 1..end {
            let (a, b) = (page.glyphs[at - 1].character(), page.glyphs[at].character());
            let behind_mark = matches!(a, ',' | ';' | ':' | '.' | ')');
            if !(behind_mark || is_spaced_letter(a)) || !is_spaced_letter(b) {
                continue;
            }
            let gap = frame(at)[0] - frame(at - 1)[2];
            // Further back is another line, further on another column.
            if (-0.5 * style.size..style.size).contains(&gap) {
                let before_capital = a.is_lowercase() && b.is_uppercase();
                let space = page.glyphs[at].after_space();
                visit(Pair { at, style: run.style, gap, space, before_capital, behind_mark }, style);
            }
        }
    }
}

/// Letters of scripts that are written from left to right with spaces between words, each standing by itself.
fn is_spaced_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || (!c.is_ascii() && c.is_alphabetic() && !is_unspaced(c) && !is_rtl(c) && !is_mark(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Direction, Glyph, Run};

    /// A line of letters, each 5 points wide with this gap behind it; `_` is a gap without a space, a space one with it.
    fn page(text: &str, letter_gap: f32, space_gap: f32, wide_gap: f32) -> PageText {
        let style = Style { size: 10.0, bold: false, fixed_pitch: false, ascent: 0.8, descent: 0.2 };
        let (mut glyphs, mut x, mut space) = (Vec::new(), 50.0, false);
        for c in text.chars() {
            match c {
                ' ' => (x, space) = (x + space_gap - letter_gap, true),
                '_' => x += wide_gap - letter_gap,
                c => {
                    glyphs.push(Glyph::new(c, std::mem::take(&mut space), [x, 100.0, x + 5.0, 107.0]));
                    x += 5.0 + letter_gap;
                }
            }
        }
        let run = Run { start: 0, style: 0, direction: Direction::Right, baseline: 107.0 };
        PageText { width: 2000.0, height: 800.0, glyphs, runs: vec![run], styles: vec![style], ..PageText::default() }
    }

    fn restored(text: &str, letter_gap: f32, space_gap: f32, wide_gap: f32) -> String {
        let mut page = page(text, letter_gap, space_gap, wide_gap);
        restore(&mut page);
        let mut out = String::new();
        for glyph in &page.glyphs {
            out.extend(glyph.after_space().then_some(' '));
            out.push(glyph.character());
        }
        out
    }

    const WORDS: &str = "the plan sets the goals and the objectives of the whole department in all of its many parts";

    #[test]
    fn a_gap_as_wide_as_a_space_is_one() {
        let text = format!("{WORDS} for_Fiscal year,_next after the U.S. one");
        assert_eq!(restored(&text, 0.5, 2.5, 2.1), text.replace('_', " "));
    }

    #[test]
    fn gaps_in_words_stay() {
        let text = format!("{WORDS} for_ward inter_Net");
        assert_eq!(restored(&text, 0.5, 2.5, 1.1), text.replace('_', ""), "kerning");
        let spread = format!("{WORDS} s_p_r_e_a_d");
        assert_eq!(restored(&spread, 0.5, 2.5, 2.4), spread.replace('_', ""), "letters set apart");
        let few = "a few words for_Fiscal";
        assert_eq!(restored(few, 0.5, 2.5, 2.1), few.replace('_', ""), "too little to tell");
    }

    #[test]
    fn digits_and_scripts_without_spaces_stay() {
        let text = format!("{WORDS} 1_1 漢_字");
        assert_eq!(restored(&text, 0.5, 2.5, 2.4), text.replace('_', ""));
    }
}
