//! Footnotes: smaller lines at the foot of a column, read after the page's text, so that a sentence that goes on in the next
//! column is not torn by them.

use super::line::TextLine;

/// Size of a footnote at the most, as a share of that of the page's text.
const SMALL: f32 = 0.93;

/// Moves footnotes behind the other lines of their page, which these are.
pub(super) fn defer(text: &str, lines: &mut [TextLine], page_height: f32) {
    let mut sizes: Vec<(f32, usize)> = Vec::new();
    for line in lines.iter() {
        match sizes.iter_mut().find(|(size, _)| (*size - line.size).abs() < 0.3) {
            Some((_, sum)) => *sum += line.range.len(),
            None => sizes.push((line.size, line.range.len())),
        }
    }
    // A page may hold more notes than text.
    let all: usize = sizes.iter().map(|(_, len)| len).sum();
    let large = sizes.into_iter().filter(|(_, len)| len * 4 >= all).max_by(|a, b| a.0.total_cmp(&b.0));
    let Some((body, _)) = large else { return };
    let mut notes = vec![false; lines.len()];
    let mut start = 0;
    for region in lines.chunk_by(|a, b| a.region == b.region) {
        let end = start + region.len();
        let small =
            |line: &&TextLine| line.size <= SMALL * body && line.table.is_none() && line.bounds.y0 > 0.4 * page_height;
        let tail = region.iter().rev().take_while(small).count();
        let first = end - tail;
        if tail > 0 && tail < region.len() && begins_note(&text[lines[first].range.clone()]) {
            notes[first..end].fill(true);
        }
        start = end;
    }
    if notes.contains(&true) {
        let mut at = 0;
        lines.sort_by_cached_key(|_| {
            at += 1;
            notes[at - 1]
        });
    }
}

/// A number or a sign, and then words.
fn begins_note(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_numeric() || matches!(c, '*' | '∗' | '†' | '‡' | '§' | '¶'));
    let mark = line.len() - rest.len();
    mark > 0 && mark <= 4 && rest.trim_start_matches([' ', '.', ')']).starts_with(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_begin_with_a_number_or_a_sign() {
        for line in ["1 See the annex.", "∗Equal contribution", "12. Ibid.", "†Now elsewhere"] {
            assert!(begins_note(line), "{line}");
        }
        for line in ["See the annex.", "12345 items", "2021", "* * *"] {
            assert!(!begins_note(line), "{line}");
        }
    }
}
