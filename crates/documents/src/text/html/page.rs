//! A page as its reader sees it: which text is visible, and in which heading, paragraph, list or table it stands.
//!
//! Driven by start tags, end tags and text, from HTML itself or from Markdown.

use html5ever::{Attribute, LocalName, local_name};
use vectrion_core::{
    Error, Result,
    extraction::{BlockKind, Extracted},
};

use super::{
    elements::{
        breaks_out_of_foreign, heading_level, is_block, is_cell, is_formatting, is_noise, is_row_group, is_table_part,
        is_void,
    },
    sheet::Sheet,
    stack::{Open, OwnEffect, Stack},
    style::{Color, Inherited, Style},
    table::Tables,
};
use crate::text::{Budget, writer::BlockWriter};

/// What the tokenizer must know about an element that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Content {
    /// Elements and text.
    Markup,
    /// Text with character references, up to the end tag.
    Text,
    /// Text as it is, up to the end tag.
    Raw,
    /// A script, up to the end tag.
    Script,
    /// Text as it is, up to the end of the file.
    Rest,
}

/// Bytes of a page's style sheets that are read at the most.
const MAX_SHEET_BYTES: usize = 512 * 1024;

/// The state of the page.
pub(in super::super) struct Page<'b> {
    writer: BlockWriter<'b>,
    stack: Stack,
    lists: Vec<List>,
    tables: Tables,
    /// What stands before the next text of a list item.
    marker: Option<String>,
    /// The last line ended by `<br>`; a second one ends the paragraph.
    broken_line: bool,
    title: Option<String>,
    sheet: Sheet,
    sheet_text: Option<String>,
    linked_sheet: bool,
    /// The element just opened is preformatted: a line end right behind its tag is not shown.
    skip_line_end: bool,
    /// What a reader of the page does not see is left out.
    drop_hidden_text: bool,
}

/// An open list: the number of its next item, if it is numbered.
struct List {
    next: Option<u64>,
}

impl<'b> Page<'b> {
    pub(in super::super) fn new(budget: &'b Budget) -> Self {
        Self {
            writer: BlockWriter::new(budget),
            stack: Stack::default(),
            lists: Vec::new(),
            tables: Tables::default(),
            marker: None,
            broken_line: false,
            title: None,
            sheet: Sheet::default(),
            sheet_text: None,
            linked_sheet: false,
            skip_line_end: false,
            drop_hidden_text: budget.drop_hidden_text,
        }
    }

    /// Whether a limit was passed.
    pub(in super::super) fn check(&self) -> Result<()> {
        if self.stack.is_too_deep() {
            return Err(Error::precondition(
                "EXTRACTION_LIMIT",
                "the page has more elements inside one another than can be read: simplify it",
            ));
        }
        self.writer.check()
    }

    /// The document.
    pub(in super::super) fn finish(mut self) -> Result<Extracted> {
        self.check()?;
        self.end_title();
        self.writer.finish()
    }

    /// Sets the title unless there is one.
    pub(in super::super) fn set_title(&mut self, title: &str) {
        self.writer.set_title(title);
    }

    /// Whether the innermost open element is in `<svg>` or `<math>`, where the rules of XML hold.
    pub(super) fn in_foreign(&self) -> bool {
        self.stack.in_foreign()
    }

    /// A start tag.
    pub(in super::super) fn start(
        &mut self,
        name: &LocalName,
        attributes: &[Attribute],
        self_closing: bool,
    ) -> Content {
        self.skip_line_end = false;
        if self.stack.in_foreign() {
            if !breaks_out_of_foreign(name) {
                if !self_closing {
                    self.push(name, attributes);
                }
                return Content::Markup;
            }
            while self.stack.in_foreign() {
                let closed = self.stack.close_foreign();
                self.leave(closed);
            }
        }
        let is_root = matches!(*name, local_name!("html") | local_name!("head") | local_name!("body"));
        if is_root && (self.stack.has(&local_name!("body")) || self.stack.has(name)) {
            return Content::Markup;
        }
        if self.starts_body(name) {
            let closed = self.stack.close_in(|open| *open == local_name!("head"), |_| false);
            self.leave(closed);
        }
        self.close_implied(name);
        self.enter(name, attributes);
        let foreign_void = self_closing && matches!(*name, local_name!("svg") | local_name!("math"));
        if is_void(name) || foreign_void {
            return Content::Markup;
        }
        self.push(name, attributes);
        match *name {
            local_name!("title") | local_name!("textarea") => Content::Text,
            local_name!("style")
            | local_name!("xmp")
            | local_name!("iframe")
            | local_name!("noembed")
            | local_name!("noframes")
            | local_name!("noscript") => Content::Raw,
            local_name!("script") => Content::Script,
            local_name!("plaintext") => Content::Rest,
            _ => Content::Markup,
        }
    }

    /// An end tag.
    pub(in super::super) fn end(&mut self, name: &LocalName) {
        self.skip_line_end = false;
        let closed = match *name {
            local_name!("br") => {
                self.break_line();
                return;
            }
            local_name!("body") | local_name!("html") => return,
            _ if is_formatting(name) => {
                self.stack.close_formatting(name);
                return;
            }
            local_name!("table") => self.stack.close_in_table(|open| *open == local_name!("table")),
            _ if is_table_part(name) => self.stack.close_in_table(|open| open == name),
            _ if is_block(name) || *name == local_name!("button") => self.stack.close_block(name),
            _ => self.stack.close_other(name),
        };
        self.leave(closed);
    }

    /// Text, with its character references resolved.
    pub(in super::super) fn text(&mut self, text: &str) {
        if let Some(title) = &mut self.title {
            if title.len() < 4096 {
                title.push_str(text);
            }
            return;
        }
        if let Some(sheet) = &mut self.sheet_text {
            if sheet.len() + text.len() <= MAX_SHEET_BYTES {
                sheet.push_str(text);
            }
            return;
        }
        if self.stack.innermost() == Some(&local_name!("head")) && !text.trim().is_empty() {
            let closed = self.stack.close_other(&local_name!("head"));
            self.leave(closed);
        }
        if self.stack.is_noise() {
            return;
        }
        let page = self.page_color();
        if self.stack.is_hidden() || self.stack.inherited().hides(page) {
            self.writer.drop_hidden(text);
            return;
        }
        let preformatted = self.is_preformatted();
        let text = if std::mem::take(&mut self.skip_line_end) {
            text.strip_prefix("\r\n").or_else(|| text.strip_prefix('\n')).unwrap_or(text)
        } else {
            text
        };
        if self.writer.open_kind().is_none() || self.tables.needs_cell() {
            let begins = if preformatted { text.trim_start_matches(['\n', '\r']) } else { text.trim_start() };
            if begins.trim_start().is_empty() {
                // White space between words whose block is open counts; white space between blocks does not.
                self.writer.space();
                return;
            }
            self.open_block(preformatted);
            self.write(begins, preformatted);
        } else {
            self.write(text, preformatted);
        }
    }

    /// Lets this stand before the next text, as a bullet does.
    pub(in super::super) fn mark_next_block(&mut self, marker: String) {
        self.marker = Some(marker);
    }

    /// Ends the line; twice in a row, the paragraph.
    pub(in super::super) fn break_line(&mut self) {
        if self.stack.is_noise() || self.stack.is_hidden() || self.writer.open_kind().is_none() {
            return;
        }
        if self.tables.in_grid() {
            self.writer.space();
        } else if self.broken_line && !self.is_preformatted() {
            self.writer.finish_block();
            self.broken_line = false;
        } else {
            self.writer.end_line();
            self.broken_line = true;
        }
    }

    fn write(&mut self, text: &str, preformatted: bool) {
        if preformatted && !self.tables.in_grid() {
            self.broken_line = false;
            self.writer.push_preformatted(text);
        } else {
            self.broken_line &= text.trim().is_empty();
            self.writer.push_words(text);
        }
    }

    /// Opens the block that text at this place belongs to.
    fn open_block(&mut self, preformatted: bool) {
        self.broken_line = false;
        if let Some(separator) = self.tables.begin_cell() {
            if self.writer.open_kind() != Some(BlockKind::Table) {
                self.writer.start(BlockKind::Table);
            }
            self.writer.push_preformatted(&separator);
            return;
        }
        let heading = self.stack.innermost_heading();
        let marker = self.marker.take();
        let kind = match (heading, &marker) {
            (Some(level), _) => BlockKind::Heading(level),
            (None, _) if preformatted => BlockKind::Code,
            (None, Some(_)) => BlockKind::ListItem,
            (None, None) if self.stack.has(&local_name!("blockquote")) => BlockKind::Quote,
            (None, None) => BlockKind::Paragraph,
        };
        self.writer.start(kind);
        if let (BlockKind::ListItem, Some(marker)) = (kind, marker) {
            self.writer.push_preformatted(&marker);
        }
    }

    fn is_preformatted(&self) -> bool {
        let names = [
            local_name!("pre"),
            local_name!("xmp"),
            local_name!("listing"),
            local_name!("plaintext"),
            local_name!("textarea"),
        ];
        names.iter().any(|name| self.stack.has(name))
    }

    /// The colour behind text that nothing else stands behind: white, unless a style sheet may say otherwise.
    fn page_color(&self) -> Color {
        if self.linked_sheet || self.sheet.colours_backgrounds() { Color::Unknown } else { Color::WHITE }
    }

    /// Whether this start tag ends the head of the page.
    fn starts_body(&self, name: &LocalName) -> bool {
        self.stack.has(&local_name!("head"))
            && !matches!(
                *name,
                local_name!("base")
                    | local_name!("basefont")
                    | local_name!("bgsound")
                    | local_name!("head")
                    | local_name!("link")
                    | local_name!("meta")
                    | local_name!("noframes")
                    | local_name!("noscript")
                    | local_name!("script")
                    | local_name!("style")
                    | local_name!("template")
                    | local_name!("title")
            )
    }

    /// Ends the elements that the start of this one ends.
    fn close_implied(&mut self, name: &LocalName) {
        if is_block(name) {
            let closed = self.stack.close_paragraph();
            self.leave(closed);
        }
        let closed = match *name {
            local_name!("li") => self.stack.close_item(|open| *open == local_name!("li")),
            local_name!("dd") | local_name!("dt") => {
                self.stack.close_item(|open| matches!(*open, local_name!("dd") | local_name!("dt")))
            }
            local_name!("a") => {
                self.stack.close_formatting(name);
                return;
            }
            local_name!("button") | local_name!("option") => self.stack.close_block(name),
            local_name!("tr") => self.stack.close_in_table(|open| *open == local_name!("tr")),
            _ if heading_level(name).is_some() => self.stack.close_current_heading(),
            _ if is_cell(name) => self.stack.close_in_table(is_cell),
            _ if is_row_group(name) => self.stack.close_in_table(is_row_group),
            local_name!("caption") | local_name!("colgroup") => self.stack.close_in_table(|open| open == name),
            _ => return,
        };
        self.leave(closed);
    }

    /// What the start of an element does to blocks, lists and tables.
    fn enter(&mut self, name: &LocalName, attributes: &[Attribute]) {
        match *name {
            local_name!("br") => self.break_line(),
            local_name!("button") => self.writer.space(),
            local_name!("link") => {
                let rel = attribute(attributes, &local_name!("rel")).unwrap_or("").to_ascii_lowercase();
                self.linked_sheet |= rel.contains("stylesheet");
            }
            local_name!("title") => self.title = Some(String::new()),
            local_name!("style") => self.sheet_text = Some(String::new()),
            local_name!("ul") | local_name!("menu") | local_name!("dir") => self.lists.push(List { next: None }),
            local_name!("ol") => {
                let start = attribute(attributes, &local_name!("start")).and_then(|start| start.trim().parse().ok());
                self.lists.push(List { next: Some(start.unwrap_or(1)) });
            }
            local_name!("table") => {
                self.writer.finish_block();
                let role = attribute(attributes, &local_name!("role")).unwrap_or("");
                self.tables.open(matches!(role, "presentation" | "none"));
            }
            local_name!("tr") => self.tables.row(),
            local_name!("caption") => self.tables.caption(true),
            _ if is_cell(name) => self.tables.cell(),
            _ => {}
        }
        if is_block(name) && *name != local_name!("table") && self.tables.takes_block(name) {
            self.writer.space();
        } else if is_block(name) || is_table_part(name) && !self.tables.in_grid() {
            self.writer.finish_block();
        }
        if *name == local_name!("li") {
            self.marker = Some(match self.lists.last_mut() {
                Some(List { next: Some(number) }) => {
                    let marker = format!("{number}. ");
                    *number = number.saturating_add(1);
                    marker
                }
                _ => "- ".to_owned(),
            });
        }
    }

    /// What the ends of elements do to blocks, lists and tables.
    fn leave(&mut self, closed: Vec<LocalName>) {
        for name in closed {
            match name {
                local_name!("title") => self.end_title(),
                local_name!("style") => {
                    if let Some(css) = self.sheet_text.take() {
                        self.sheet.add(&css);
                    }
                }
                local_name!("ul") | local_name!("ol") | local_name!("menu") | local_name!("dir") => {
                    self.lists.pop();
                }
                local_name!("li") => self.marker = None,
                local_name!("button") => self.writer.space(),
                local_name!("table") => {
                    self.tables.close();
                    self.writer.finish_block();
                    continue;
                }
                local_name!("caption") => {
                    self.tables.caption(false);
                    self.writer.finish_block();
                    continue;
                }
                _ => {}
            }
            if is_block(&name) || is_cell(&name) {
                if self.tables.in_grid() {
                    self.writer.space();
                } else {
                    self.writer.finish_block();
                }
            }
        }
    }

    fn end_title(&mut self) {
        if let Some(title) = self.title.take() {
            self.writer.set_title(&title);
        }
    }

    fn push(&mut self, name: &LocalName, attributes: &[Attribute]) {
        self.skip_line_end = matches!(*name, local_name!("pre") | local_name!("listing") | local_name!("textarea"));
        let own = self.effect(name, attributes);
        self.stack.push(Open::new(name.clone(), own));
    }

    fn effect(&self, name: &LocalName, attributes: &[Attribute]) -> OwnEffect {
        let mut noise = is_noise(name);
        // `display` overrules what is hidden by default, but not `aria-hidden`.
        let mut by_default = *name == local_name!("dialog");
        let mut hidden = *name == local_name!("template");
        let (mut style, mut id, mut classes) = (Style::default(), None, "");
        for attribute in attributes {
            let value = &*attribute.value;
            let color = || Color::parse(&value.trim().to_ascii_lowercase());
            match attribute.name.local {
                local_name!("hidden") => by_default = true,
                local_name!("open") if *name == local_name!("dialog") => by_default = false,
                local_name!("aria-hidden") => hidden |= value.trim().eq_ignore_ascii_case("true"),
                local_name!("role") => noise |= value.trim().eq_ignore_ascii_case("navigation"),
                local_name!("id") => id = Some(value),
                local_name!("class") => classes = value,
                local_name!("style") => style = Style::parse(value).or(&style),
                local_name!("color") if *name == local_name!("font") => {
                    style.inherited.color = style.inherited.color.or_else(color);
                }
                local_name!("text") if *name == local_name!("body") => {
                    style.inherited.color = style.inherited.color.or_else(color);
                }
                local_name!("bgcolor") => style.inherited.background = style.inherited.background.or_else(color),
                local_name!("background") => style.inherited.background = Some(Color::Unknown),
                _ => {}
            }
        }
        if !self.sheet.is_empty() {
            style = style.or(&self.sheet.style_of(name, id, classes));
        }
        hidden |= style.hides_all() || (by_default && style.displays() != Some(true));
        if !self.drop_hidden_text {
            // A template is a part of a program: no text that anybody hid.
            noise |= *name == local_name!("template");
            return OwnEffect { hidden: false, noise, inherited: Inherited::default() };
        }
        if matches!(*name, local_name!("html") | local_name!("body")) {
            // Pages hide all of themselves until their scripts have run; a page that stayed so would have no reader.
            return OwnEffect { hidden: false, noise, inherited: style.inherited.colors() };
        }
        OwnEffect { hidden, noise, inherited: style.inherited }
    }
}

fn attribute<'a>(attributes: &'a [Attribute], name: &LocalName) -> Option<&'a str> {
    attributes.iter().find(|attribute| attribute.name.local == *name).map(|attribute| &*attribute.value)
}
