//! HTML.
//!
//! html5ever splits the page into tags and text; [`page`] follows them without building a tree. (A tree builder's cost is
//! quadratic in the depth of nesting, and re-opened formatting makes trees far larger than their source.)

mod elements;
pub(super) mod page;
mod sheet;
mod stack;
mod style;
mod table;

use std::cell::RefCell;

use html5ever::{
    buffer_queue::BufferQueue,
    tendril::StrTendril,
    tokenizer::{
        EndTag, StartTag, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
        states::{Rawtext, Rcdata, ScriptData},
    },
};
use vectrion_core::{Result, extraction::Extracted};

use self::page::{Content, Page};
use super::Budget;

/// Bytes handed to the tokenizer between two looks at the budget.
const SLICE: usize = 4096;

/// Reads a page.
pub(super) fn read(text: &str, budget: &Budget) -> Result<Extracted> {
    let mut markup = Markup::new(Page::new(budget));
    markup.feed(text)?;
    markup.end().finish()
}

/// Feeds HTML to a page, in one piece or in several.
pub(super) struct Markup<'b> {
    tokenizer: Tokenizer<Sink<'b>>,
}

struct Sink<'b> {
    page: RefCell<Page<'b>>,
}

impl<'b> Markup<'b> {
    pub(super) fn new(page: Page<'b>) -> Self {
        Self { tokenizer: Tokenizer::new(Sink { page: RefCell::new(page) }, TokenizerOpts::default()) }
    }

    /// The page, to be driven by something else than HTML for a while.
    pub(super) fn page(&mut self) -> &mut Page<'b> {
        self.tokenizer.sink.page.get_mut()
    }

    /// Reads on.
    pub(super) fn feed(&mut self, text: &str) -> Result<()> {
        let queue = BufferQueue::default();
        let mut rest = text;
        while !rest.is_empty() {
            let slice;
            (slice, rest) = rest.split_at(rest.floor_char_boundary(SLICE.min(rest.len())));
            queue.push_back(StrTendril::from_slice(slice));
            // The tokenizer stops early only for scripts and encodings, which the sink never mentions.
            let _ = self.tokenizer.feed(&queue);
            self.page().check()?;
        }
        Ok(())
    }

    /// Ends the piece of HTML: a tag or comment that it left open is given up.
    pub(super) fn end(self) -> Page<'b> {
        self.tokenizer.end();
        self.tokenizer.sink.page.into_inner()
    }
}

impl TokenSink for Sink<'_> {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut page = self.page.borrow_mut();
        match token {
            Token::TagToken(tag) if tag.kind == StartTag => {
                return match page.start(&tag.name, &tag.attrs, tag.self_closing) {
                    Content::Markup => TokenSinkResult::Continue,
                    Content::Text => TokenSinkResult::RawData(Rcdata),
                    Content::Raw => TokenSinkResult::RawData(Rawtext),
                    Content::Script => TokenSinkResult::RawData(ScriptData),
                    Content::Rest => TokenSinkResult::Plaintext,
                };
            }
            Token::TagToken(tag) if tag.kind == EndTag => page.end(&tag.name),
            Token::CharacterTokens(text) => page.text(&text),
            _ => {}
        }
        TokenSinkResult::Continue
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.page.borrow().in_foreign()
    }
}

#[cfg(test)]
mod tests;
