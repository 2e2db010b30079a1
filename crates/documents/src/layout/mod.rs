//! From characters with positions to lines, columns and blocks in reading order.
//!
//! The way of a page: glyphs (in the order in which the file draws them), with the `spaces` that
//! are left but not drawn → `words` and segments of a line → regions in
//! reading order (`columns`) → rows, some of them of tables (`rows`) → lines with their text (`line`). When all
//! pages are there: repeated headers and footers go (`furniture`), lines become blocks (`blocks`), some of them headings
//! with a level (`headings`), and the text is put together (`compose`), words broken at line ends joined (`hyphens`).
//!
//! Nothing in here knows of pdfium; coordinates are points, origin top left, on the page as displayed.

mod blocks;
mod characters;
mod columns;
mod compose;
mod footnotes;
mod furniture;
mod glyph;
mod headings;
mod hyphens;
mod line;
mod row_text;
mod rows;
mod spaces;
mod title;
mod visual;
mod words;

use vectrion_core::extraction::{Extracted, ExtractedPage};

pub(crate) use characters::is_space;
pub(crate) use glyph::{Direction, Glyph, PageText, Run, Style};
pub(crate) use spaces::restore as restore_spaces;

use line::PageLines;

/// A chapter or section as the file's outline names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutlineEntry {
    pub(crate) title: String,
    /// Counted from 1.
    pub(crate) page: Option<u32>,
    /// 1 at the top.
    pub(crate) level: u8,
}

/// A document whose pages come one by one.
#[derive(Default)]
pub(crate) struct DocumentLayout {
    pages: Vec<ExtractedPage>,
    lines: PageLines,
    scratch: words::Scratch,
}

impl DocumentLayout {
    /// Adds the next page.
    pub(crate) fn add(&mut self, page: &PageText) {
        let number = u32::try_from(self.pages.len() + 1).unwrap_or(u32::MAX);
        self.pages.push(ExtractedPage {
            number,
            width: page.width,
            height: page.height,
            rotation: page.rotation,
            range: 0..0,
        });
        self.lines.add(number, page, &mut self.scratch);
    }

    /// Bytes of text so far.
    pub(crate) fn text_len(&self) -> usize {
        self.lines.text.len()
    }

    /// The document. `title` is the one in the file's properties.
    pub(crate) fn finish(self, title: &str, outline: &[OutlineEntry]) -> Extracted {
        let Self { pages, lines, .. } = self;
        let PageLines { text, mut lines, .. } = lines;
        furniture::remove(&text, &mut lines, &pages);
        let mut blocks = blocks::build(&text, &lines);
        headings::mark(&text, &lines, &mut blocks, outline);
        let mut extracted = compose::compose(&text, &lines, &blocks, pages);
        extracted.title = title::choose(title, &extracted);
        extracted
    }
}
