//! Headings: by size, weight, capitals and numbering, and by what the file's outline names.

use std::collections::HashMap;

use vectrion_core::extraction::BlockKind;

use super::{
    OutlineEntry,
    blocks::{Body, LineBlock},
    line::TextLine,
};

/// Lines of a heading at the most.
const LINES: usize = 4;
/// Bytes of a heading at the most.
const BYTES: usize = 240;
/// Levels of headings.
const LEVELS: u8 = 6;

/// How a heading is set: what is compared to tell higher from lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Rank {
    /// Half points, negated: larger ones come first.
    size: i32,
    plain: bool,
    small_letters: bool,
    /// Numbers before the heading: 2 for `1.3`.
    depth: u8,
}

/// Marks blocks as headings.
pub(super) fn mark(text: &str, lines: &[TextLine], blocks: &mut [LineBlock], outline: &[OutlineEntry]) {
    let body = Body::of(lines);
    let named = Named::new(outline);
    let mut found: Vec<(usize, Rank, Option<u8>)> = Vec::new();
    for (n, block) in blocks.iter().enumerate() {
        if !matches!(block.kind, BlockKind::Paragraph | BlockKind::ListItem)
            || block.lines.len() > LINES
            || lines[block.lines.clone()].iter().any(|line| line.rtl != lines[block.lines.start].rtl)
        {
            continue;
        }
        let content = join(text, &lines[block.lines.clone()]);
        let first = &lines[block.lines.start];
        let level = named.level(&content, first.page);
        if level.is_some() || looks_like_heading(&content, &lines[block.lines.clone()], block.kind, &body) {
            found.push((n, rank(&content, first), level));
        }
    }
    // A heading leads to something: bold lines one after the other to the end are not headings but bold text.
    let mut ranks: Vec<Rank> = found.iter().map(|(_, rank, _)| *rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let mut named_levels: HashMap<Rank, u8> = HashMap::new();
    for (_, rank, level) in &found {
        if let Some(level) = level {
            let entry = named_levels.entry(*rank).or_insert(*level);
            *entry = (*entry).min(*level);
        }
    }
    for (n, rank, level) in found {
        let by_rank = ranks.binary_search(&rank).unwrap_or(0) + 1;
        let by_rank = u8::try_from(by_rank).unwrap_or(LEVELS);
        let level = level.or_else(|| named_levels.get(&rank).copied()).unwrap_or(by_rank);
        blocks[n].kind = BlockKind::Heading(level.clamp(1, LEVELS));
    }
}

fn join(text: &str, lines: &[TextLine]) -> String {
    lines.iter().map(|line| &text[line.range.clone()]).collect::<Vec<_>>().join(" ")
}

fn rank(content: &str, line: &TextLine) -> Rank {
    Rank {
        size: -((line.size * 2.0).round() as i32),
        plain: !line.bold,
        small_letters: !is_capitals(content),
        depth: numbering(content),
    }
}

fn looks_like_heading(content: &str, lines: &[TextLine], kind: BlockKind, body: &Body) -> bool {
    let letters = content.chars().filter(|c| c.is_alphabetic()).count();
    let digits = content.chars().filter(|c| c.is_numeric()).count();
    if content.len() > BYTES || letters < 2 || digits > letters {
        return false;
    }
    let first = &lines[0];
    let sentence = content.ends_with(['.', ',', ';']) && !content.ends_with("...");
    let larger = first.size >= 1.12 * body.size;
    if larger {
        return kind == BlockKind::Paragraph || numbering(content) > 0;
    }
    if sentence || first.size < 0.9 * body.size || content.len() > BYTES / 2 || lines.len() > 2 {
        return false;
    }
    let bold = !body.bold && lines.iter().all(|line| line.bold);
    let numbered = numbering(content) > 0;
    if kind == BlockKind::ListItem && !(numbered && bold) {
        return false;
    }
    bold || (is_capitals(content) && letters >= 4 && content.split(' ').count() >= 2)
}

fn is_capitals(content: &str) -> bool {
    let mut letters = content.chars().filter(|c| c.is_alphabetic()).peekable();
    letters.peek().is_some() && letters.all(char::is_uppercase)
}

/// How many numbers stand before the heading: 0 for `Results`, 1 for `3 Results`, 2 for `3.1 Setup`.
fn numbering(content: &str) -> u8 {
    let word = content.split(' ').next().unwrap_or_default();
    if word.len() == content.len() {
        return 0;
    }
    let inner = word.trim_end_matches(['.', ')']);
    let parts: Vec<&str> = inner.split('.').collect();
    let number = |part: &str| {
        !part.is_empty()
            && part.len() <= 3
            && (part.chars().all(|c| c.is_ascii_digit()) || part.chars().all(|c| matches!(c, 'I' | 'V' | 'X')))
    };
    let letter_first = parts.len() > 1 && parts[0].len() == 1 && parts[0].chars().all(char::is_uppercase);
    let numbered = parts.iter().skip(usize::from(letter_first)).all(|part| number(part));
    if numbered { u8::try_from(parts.len()).unwrap_or(LEVELS) } else { 0 }
}

/// The titles that the file's outline names, by what is left of them without spaces and signs.
struct Named(HashMap<String, Vec<(Option<u32>, u8)>>);

impl Named {
    fn new(outline: &[OutlineEntry]) -> Self {
        let mut titles: HashMap<String, Vec<(Option<u32>, u8)>> = HashMap::new();
        for entry in outline {
            let key = key(&entry.title);
            if key.len() >= 3 {
                titles.entry(key).or_default().push((entry.page, entry.level));
            }
        }
        Self(titles)
    }

    /// Level of the heading, if the outline has it on this page.
    fn level(&self, content: &str, page: u32) -> Option<u8> {
        if self.0.is_empty() || content.len() > BYTES {
            return None;
        }
        let entries = self.0.get(&key(content)).or_else(|| {
            // The outline often leaves the number out, or the text does.
            let unnumbered = content.split_once(' ').filter(|_| numbering(content) > 0)?.1;
            self.0.get(&key(unnumbered))
        })?;
        let here = |(on, _): &&(Option<u32>, u8)| on.is_none_or(|on| on == page);
        entries.iter().find(here).map(|(_, level)| *level)
    }
}

fn key(title: &str) -> String {
    title.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_before_headings_are_counted() {
        assert_eq!(numbering("Results"), 0);
        assert_eq!(numbering("3 Results"), 1);
        assert_eq!(numbering("3. Results"), 1);
        assert_eq!(numbering("3.1 Setup"), 2);
        assert_eq!(numbering("A.2.1 Proofs"), 3);
        assert_eq!(numbering("IV Results"), 1);
        assert_eq!(numbering("2021"), 0);
    }

    #[test]
    fn the_outline_names_headings_of_its_page() {
        let entry = |title: &str, page, level| OutlineEntry { title: title.into(), page: Some(page), level };
        let named = Named::new(&[entry("Results", 3, 2), entry("Annex A", 9, 1)]);
        assert_eq!(named.level("3.1 Results", 3), Some(2));
        assert_eq!(named.level("results", 3), Some(2));
        assert_eq!(named.level("Results", 4), None);
        assert_eq!(named.level("Other", 3), None);
    }
}
