//! Where a chunk stands: characters, pages, boxes.

use std::ops::Range;

use vectrion_core::{
    chunk::PageBox,
    extraction::{Extracted, Line, Rect},
};

/// Place of a chunk.
pub(super) struct Place {
    pub(super) char_start: u32,
    pub(super) char_end: u32,
    pub(super) page_start: u32,
    pub(super) page_end: u32,
    pub(super) boxes: Vec<PageBox>,
}

/// Finds the places of ranges whose starts rise.
pub(super) struct Places<'e> {
    extracted: &'e Extracted,
    /// A byte of the text and the number of characters before it.
    counted: (usize, usize),
}

impl<'e> Places<'e> {
    pub(super) fn new(extracted: &'e Extracted) -> Self {
        Self { extracted, counted: (0, 0) }
    }

    pub(super) fn find(&mut self, range: &Range<usize>) -> Place {
        let text = self.extracted.text.as_str();
        let (byte, chars) = if self.counted.0 <= range.start { self.counted } else { (0, 0) };
        let start = chars + text[byte..range.start].chars().count();
        self.counted = (range.start, start);
        let end = start + text[range.clone()].chars().count();
        let mut boxes: Vec<PageBox> = Vec::new();
        let mut pages: Option<(u32, u32)> = None;
        for (first_of_block, line) in self.lines_in(range) {
            let (low, high) = pages.get_or_insert((line.page, line.page));
            (*low, *high) = ((*low).min(line.page), (*high).max(line.page));
            let Some(rect) = line.bounds else { continue };
            let page = line.page;
            match boxes.last_mut() {
                Some(last) if !first_of_block && last.page == page && follows(last.rect, rect) => {
                    last.rect = last.rect.union(rect);
                }
                _ => boxes.push(PageBox { page, rect }),
            }
        }
        let (page_start, page_end) = pages.unwrap_or_else(|| {
            let page = self.page_at(range.start);
            (page, page.max(self.page_at(range.end)))
        });
        let count = |chars: usize| u32::try_from(chars).unwrap_or(u32::MAX);
        Place { char_start: count(start), char_end: count(end), page_start, page_end, boxes }
    }

    /// The lines that a range touches, each with whether it is the first of its block there.
    fn lines_in(&self, range: &Range<usize>) -> impl Iterator<Item = (bool, &'e Line)> {
        let (start, end) = (range.start, range.end);
        let blocks = &self.extracted.blocks;
        let from = blocks.partition_point(|block| block.range.end <= start);
        blocks[from..].iter().take_while(move |block| block.range.start < end).flat_map(move |block| {
            let from = block.lines.partition_point(|line| line.range.end <= start);
            let touched = block.lines[from..].iter().take_while(move |line| line.range.start < end);
            touched.enumerate().map(|(index, line)| (index == 0, line))
        })
    }

    fn page_at(&self, byte: usize) -> u32 {
        let pages = &self.extracted.pages;
        let index = pages.partition_point(|page| page.range.start <= byte).saturating_sub(1);
        pages.get(index).map_or(1, |page| page.number)
    }
}

/// Whether a line is the next one below in the same column.
fn follows(above: Rect, line: Rect) -> bool {
    let height = line.y1 - line.y0;
    let gap = line.y0 - above.y1;
    let shared = above.x1.min(line.x1) - above.x0.max(line.x0);
    let narrower = (above.x1 - above.x0).min(line.x1 - line.x0);
    line.y1 >= above.y1 && gap <= height * 1.5 && gap >= -height && shared >= narrower * 0.5
}

#[cfg(test)]
mod tests {
    use vectrion_core::extraction::{Block, BlockKind, ExtractedPage};

    use super::*;

    fn rect(x0: f32, y0: f32) -> Rect {
        Rect { x0, y0, x1: x0 + 100.0, y1: y0 + 10.0 }
    }

    /// A block over two columns and two pages, one word a line.
    fn two_columns() -> Extracted {
        let lines = [(1, rect(50.0, 700.0)), (1, rect(50.0, 712.0)), (1, rect(300.0, 60.0)), (2, rect(50.0, 60.0))];
        let text = "éins zwei drei vier".to_owned();
        let ranges = [0..5, 6..10, 11..15, 16..20];
        let lines = ranges.iter().zip(lines);
        let lines =
            lines.map(|(range, (page, bounds))| Line { range: range.clone(), page, bounds: Some(bounds) }).collect();
        let page = |number, range| ExtractedPage { number, width: 600.0, height: 800.0, rotation: 0, range };
        Extracted {
            pages: vec![page(1, 0..15), page(2, 16..20)],
            blocks: vec![Block { kind: BlockKind::Paragraph, range: 0..text.len(), lines }],
            text,
            ..Extracted::default()
        }
    }

    #[test]
    fn lines_below_one_another_share_a_box() {
        let extracted = two_columns();
        let place = Places::new(&extracted).find(&(0..20));
        assert_eq!((place.char_start, place.char_end, place.page_start, place.page_end), (0, 19, 1, 2));
        let boxes: Vec<(u32, f32, f32)> = place.boxes.iter().map(|b| (b.page, b.rect.y0, b.rect.y1)).collect();
        assert_eq!(boxes, [(1, 700.0, 722.0), (1, 60.0, 70.0), (2, 60.0, 70.0)]);
    }

    #[test]
    fn a_part_has_the_boxes_of_its_lines() {
        let extracted = two_columns();
        let mut places = Places::new(&extracted);
        let place = places.find(&(6..13));
        assert_eq!((place.char_start, place.char_end), (5, 12));
        assert_eq!(place.boxes.len(), 2);
        assert_eq!((place.page_start, place.page_end), (1, 1));
        let back = places.find(&(0..5));
        assert_eq!((back.char_start, back.char_end), (0, 4), "ranges may also go back");
    }
}
