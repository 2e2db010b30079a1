//! The sections of a document and the pieces they are made of.

use std::ops::Range;

use vectrion_core::extraction::{BlockKind, Extracted};

/// A block, without the white space around it.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) kind: BlockKind,
    pub(super) range: Range<usize>,
}

/// Headings and the text up to the next heading.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// Its pieces: indices into [`Outline::pieces`]; not empty.
    pub(super) pieces: Range<usize>,
    /// Headings above its text, outermost first, its own included.
    pub(super) path: Vec<String>,
}

impl Section {
    /// The headings that it shares with its neighbours: all but its own.
    pub(super) fn parent(&self) -> &[String] {
        &self.path[..self.path.len().saturating_sub(1)]
    }
}

/// A document by sections.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) pieces: Vec<Piece>,
    pub(super) sections: Vec<Section>,
}

/// Characters of a heading in a path at the most.
const MAX_HEADING_CHARS: usize = 200;

impl Outline {
    /// Every visible character of the text is in one piece.
    pub(super) fn of(extracted: &Extracted) -> Self {
        let mut outline = Self { pieces: pieces_of(extracted), sections: Vec::new() };
        let mut open: Vec<(u8, String)> = Vec::new();
        let mut first = 0;
        let mut has_body = false;
        for index in 0..outline.pieces.len() {
            let piece = &outline.pieces[index];
            let BlockKind::Heading(level) = piece.kind else {
                has_body = true;
                continue;
            };
            let heading = heading_text(&extracted.text[piece.range.clone()]);
            if has_body {
                outline.close(first..index, &open);
                first = index;
                has_body = false;
            }
            open.retain(|(above, _)| *above < level);
            open.push((level, heading));
        }
        if first < outline.pieces.len() {
            outline.close(first..outline.pieces.len(), &open);
        }
        outline
    }

    fn close(&mut self, pieces: Range<usize>, open: &[(u8, String)]) {
        let path = open.iter().map(|(_, heading)| heading.clone()).collect();
        self.sections.push(Section { pieces, path });
    }

    /// The text of these sections.
    pub(super) fn range(&self, sections: &[Section]) -> Range<usize> {
        match (sections.first(), sections.last()) {
            (Some(first), Some(last)) => {
                self.pieces[first.pieces.start].range.start..self.pieces[last.pieces.end - 1].range.end
            }
            _ => 0..0,
        }
    }
}

/// The blocks, and the text that is in none of them, should a parser leave any.
fn pieces_of(extracted: &Extracted) -> Vec<Piece> {
    let text = extracted.text.as_str();
    let mut pieces = Vec::with_capacity(extracted.blocks.len());
    let mut push = |kind, range: Range<usize>| {
        let inside = &text[range.clone()];
        let start = range.start + (inside.len() - inside.trim_start().len());
        let end = range.start + inside.trim_end().len();
        if start < end {
            pieces.push(Piece { kind, range: start..end });
        }
    };
    let mut end = 0;
    for block in &extracted.blocks {
        push(BlockKind::Paragraph, end..block.range.start.max(end));
        push(block.kind, block.range.start.max(end)..block.range.end.max(end));
        end = block.range.end.max(end);
    }
    push(BlockKind::Paragraph, end..text.len());
    pieces
}

fn heading_text(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().take(MAX_HEADING_CHARS).collect();
    let heading = words.join(" ");
    match heading.char_indices().nth(MAX_HEADING_CHARS) {
        Some((cut, _)) => format!("{}…", heading[..cut].trim_end()),
        None => heading,
    }
}

#[cfg(test)]
mod tests {
    use vectrion_core::extraction::Block;

    use super::*;

    fn document(blocks: &[(BlockKind, &str)]) -> Extracted {
        let mut extracted = Extracted::default();
        for (kind, text) in blocks {
            let start = extracted.text.len();
            extracted.text.push_str(text);
            let range = start..extracted.text.len();
            extracted.blocks.push(Block { kind: *kind, range, lines: Vec::new() });
            extracted.text.push_str("\n\n");
        }
        extracted
    }

    #[test]
    fn sections_know_the_headings_above_them() {
        use BlockKind::{Heading, ListItem, Paragraph};
        let extracted = document(&[
            (Paragraph, "Preface"),
            (Heading(1), "One\n  line"),
            (Heading(2), "First"),
            (Paragraph, "text"),
            (ListItem, "item"),
            (Heading(3), "Deep"),
            (Paragraph, "text"),
            (Heading(2), "Second"),
            (Paragraph, "text"),
            (Heading(1), "Two"),
        ]);
        let outline = Outline::of(&extracted);
        let paths: Vec<String> = outline.sections.iter().map(|section| section.path.join("/")).collect();
        assert_eq!(paths, ["", "One line/First", "One line/First/Deep", "One line/Second", "Two"]);
        let counts: Vec<usize> = outline.sections.iter().map(|section| section.pieces.len()).collect();
        assert_eq!(counts, [1, 4, 2, 2, 1]);
    }

    #[test]
    fn text_outside_blocks_is_not_lost() {
        let mut extracted = document(&[(BlockKind::Paragraph, "inside")]);
        extracted.text.push_str("outside");
        let outline = Outline::of(&extracted);
        let texts: Vec<&str> = outline.pieces.iter().map(|piece| &extracted.text[piece.range.clone()]).collect();
        assert_eq!(texts, ["inside", "outside"]);
    }

    #[test]
    fn long_headings_are_cut_in_the_path() {
        let extracted = document(&[(BlockKind::Heading(1), &"word ".repeat(100))]);
        let path = &Outline::of(&extracted).sections[0].path;
        assert!(path[0].ends_with('…') && path[0].chars().count() <= MAX_HEADING_CHARS + 1, "{path:?}");
    }
}
