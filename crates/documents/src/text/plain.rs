//! Plain text: paragraphs between empty lines, and the structure that people give them without markup.
//!
//! Form feeds are page breaks. Lines that a program wrapped are joined; lines that an author broke are kept.

mod lines;
mod outline;

use vectrion_core::{
    Result,
    extraction::{BlockKind, Extracted},
};

use self::{
    lines::{Layout, is_cjk, layout_of, split_lines},
    outline::{Mark, heading_alone, list_mark, underlined},
};
use super::{Budget, writer::BlockWriter};

/// Pages at the most; further form feeds are ends of lines.
const MAX_PAGES: usize = 100_000;

/// Lines taken together at the most; a longer paragraph is read in parts.
const MAX_LINES: usize = 4096;

/// Reads plain text.
pub(super) fn read(text: &str, budget: &Budget) -> Result<Extracted> {
    let mut reader = Reader { writer: BlockWriter::new(budget), is_code: lines::is_source_code(text), last_mark: None };
    for (index, page) in text.trim_end().splitn(MAX_PAGES, '\u{c}').enumerate() {
        if index > 0 {
            reader.writer.new_page();
        }
        reader.read_page(page)?;
    }
    reader.writer.finish()
}

struct Reader<'b> {
    writer: BlockWriter<'b>,
    is_code: bool,
    /// The mark of the paragraph before, if it was an item of a list.
    last_mark: Option<Mark>,
}

impl Reader<'_> {
    fn read_page(&mut self, page: &str) -> Result<()> {
        let mut paragraph: Vec<&str> = Vec::new();
        let mut next: Vec<&str> = Vec::new();
        for line in split_lines(page) {
            let is_blank = line.trim().is_empty();
            if !is_blank {
                next.push(line);
            }
            if (is_blank && !next.is_empty()) || next.len() >= MAX_LINES {
                self.read_paragraph(&paragraph, next.first().copied());
                paragraph = std::mem::take(&mut next);
                self.writer.check()?;
            }
        }
        self.read_paragraph(&paragraph, next.first().copied());
        self.read_paragraph(&next, None);
        self.writer.check()
    }

    /// Reads the lines between two empty ones. `next` is the line behind the second.
    fn read_paragraph(&mut self, lines: &[&str], next: Option<&str>) {
        let last_mark = self.last_mark.take();
        let mut lines = lines;
        if self.is_code {
            return self.write_lines(BlockKind::Code, lines);
        }
        while let Some((title, level, rest)) = underlined(lines) {
            self.write_lines(BlockKind::Heading(level), &[title]);
            lines = rest;
        }
        if let &[line] = lines {
            let follows_item = matches!(last_mark, Some(Mark::Number(_)));
            if let Some(level) = heading_alone(line, next).filter(|_| !follows_item) {
                return self.write_lines(BlockKind::Heading(level), lines);
            }
        }
        match layout_of(lines) {
            Layout::Rows { by_spaces } => self.write_table(lines, by_spaces),
            _ if lines.iter().any(|line| list_mark(line).is_some()) => self.write_list(lines),
            _ if lines.iter().all(|line| line.trim_start().starts_with('>')) => {
                self.write_lines(BlockKind::Quote, lines);
            }
            Layout::Wrapped => self.write_wrapped(BlockKind::Paragraph, lines),
            Layout::Broken => self.write_lines(BlockKind::Paragraph, lines),
        }
    }

    /// Items begin at their marks; lines before the first are a paragraph.
    fn write_list(&mut self, lines: &[&str]) {
        let mut rest = lines;
        while !rest.is_empty() {
            let mark = list_mark(rest[0]);
            let end = rest[1..].iter().position(|line| list_mark(line).is_some()).map_or(rest.len(), |at| at + 1);
            let item;
            (item, rest) = rest.split_at(end);
            let kind = if mark.is_some() { BlockKind::ListItem } else { BlockKind::Paragraph };
            match layout_of(item) {
                Layout::Broken if mark.is_none() => self.write_lines(kind, item),
                _ => self.write_wrapped(kind, item),
            }
            self.last_mark = mark;
        }
    }

    fn write_wrapped(&mut self, kind: BlockKind, lines: &[&str]) {
        if lines.is_empty() {
            return;
        }
        self.writer.start(kind);
        let mut before: Option<char> = None;
        for line in lines {
            let line = line.trim();
            let joins_words = !(before.is_some_and(is_cjk) && line.chars().next().is_some_and(is_cjk));
            if joins_words {
                self.writer.space();
            }
            self.writer.push_words(line);
            before = line.chars().next_back();
        }
        self.writer.finish_block();
    }

    fn write_lines(&mut self, kind: BlockKind, lines: &[&str]) {
        if lines.is_empty() {
            return;
        }
        self.writer.start(kind);
        for line in lines {
            if kind == BlockKind::Code {
                self.writer.push_preformatted(line);
            } else {
                self.writer.push_words(line);
            }
            self.writer.end_line();
        }
        self.writer.finish_block();
    }

    fn write_table(&mut self, lines: &[&str], by_spaces: bool) {
        self.writer.start(BlockKind::Table);
        for line in lines {
            if by_spaces {
                for (index, cell) in line.trim().split("  ").filter(|cell| !cell.trim().is_empty()).enumerate() {
                    if index > 0 {
                        self.writer.push_preformatted("\t");
                    }
                    self.writer.push_words(cell.trim());
                }
            } else {
                self.writer.push_preformatted(line.trim_end());
            }
            self.writer.end_line();
        }
        self.writer.finish_block();
    }
}

#[cfg(test)]
mod tests;
