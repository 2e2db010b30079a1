//! Where the structure of a section lets it be cut.

use vectrion_core::extraction::BlockKind;

use super::outline::Piece;

/// A place where the structure lets text be cut: the start of what follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cut {
    pub(super) at: usize,
    pub(super) cost: f32,
    pub(super) between_blocks: bool,
}

/// What a cut costs, beside its distance from the length aimed at (as a share of that length).
pub(super) mod cost {
    pub(crate) const BLOCK: f32 = 0.0;
    pub(crate) const ITEM: f32 = 0.1;
    pub(crate) const ROW: f32 = 0.15;
    pub(crate) const SENTENCE: f32 = 0.35;
    /// Between a line that announces something and what it announces.
    pub(crate) const ANNOUNCED: f32 = 0.4;
    pub(crate) const LINE: f32 = 0.5;
}

/// The places between and inside the blocks of one section. They are looked for as far as they are asked for, and
/// forgotten behind that: a long table would otherwise have more of them than text.
pub(super) struct Cuts<'d> {
    text: &'d str,
    pieces: &'d [Piece],
    /// The piece that is looked through.
    piece: usize,
    /// Up to where it was looked through, counted from its start.
    inside: usize,
    /// In order.
    found: Vec<Cut>,
}

impl<'d> Cuts<'d> {
    pub(super) fn new(text: &'d str, pieces: &'d [Piece]) -> Self {
        Self { text, pieces, piece: 0, inside: 0, found: Vec::new() }
    }

    /// The places from one byte to another, and maybe some behind it. `from` never goes back.
    pub(super) fn between(&mut self, from: usize, to: usize) -> &[Cut] {
        let behind = self.found.partition_point(|cut| cut.at < from);
        self.found.drain(..behind);
        while self.found.last().is_none_or(|last| last.at <= to) {
            match self.look_on() {
                Some(Some(cut)) if cut.at >= from => self.found.push(cut),
                Some(_) => {}
                None => break,
            }
        }
        &self.found
    }

    /// Looks on to the next end of a line or of a piece, which may be a place; nothing at the end of the section.
    fn look_on(&mut self) -> Option<Option<Cut>> {
        let piece = self.pieces.get(self.piece)?;
        let inside = &self.text[piece.range.clone()];
        let rest = &inside[self.inside..];
        if let Some(end) = rest.find('\n') {
            let line = &rest[end + 1..];
            self.inside += end + 1;
            if piece.kind == BlockKind::Code && line.starts_with('\n') {
                return Some(None);
            }
            let is_rows = matches!(piece.kind, BlockKind::Table | BlockKind::Code);
            let cost = if is_rows { cost::ROW } else { cost::LINE };
            let at = piece.range.end - line.trim_start_matches(['\n', '\r']).len();
            return Some(Some(Cut { at, cost, between_blocks: false }));
        }
        (self.piece, self.inside) = (self.piece + 1, 0);
        let next = self.pieces.get(self.piece)?;
        let cost = match (piece.kind, next.kind) {
            // A heading stays with what follows it.
            (BlockKind::Heading(_), _) => return Some(None),
            (BlockKind::ListItem, BlockKind::ListItem) => cost::ITEM,
            _ if inside.ends_with([':', '：']) => cost::ANNOUNCED,
            _ => cost::BLOCK,
        };
        Some(Some(Cut { at: next.range.start, cost, between_blocks: true }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_asked_for_in_parts_are_those_of_the_whole() {
        let kinds =
            [BlockKind::Heading(1), BlockKind::Table, BlockKind::Code, BlockKind::ListItem, BlockKind::ListItem];
        let texts = ["Head", "a | b\nc | d\ne | f:", "x\n\n\ny\nz", "- one", "- two"];
        let (mut text, mut pieces) = (String::new(), Vec::new());
        for (kind, block) in kinds.into_iter().zip(texts) {
            let start = text.len();
            text.push_str(block);
            pieces.push(Piece { kind, range: start..text.len() });
            text.push_str("\n\n");
        }
        let all = Cuts::new(&text, &pieces).between(0, text.len()).to_vec();
        let found: Vec<&str> = all.iter().map(|cut| &text[cut.at..cut.at + 1]).collect();
        assert_eq!(found, ["c", "e", "x", "y", "z", "-", "-"]);
        assert_eq!((all[2].cost, all[6].cost), (cost::ANNOUNCED, cost::ITEM));
        for length in 0..12 {
            let mut cuts = Cuts::new(&text, &pieces);
            for from in 0..text.len() {
                let to = from + length;
                let near: Vec<Cut> = cuts.between(from, to).iter().copied().filter(|cut| cut.at <= to).collect();
                let expected: Vec<Cut> = all.iter().copied().filter(|cut| (from..=to).contains(&cut.at)).collect();
                assert_eq!(near, expected, "{from}..={to}");
            }
        }
    }
}
