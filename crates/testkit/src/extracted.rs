//! What every parser's output must satisfy.

use std::ops::Range;

use vectrion_core::{
    extraction::{Block, BlockKind, Extracted},
    text::is_invisible,
};

/// Checks that ranges are exact, in order and on character boundaries, that blocks hold all of the text and lines all of
/// their blocks, that pages and boxes agree, and that nothing invisible got in.
///
/// # Panics
/// With what is wrong and where.
pub fn assert_extracted(extracted: &Extracted) {
    let text = extracted.text.as_str();
    if let Some(title) = &extracted.title {
        assert!(!title.trim().is_empty(), "an empty title instead of none");
        assert!(!title.contains(|c: char| c == '\n' || is_invisible(c)), "title is one visible line: {title:?}");
    }
    if let Some((at, c)) = text.char_indices().find(|(_, c)| is_invisible(*c) || *c == '\r') {
        panic!("invisible character {c:?} at {at}: …{:?}", around(text, at));
    }
    assert_pages(extracted);
    let mut end = 0;
    for (index, block) in extracted.blocks.iter().enumerate() {
        let what = format!("block {index} ({:?})", block.kind);
        assert_range(text, &block.range, &what);
        assert!(block.range.start >= end, "{what} begins at {} before the last ended at {end}", block.range.start);
        assert_gap(text, end..block.range.start);
        assert!(!text[block.range.clone()].trim().is_empty(), "{what} at {:?} shows nothing", block.range);
        if let BlockKind::Heading(level) = block.kind {
            assert!((1..=6).contains(&level), "{what}: no such level");
        }
        assert_lines(extracted, block, &what);
        end = block.range.end;
    }
    assert_gap(text, end..text.len());
    for warning in &extracted.warnings {
        let is_reason =
            !warning.reason.is_empty() && warning.reason.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        assert!(is_reason, "{:?} is no reason", warning.reason);
        assert!(!warning.message.is_empty(), "{} has no message", warning.reason);
    }
}

fn assert_pages(extracted: &Extracted) {
    assert!(!extracted.pages.is_empty(), "no page: formats without pages have one");
    let mut end = 0;
    for (index, page) in extracted.pages.iter().enumerate() {
        assert_eq!(page.number as usize, index + 1, "pages are counted from 1");
        let what = format!("page {}", page.number);
        assert_range(&extracted.text, &page.range, &what);
        assert!(page.range.start >= end, "{what} begins at {} before the last ended at {end}", page.range.start);
        assert!(matches!(page.rotation, 0 | 90 | 180 | 270), "{what}: rotation {}", page.rotation);
        assert!(page.width.is_finite() && page.width >= 0.0, "{what}: width {}", page.width);
        assert!(page.height.is_finite() && page.height >= 0.0, "{what}: height {}", page.height);
        end = page.range.end;
    }
}

fn assert_lines(extracted: &Extracted, block: &Block, what: &str) {
    let text = extracted.text.as_str();
    assert!(!block.lines.is_empty(), "{what} has no line");
    let mut end = block.range.start;
    for line in &block.lines {
        assert_range(text, &line.range, what);
        assert!(
            line.range.start >= end && line.range.end <= block.range.end,
            "{what}: line {:?} is out of order",
            line.range
        );
        let between = &text[end..line.range.start];
        assert!(between.trim().is_empty(), "{what}: {between:?} is on no line");
        let page = extracted.pages.get((line.page as usize).wrapping_sub(1));
        let page = page.unwrap_or_else(|| panic!("{what}: line on page {}, which is not there", line.page));
        assert!(
            page.range.start <= line.range.start && line.range.end <= page.range.end,
            "{what}: line {:?} is not in page {} at {:?}",
            line.range,
            page.number,
            page.range
        );
        if let Some(bounds) = line.bounds {
            let all = [bounds.x0, bounds.y0, bounds.x1, bounds.y1];
            assert!(all.iter().all(|side| side.is_finite()), "{what}: {bounds:?}");
            assert!(bounds.x0 <= bounds.x1 && bounds.y0 <= bounds.y1, "{what}: {bounds:?} is inside out");
        }
        end = line.range.end;
    }
    let rest = &text[end..block.range.end];
    assert!(rest.trim().is_empty(), "{what}: {rest:?} is on no line");
}

fn assert_range(text: &str, range: &Range<usize>, what: &str) {
    assert!(range.start <= range.end && range.end <= text.len(), "{what}: {range:?} in {} bytes", text.len());
    for at in [range.start, range.end] {
        assert!(text.is_char_boundary(at), "{what}: {at} is inside a character");
    }
}

fn assert_gap(text: &str, gap: Range<usize>) {
    let between = &text[gap.clone()];
    assert!(between.bytes().all(|byte| byte == b'\n'), "{between:?} at {gap:?} is in no block");
}

fn around(text: &str, at: usize) -> &str {
    &text[text.floor_char_boundary(at.saturating_sub(20))..text.ceil_char_boundary((at + 20).min(text.len()))]
}
