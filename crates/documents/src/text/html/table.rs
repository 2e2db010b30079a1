//! Tables: rows of cells, or a means of layout.

use html5ever::{LocalName, local_name};

use super::elements::heading_level;

/// The open tables, outermost first.
#[derive(Default)]
pub(super) struct Tables {
    open: Vec<Table>,
}

#[derive(Default)]
struct Table {
    /// Cells hold blocks, so that the table is read like any other part of the page.
    layout: bool,
    in_caption: bool,
    /// A row was written and the next cell begins another.
    row_ended: bool,
    /// Whether a cell was written.
    begun: bool,
    /// Cells of the row so far, the current one included.
    cells: usize,
    /// Separators written in the row so far.
    separators: usize,
    /// Text of the current cell was written.
    cell_begun: bool,
    /// Paragraphs of the current cell so far.
    paragraphs: usize,
}

/// What stands between the cells of a row.
const SEPARATOR: &str = " | ";

/// Separators for empty cells that are written at once at the most.
const MAX_SEPARATORS: usize = 64;

impl Tables {
    /// A table begins. One around it is a means of layout.
    pub(super) fn open(&mut self, layout: bool) {
        if let Some(outer) = self.open.last_mut() {
            outer.layout = true;
        }
        self.open.push(Table { layout, ..Table::default() });
    }

    /// The innermost table ends.
    pub(super) fn close(&mut self) {
        self.open.pop();
    }

    /// A row begins.
    pub(super) fn row(&mut self) {
        if let Some(table) = self.open.last_mut() {
            table.row_ended = table.begun;
            table.cells = 0;
            table.separators = 0;
            table.cell_begun = false;
        }
    }

    /// A cell begins.
    pub(super) fn cell(&mut self) {
        if let Some(table) = self.open.last_mut() {
            table.cells += 1;
            table.cell_begun = false;
            table.paragraphs = 0;
        }
    }

    /// The caption begins or ends.
    pub(super) fn caption(&mut self, begins: bool) {
        if let Some(table) = self.open.last_mut() {
            table.in_caption = begins;
        }
    }

    fn grid(&mut self) -> Option<&mut Table> {
        self.open.last_mut().filter(|table| !table.layout && !table.in_caption)
    }

    /// Whether text here belongs to a cell.
    pub(super) fn in_grid(&self) -> bool {
        self.open.last().is_some_and(|table| !table.layout && !table.in_caption)
    }

    /// Whether the cell of this text has not been begun.
    pub(super) fn needs_cell(&self) -> bool {
        self.in_grid() && self.open.last().is_some_and(|table| !table.cell_begun)
    }

    /// Begins the cell of this text; what stands before it. None outside cells.
    pub(super) fn begin_cell(&mut self) -> Option<String> {
        let table = self.grid()?;
        let mut before = String::new();
        if std::mem::take(&mut table.row_ended) {
            before.push('\n');
        }
        let missing = table.cells.saturating_sub(1).saturating_sub(table.separators);
        before.push_str(&SEPARATOR.repeat(missing.min(MAX_SEPARATORS)));
        table.separators += missing;
        table.cell_begun = true;
        table.begun = true;
        Some(before)
    }

    /// Whether a block that begins here is part of a cell's text. A heading, a list or a second paragraph makes the
    /// table a means of layout.
    pub(super) fn takes_block(&mut self, name: &LocalName) -> bool {
        let Some(table) = self.grid() else { return false };
        let is_layout = match *name {
            local_name!("p") => {
                table.paragraphs += 1;
                table.paragraphs > 1 && table.cell_begun
            }
            local_name!("ul")
            | local_name!("ol")
            | local_name!("menu")
            | local_name!("dl")
            | local_name!("pre")
            | local_name!("blockquote")
            | local_name!("article")
            | local_name!("section")
            | local_name!("main") => true,
            _ => heading_level(name).is_some(),
        };
        table.layout = is_layout;
        !is_layout
    }
}
