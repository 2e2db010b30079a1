//! Lines to paragraphs, items of lists, and tables.

use std::ops::Range;

use vectrion_core::extraction::BlockKind;

use super::{
    characters::is_bullet,
    line::{Ending, TextLine},
    row_text::is_marker,
};

/// Lines that belong together.
#[derive(Clone, Debug)]
pub(super) struct LineBlock {
    pub(super) kind: BlockKind,
    /// Indexes of its lines.
    pub(super) lines: Range<usize>,
}

/// Size of most of the document's letters, and whether most of them are bold or of fixed pitch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    pub(super) size: f32,
    pub(super) bold: bool,
    pub(super) fixed_pitch: bool,
}

impl Body {
    pub(super) fn of(lines: &[TextLine]) -> Self {
        let mut sizes: Vec<(i32, usize)> = Vec::new();
        let (mut all, mut bold, mut fixed) = (0, 0, 0);
        for line in lines {
            let len = line.range.len();
            let size = (line.size * 2.0).round() as i32;
            match sizes.iter_mut().find(|(known, _)| *known == size) {
                Some((_, sum)) => *sum += len,
                None => sizes.push((size, len)),
            }
            all += len;
            bold += if line.bold { len } else { 0 };
            fixed += if line.fixed_pitch { len } else { 0 };
        }
        let size = sizes.iter().max_by_key(|(_, len)| *len).map_or(10.0, |(size, _)| *size as f32 / 2.0);
        Self { size, bold: bold * 2 > all, fixed_pitch: fixed * 2 > all }
    }

    /// Whether the line looks like a heading by its letters alone.
    pub(super) fn stands_out(&self, line: &TextLine) -> bool {
        line.size >= 1.12 * self.size || (line.bold && !self.bold && line.size >= 0.9 * self.size)
    }
}

/// Groups lines.
pub(super) fn build(text: &str, lines: &[TextLine]) -> Vec<LineBlock> {
    let body = Body::of(lines);
    let mut blocks: Vec<LineBlock> = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let joins = blocks.last().is_some_and(|block| joins(text, lines, block, n, &body));
        match blocks.last_mut() {
            Some(block) if joins => block.lines.end = n + 1,
            _ => {
                let kind = if line.table.is_some() {
                    BlockKind::Table
                } else if marker_len(&text[line.range.clone()]).is_some() {
                    BlockKind::ListItem
                } else {
                    BlockKind::Paragraph
                };
                blocks.push(LineBlock { kind, lines: n..n + 1 });
            }
        }
    }
    for block in &mut blocks {
        let code = block.lines.len() >= 2 && lines[block.lines.clone()].iter().all(|line| line.fixed_pitch);
        if code && !body.fixed_pitch && block.kind == BlockKind::Paragraph {
            block.kind = BlockKind::Code;
        }
    }
    blocks
}

/// Bytes of the marker that the line begins with, if it is an item of a list.
pub(super) fn marker_len(line: &str) -> Option<usize> {
    let word = line.split(' ').next().unwrap_or_default();
    let rest = line[word.len()..].trim_start();
    let mut characters = word.chars();
    let first = characters.next()?;
    if is_bullet(first) && (!rest.is_empty() || characters.next().is_some()) {
        return Some(first.len_utf8());
    }
    let dash = matches!(word, "-" | "–" | "—" | "*" | "o");
    ((dash || is_marker(word)) && rest.chars().any(char::is_alphabetic)).then_some(word.len())
}

/// Whether the line goes on with the block, whose last line is the one before it.
fn joins(text: &str, lines: &[TextLine], block: &LineBlock, at: usize, body: &Body) -> bool {
    let (last, line) = (&lines[at - 1], &lines[at]);
    if last.table.is_some() || line.table.is_some() {
        return last.table == line.table;
    }
    let (smaller, larger) = (last.size.min(line.size), last.size.max(line.size));
    let content = &text[line.range.clone()];
    if last.direction != line.direction
        || larger > 1.08 * smaller
        || last.fixed_pitch != line.fixed_pitch
        || marker_len(content).is_some()
    {
        return false;
    }
    if last.region != line.region {
        return goes_on_elsewhere(text, last, line, body);
    }
    let step = line.baseline - last.baseline;
    let usual = if line.pitch > 0.0 { line.pitch } else { 1.25 * line.size };
    // A closer step than usual in the same block tells that the block is set closer than the region.
    let usual = if block.lines.len() > 1 && lines[at - 2].region == line.region {
        usual.min(last.baseline - lines[at - 2].baseline).max(0.8 * line.size)
    } else {
        usual
    };
    if step > 1.22 * usual + 0.4 || step < 0.0 {
        return false;
    }
    // A large heading may have words in another weight.
    if last.bold != line.bold && line.size < 1.12 * body.size {
        return false;
    }
    if body.stands_out(line) || line.fixed_pitch {
        return true;
    }
    let first = &lines[block.lines.start];
    if block.kind == BlockKind::ListItem && line.u0 < first.u0 - 0.5 * line.size {
        return false;
    }
    !begins_paragraph(lines, block, at)
}

/// Whether a paragraph that reached the end of its column or page goes on in the next.
fn goes_on_elsewhere(text: &str, last: &TextLine, line: &TextLine, body: &Body) -> bool {
    let (before, content) = (&text[last.range.clone()], &text[line.range.clone()]);
    if last.bold != line.bold || body.stands_out(last) || !content.starts_with(char::is_lowercase) {
        return false;
    }
    let full = last.u1 >= last.column.1 - 0.2 * (last.column.1 - last.column.0);
    let wide = last.u1 - last.u0 > 8.0 * last.size;
    full && wide && (last.ending == Ending::Hyphen || !before.ends_with(['.', '!', '?', ':', ';']))
}

/// Whether the line begins a paragraph though it stands no further from the line before than usual: it is indented, or
/// the line before ends early.
fn begins_paragraph(lines: &[TextLine], block: &LineBlock, at: usize) -> bool {
    let (last, line) = (&lines[at - 1], &lines[at]);
    let next = lines.get(at + 1).filter(|next| next.region == line.region && next.table.is_none());
    let size = line.size;
    if line.rtl {
        return last.u0 - line.first_word - size > line.u0.min(next.map_or(line.u0, |next| next.u0)) + 2.0 * size;
    }
    let indent = line.u0 - last.u0;
    if block.kind != BlockKind::ListItem
        && (0.8 * size..6.0 * size).contains(&indent)
        && (last.u0 - line.column.0).abs() < 0.6 * size
        && next.is_none_or(|next| next.u0 < line.u0 - 0.5 * size)
        && (block.lines.len() > 1 || next.is_some())
    {
        return true;
    }
    // Its first word would have fitted into the line before: the line was broken on purpose.
    let right =
        lines[block.lines.start..at].iter().chain([line]).chain(next).map(|line| line.u1).fold(f32::MIN, f32::max);
    last.u1 + line.first_word + 0.3 * size < right - 0.8 * size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_told_from_sentences() {
        assert_eq!(marker_len("• first"), Some(3));
        assert_eq!(marker_len("•first"), Some(3));
        assert_eq!(marker_len("1. First"), Some(2));
        assert_eq!(marker_len("(b) second"), Some(3));
        assert_eq!(marker_len("- third"), Some(1));
        for line in ["A sentence.", "1. 2", "-", "•", "2021. Then"] {
            assert_eq!(marker_len(line), None, "{line}");
        }
    }
}
