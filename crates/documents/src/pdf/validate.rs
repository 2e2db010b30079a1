//! Checks of what a child answers: a file may have taken it over.

use std::ops::Range;

use vectrion_core::extraction::{Extracted, Rect};

use super::settings::PdfSettings;

/// Whether the answer keeps the promises of [`Extracted`], so that nothing that reads it later can trip over it.
pub(super) fn is_sound(extracted: &Extracted, settings: &PdfSettings) -> bool {
    let text = extracted.text.as_str();
    let within = |range: &Range<usize>, outer: &Range<usize>| {
        range.start <= range.end
            && outer.start <= range.start
            && range.end <= outer.end
            && text.is_char_boundary(range.start)
            && text.is_char_boundary(range.end)
    };
    let all = 0..text.len();
    let pages = extracted.pages.len();
    if pages > settings.max_pages as usize || extracted.warnings.len() > 64 {
        return false;
    }
    let mut end = 0;
    for (n, page) in extracted.pages.iter().enumerate() {
        let sizes = [page.width, page.height].iter().all(|size| size.is_finite() && *size >= 0.0);
        if !sizes
            || page.number as usize != n + 1
            || !matches!(page.rotation, 0 | 90 | 180 | 270)
            || !within(&page.range, &all)
            || page.range.start < end
        {
            return false;
        }
        end = page.range.end;
    }
    let mut end = 0;
    for block in &extracted.blocks {
        if !within(&block.range, &all) || block.range.start < end {
            return false;
        }
        end = block.range.end;
        let mut line_end = block.range.start;
        for line in &block.lines {
            let placed = line.bounds.is_none_or(is_finite) && (1..=pages).contains(&(line.page as usize));
            if !placed || !within(&line.range, &block.range) || line.range.start < line_end {
                return false;
            }
            line_end = line.range.end;
        }
    }
    true
}

fn is_finite(rect: Rect) -> bool {
    [rect.x0, rect.y0, rect.x1, rect.y1].iter().all(|side| side.is_finite()) && rect.x0 <= rect.x1 && rect.y0 <= rect.y1
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vectrion_core::extraction::{Block, BlockKind, ExtractedPage, Line};

    use super::*;

    fn sound() -> Extracted {
        Extracted {
            title: None,
            text: "één\ntwo".into(),
            pages: vec![ExtractedPage { number: 1, width: 10.0, height: 10.0, rotation: 0, range: 0..9 }],
            blocks: vec![Block {
                kind: BlockKind::Paragraph,
                range: 0..5,
                lines: vec![Line { range: 0..5, page: 1, bounds: Some(Rect { x0: 0.0, y0: 0.0, x1: 1.0, y1: 1.0 }) }],
            }],
            warnings: Vec::new(),
        }
    }

    fn check(change: impl FnOnce(&mut Extracted)) -> bool {
        let mut extracted = sound();
        change(&mut extracted);
        is_sound(&extracted, &PdfSettings::new(Path::new("/")))
    }

    #[test]
    fn a_sound_answer_passes() {
        assert!(check(|_| {}));
    }

    #[test]
    fn ranges_that_a_reader_would_trip_over_do_not_pass() {
        assert!(!check(|e| e.blocks[0].range.end = 100));
        assert!(!check(|e| e.blocks[0].range = 1..5), "inside a character");
        assert!(!check(|e| e.blocks[0].lines[0].range = 0..6), "beyond its block");
        assert!(!check(|e| e.blocks.push(e.blocks[0].clone())), "overlapping");
        assert!(!check(|e| e.pages[0].range.end = 100));
    }

    #[test]
    fn positions_that_are_no_positions_do_not_pass() {
        assert!(!check(|e| e.blocks[0].lines[0].page = 2));
        assert!(!check(|e| e.blocks[0].lines[0].bounds.as_mut().unwrap().x1 = f32::NAN));
        assert!(!check(|e| e.pages[0].rotation = 45));
    }
}
