//! What a parser reads from a file: text with the position of each piece on its page.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::document::Warning;

/// A file's text in reading order.
///
/// All ranges are UTF-8 byte ranges into `text` that start and end on character boundaries. Blocks are in order, do
/// not overlap, and are separated in `text` by line ends that belong to no block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extracted {
    /// Title from the file's properties, or its first heading.
    pub title: Option<String>,
    /// All of the text.
    pub text: String,
    /// The pages, in order. Formats without pages have one.
    pub pages: Vec<ExtractedPage>,
    /// The blocks, in order.
    pub blocks: Vec<Block>,
    /// What is worth knowing, such as hidden text that was dropped.
    pub warnings: Vec<Warning>,
}

/// A page as displayed, after its rotation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExtractedPage {
    /// Counted from 1.
    pub number: u32,
    /// Points; 0 for formats without pages.
    pub width: f32,
    /// Points; 0 for formats without pages.
    pub height: f32,
    /// Clockwise degrees: 0, 90, 180 or 270.
    pub rotation: u16,
    /// The page's part of the text; empty for a page without text.
    pub range: Range<usize>,
}

/// A paragraph, heading, list item or the like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// Its part of the text.
    pub range: Range<usize>,
    /// Its lines, in order; ranges within the block's. Formats without pages have one line without a box.
    pub lines: Vec<Line>,
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// A heading; 1 is the highest level.
    Heading(u8),
    /// Running text.
    Paragraph,
    /// An item of a list.
    ListItem,
    /// Rows of a table, one a line, cells separated by tabs or ` | `.
    Table,
    /// Source code or other preformatted text.
    Code,
    /// A quotation.
    Quote,
}

/// A line of a block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its part of the text.
    pub range: Range<usize>,
    /// Page, counted from 1.
    pub page: u32,
    /// Where it stands; none for formats without pages.
    pub bounds: Option<Rect>,
}

/// A rectangle in points, origin top left, on the page as displayed (after its rotation).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rect {
    /// Left.
    pub x0: f32,
    /// Top.
    pub y0: f32,
    /// Right; not less than `x0`.
    pub x1: f32,
    /// Bottom; not less than `y0`.
    pub y1: f32,
}

impl Rect {
    /// The smallest rectangle around both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }
}
