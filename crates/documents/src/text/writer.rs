//! Puts a document together, block by block.

use vectrion_core::{
    Error, Result,
    document::Warning,
    extraction::{Block, BlockKind, Extracted, ExtractedPage, Line},
    text::is_invisible,
};

use super::Budget;

/// Builds an [`Extracted`] whose ranges are right by construction. Invisible characters never get in.
///
/// A limit that is passed is kept until [`Self::check`] asks, so that those who write need not ask at every word.
pub(super) struct BlockWriter<'b> {
    budget: &'b Budget,
    out: Extracted,
    open: Option<OpenBlock>,
    /// White space was read and stands between two words once the second comes.
    space: bool,
    /// Start of the current page in the text.
    page_start: usize,
    chars: usize,
    hidden_chars: usize,
    tag_chars: usize,
}

struct OpenBlock {
    kind: BlockKind,
    start: usize,
}

/// Fewer hidden characters than this are icons and separators, as for PDFs.
const HIDDEN_CHARS_TOLD: usize = 4;

/// Tag characters spell hidden ASCII; fewer than this many are the rest of a damaged flag emoji.
const TAG_CHARS_TOLD: usize = 8;

impl<'b> BlockWriter<'b> {
    pub(super) fn new(budget: &'b Budget) -> Self {
        Self {
            budget,
            out: Extracted::default(),
            open: None,
            space: false,
            page_start: 0,
            chars: 0,
            hidden_chars: 0,
            tag_chars: 0,
        }
    }

    /// Sets the title unless there is one.
    pub(super) fn set_title(&mut self, title: &str) {
        let title: Vec<&str> = title.split_whitespace().collect();
        let title: String = title.join(" ").chars().filter(|c| !is_invisible(*c)).take(500).collect();
        if self.out.title.is_none() && !title.is_empty() {
            self.out.title = Some(title);
        }
    }

    /// Begins a block; one that is open ends.
    pub(super) fn start(&mut self, kind: BlockKind) {
        self.finish_block();
        let separator = match (self.out.blocks.last().map(|block| block.kind), kind) {
            (None, _) => "",
            (Some(BlockKind::ListItem), BlockKind::ListItem) => "\n",
            _ => "\n\n",
        };
        self.out.text.push_str(separator);
        self.chars += separator.len();
        self.open = Some(OpenBlock { kind, start: self.out.text.len() });
    }

    /// The kind of the open block.
    pub(super) fn open_kind(&self) -> Option<BlockKind> {
        self.open.as_ref().map(|open| open.kind)
    }

    /// Whether the open block has no text yet, or begins a new line.
    fn at_line_start(&self) -> bool {
        let start = self.open.as_ref().map_or(0, |open| open.start);
        self.out.text.len() == start || self.out.text.ends_with('\n')
    }

    /// Adds running text to the open block: any white space is one space between words.
    pub(super) fn push_words(&mut self, text: &str) {
        debug_assert!(self.open.is_some(), "text outside a block");
        for c in text.chars() {
            if is_space(c) {
                self.space = true;
            } else if self.is_visible(c) {
                if std::mem::take(&mut self.space) && !self.at_line_start() {
                    self.put(' ');
                }
                self.put(c);
            }
        }
    }

    /// Adds preformatted text to the open block: white space is kept.
    pub(super) fn push_preformatted(&mut self, text: &str) {
        debug_assert!(self.open.is_some(), "text outside a block");
        self.space = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\r' if chars.peek() == Some(&'\n') => {}
                '\r' => self.put('\n'),
                '\u{a0}' | '\u{202f}' => self.put(' '),
                c if self.is_visible(c) => self.put(c),
                _ => {}
            }
        }
    }

    /// Lets a space stand before the next word.
    pub(super) fn space(&mut self) {
        self.space = true;
    }

    /// Ends the line in the open block.
    pub(super) fn end_line(&mut self) {
        self.space = false;
        if !self.at_line_start() {
            self.put('\n');
        }
    }

    /// Ends the open block; one without a visible character leaves no trace.
    pub(super) fn finish_block(&mut self) {
        self.space = false;
        let Some(OpenBlock { kind, start }) = self.open.take() else { return };
        let block = &self.out.text[start..];
        let end = start + block.trim_end().len();
        // Preformatted text keeps its first indent, so only empty lines go from its front; those were never written.
        self.out.text.truncate(end);
        if end == start {
            self.out.text.truncate(self.out.blocks.last().map_or(0, |block| block.range.end));
            return;
        }
        if let BlockKind::Heading(_) = kind {
            let title = self.out.text[start..end].to_owned();
            self.set_title(&title);
        }
        let page = self.page_number();
        let range = start..end;
        self.out.blocks.push(Block { kind, range: range.clone(), lines: vec![Line { range, page, bounds: None }] });
    }

    /// Begins a new page.
    pub(super) fn new_page(&mut self) {
        self.finish_block();
        self.close_page();
    }

    /// Counts characters that were there but cannot be seen by a reader of the document.
    pub(super) fn drop_hidden(&mut self, text: &str) {
        self.hidden_chars += text.chars().filter(|c| !is_space(*c)).count();
    }

    /// Whether a limit was passed.
    pub(super) fn check(&self) -> Result<()> {
        self.budget.check_time()?;
        self.budget.check_chars(self.chars)
    }

    /// The document.
    ///
    /// # Errors
    /// A limit that was passed, or `NO_TEXT`.
    pub(super) fn finish(mut self) -> Result<Extracted> {
        self.finish_block();
        self.check()?;
        self.close_page();
        let hidden = self.hidden_chars + if self.tag_chars < TAG_CHARS_TOLD { 0 } else { self.tag_chars };
        if self.out.blocks.is_empty() {
            let message = match hidden {
                0 => "the file holds no text".to_owned(),
                _ => {
                    format!("the file holds no visible text: the {hidden} characters in it are hidden from its readers")
                }
            };
            return Err(Error::precondition("NO_TEXT", message));
        }
        if hidden >= HIDDEN_CHARS_TOLD {
            self.out.warnings.push(Warning {
                reason: "HIDDEN_TEXT_DROPPED".to_owned(),
                message: format!("{hidden} characters that a reader of the document cannot see were left out"),
            });
        }
        Ok(self.out)
    }

    fn page_number(&self) -> u32 {
        u32::try_from(self.out.pages.len() + 1).unwrap_or(u32::MAX)
    }

    fn close_page(&mut self) {
        let number = self.page_number();
        let end = self.out.text.len();
        let first = self.out.blocks.iter().rev().take_while(|block| block.range.start >= self.page_start).last();
        let start = first.map_or(end, |block| block.range.start);
        self.out.pages.push(ExtractedPage { number, width: 0.0, height: 0.0, rotation: 0, range: start..end });
        self.page_start = end;
    }

    fn is_visible(&mut self, c: char) -> bool {
        if !is_invisible(c) {
            return true;
        }
        self.tag_chars += usize::from(matches!(c, '\u{E0020}'..='\u{E007E}'));
        false
    }

    fn put(&mut self, c: char) {
        if self.chars <= self.budget.max_characters {
            self.out.text.push(c);
            self.chars += 1;
        }
    }
}

/// White space that stands for one space: all but the ideographic space, which is as wide as a character.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() && c != '\u{3000}'
}
