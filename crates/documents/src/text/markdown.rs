//! Markdown (CommonMark with the tables, footnotes and task lists of GitHub), with front matter.
//!
//! Its events drive the same page as HTML does, so that HTML inside Markdown hides and shows text as it does in a
//! browser.

use html5ever::{Attribute, LocalName, QualName, local_name, ns};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use vectrion_core::{Result, extraction::Extracted};

use super::{
    Budget,
    html::{Markup, page::Page},
};

/// Events between two looks at the budget.
const CHECK_EVERY: usize = 512;

/// Reads Markdown.
pub(super) fn read(text: &str, budget: &Budget) -> Result<Extracted> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let mut markup = Markup::new(Page::new(budget));
    let mut front_matter: Option<String> = None;
    for (count, event) in Parser::new_ext(text, options).enumerate() {
        if count % CHECK_EVERY == 0 {
            markup.page().check()?;
        }
        match event {
            Event::Start(Tag::MetadataBlock(_)) => front_matter = Some(String::new()),
            Event::End(TagEnd::MetadataBlock(_)) => {
                if let Some(title) = front_matter.take().as_deref().and_then(title_of) {
                    markup.page().set_title(title);
                }
            }
            Event::Text(text) if front_matter.is_some() => {
                if let Some(front_matter) = &mut front_matter {
                    front_matter.push_str(&text);
                }
            }
            Event::Html(html) => markup.feed(&html)?,
            Event::InlineHtml(html) => {
                markup.feed(&html)?;
                markup = Markup::new(markup.end());
            }
            Event::End(TagEnd::HtmlBlock) => markup = Markup::new(markup.end()),
            event => apply(markup.page(), event),
        }
    }
    markup.end().finish()
}

fn apply(page: &mut Page<'_>, event: Event<'_>) {
    match event {
        Event::Start(tag) => start(page, tag),
        Event::End(tag) => {
            if let Some(name) = element_ended(tag) {
                page.end(&name);
            }
        }
        Event::Text(text) | Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => page.text(&text),
        Event::FootnoteReference(label) => page.text(&format!("[{label}]")),
        Event::SoftBreak => page.text("\n"),
        Event::HardBreak => page.break_line(),
        Event::Rule => open(page, local_name!("hr")),
        Event::TaskListMarker(done) => page.text(if done { "[x] " } else { "[ ] " }),
        Event::Html(_) | Event::InlineHtml(_) => {}
    }
}

fn open(page: &mut Page<'_>, name: LocalName) {
    page.start(&name, &[], false);
}

fn start(page: &mut Page<'_>, tag: Tag<'_>) {
    match tag {
        Tag::Paragraph => open(page, local_name!("p")),
        Tag::Heading { level, .. } => open(page, heading(level)),
        Tag::BlockQuote(_) => open(page, local_name!("blockquote")),
        Tag::CodeBlock(_) => open(page, local_name!("pre")),
        Tag::List(None) => open(page, local_name!("ul")),
        Tag::List(Some(first)) => {
            let name = QualName::new(None, ns!(), local_name!("start"));
            let start = Attribute { name, value: first.to_string().into() };
            page.start(&local_name!("ol"), &[start], false);
        }
        Tag::Item => open(page, local_name!("li")),
        Tag::FootnoteDefinition(label) => {
            open(page, local_name!("div"));
            page.mark_next_block(format!("[{label}] "));
        }
        Tag::Table(_) => open(page, local_name!("table")),
        Tag::TableHead | Tag::TableRow => open(page, local_name!("tr")),
        Tag::TableCell => open(page, local_name!("td")),
        Tag::DefinitionList => open(page, local_name!("dl")),
        Tag::DefinitionListTitle => open(page, local_name!("dt")),
        Tag::DefinitionListDefinition => open(page, local_name!("dd")),
        Tag::HtmlBlock
        | Tag::MetadataBlock(_)
        | Tag::Emphasis
        | Tag::Strong
        | Tag::Strikethrough
        | Tag::Superscript
        | Tag::Subscript
        | Tag::Link { .. }
        | Tag::Image { .. } => {}
    }
}

fn element_ended(tag: TagEnd) -> Option<LocalName> {
    Some(match tag {
        TagEnd::Paragraph => local_name!("p"),
        TagEnd::Heading(level) => heading(level),
        TagEnd::BlockQuote(_) => local_name!("blockquote"),
        TagEnd::CodeBlock => local_name!("pre"),
        TagEnd::List(true) => local_name!("ol"),
        TagEnd::List(false) => local_name!("ul"),
        TagEnd::Item => local_name!("li"),
        TagEnd::FootnoteDefinition => local_name!("div"),
        TagEnd::Table => local_name!("table"),
        TagEnd::TableHead | TagEnd::TableRow => local_name!("tr"),
        TagEnd::TableCell => local_name!("td"),
        TagEnd::DefinitionList => local_name!("dl"),
        TagEnd::DefinitionListTitle => local_name!("dt"),
        TagEnd::DefinitionListDefinition => local_name!("dd"),
        TagEnd::HtmlBlock
        | TagEnd::MetadataBlock(_)
        | TagEnd::Emphasis
        | TagEnd::Strong
        | TagEnd::Strikethrough
        | TagEnd::Superscript
        | TagEnd::Subscript
        | TagEnd::Link
        | TagEnd::Image => return None,
    })
}

fn heading(level: HeadingLevel) -> LocalName {
    match level {
        HeadingLevel::H1 => local_name!("h1"),
        HeadingLevel::H2 => local_name!("h2"),
        HeadingLevel::H3 => local_name!("h3"),
        HeadingLevel::H4 => local_name!("h4"),
        HeadingLevel::H5 => local_name!("h5"),
        HeadingLevel::H6 => local_name!("h6"),
    }
}

/// The title in front matter, as YAML (`title: …`) or TOML (`title = …`).
fn title_of(front_matter: &str) -> Option<&str> {
    front_matter.lines().find_map(|line| {
        let (key, value) = line.split_once([':', '='])?;
        let value = value.trim();
        let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        (key.trim_end() == "title").then(|| unquoted.unwrap_or(value))
    })
}

#[cfg(test)]
mod tests;
