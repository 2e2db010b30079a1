//! The document's text, put together from its blocks.

use vectrion_core::extraction::{Block, BlockKind, Extracted, ExtractedPage, Line};

use super::{
    blocks::LineBlock,
    hyphens::{Join, Vocabulary},
    line::TextLine,
};

/// Writes the text, and says where each page, block and line of it is. The title is left open.
pub(super) fn compose(
    source: &str,
    lines: &[TextLine],
    blocks: &[LineBlock],
    mut pages: Vec<ExtractedPage>,
) -> Extracted {
    let vocabulary = Vocabulary::of(source, lines);
    let mut text = String::with_capacity(source.len() + 2 * blocks.len());
    let mut composed: Vec<Block> = Vec::with_capacity(blocks.len());
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; pages.len()];
    for block in blocks {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let start = text.len();
        let mut of_block: Vec<Line> = Vec::with_capacity(block.lines.len());
        let rows = matches!(block.kind, BlockKind::Table | BlockKind::Code);
        for (n, line) in lines[block.lines.clone()].iter().enumerate() {
            let content = &source[line.range.clone()];
            if let Some(before) = of_block.last_mut() {
                let previous = &source[lines[block.lines.start + n - 1].range.clone()];
                match if rows { None } else { Some(vocabulary.join(previous, content)) } {
                    None => text.push('\n'),
                    Some(Join::Space) => text.push(' '),
                    Some(Join::Nothing) => {}
                    Some(Join::DropHyphen) => {
                        text.pop();
                        before.range.end = text.len();
                        if let Some(Some((_, end))) = spans.get_mut(before.page as usize - 1) {
                            *end = text.len();
                        }
                    }
                }
            }
            let at = text.len();
            text.push_str(content);
            of_block.push(Line { range: at..text.len(), page: line.page, bounds: Some(line.bounds) });
            if let Some(span) = spans.get_mut(line.page as usize - 1) {
                let (start, _) = span.unwrap_or((at, at));
                *span = Some((start, text.len()));
            }
        }
        composed.push(Block { kind: block.kind, range: start..text.len(), lines: of_block });
    }
    let mut end = 0;
    for (page, span) in pages.iter_mut().zip(spans) {
        let (from, to) = span.unwrap_or((end, end));
        page.range = from..to;
        end = to;
    }
    Extracted { title: None, text, pages, blocks: composed, warnings: Vec::new() }
}
