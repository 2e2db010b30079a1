//! A parser of plain text.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use vectrion_core::{
    Error, Result,
    chunk::{ChunkDraft, PageBox},
    document::Warning,
    extraction::{Block, BlockKind, Extracted, ExtractedPage, Line, Rect},
    ports::{DocumentParser, Tokenizer as _, documents::ParseProgress},
};

use super::Faults;
use crate::tokenizer::WordPieces;

/// Reads UTF-8 text: form feeds part pages, empty lines part paragraphs, and every paragraph is a chunk.
#[derive(Debug, Default)]
pub struct ParagraphParser {
    /// Faults of the next calls of `parse`.
    pub faults: Faults,
    /// Joins this many paragraphs to a chunk; 0 and 1: each alone.
    pub join: std::sync::atomic::AtomicUsize,
}

#[async_trait]
impl DocumentParser for ParagraphParser {
    fn sniff(&self, head: &[u8], _filename: &str) -> Result<String> {
        if head.is_empty() {
            return Err(Error::invalid("EMPTY_FILE", "the file is empty"));
        }
        // The end of the head may stand within a character.
        let is_text = match std::str::from_utf8(head) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        };
        if !is_text || head.contains(&0) {
            return Err(Error::invalid("UNSUPPORTED_TYPE", "only plain text is supported"));
        }
        Ok("text/plain".to_owned())
    }

    async fn parse(&self, file: &Path, _media_type: &str, progress: ParseProgress<'_>) -> Result<Extracted> {
        let text = tokio::fs::read_to_string(file)
            .await
            .map_err(|error| Error::precondition("TEXT_UNREADABLE", "the text is not UTF-8").with_source(error))?;
        let total = u32::try_from(text.split('\u{c}').count()).unwrap_or(u32::MAX);
        progress(0, total);
        self.faults.strike().await?;
        let mut extracted = Extracted { text: String::new(), ..Extracted::default() };
        for (number, page) in (1_u32..).zip(text.split('\u{c}')) {
            if number > 1 {
                extracted.text.push('\n');
            }
            let start = extracted.text.len();
            add_page(&mut extracted, page, number);
            let range = start..extracted.text.len();
            extracted.pages.push(ExtractedPage { number, width: 612.0, height: 792.0, rotation: 0, range });
            progress(number, total);
        }
        extracted.title = text.lines().next().map(str::to_owned);
        if text.contains("WARN") {
            extracted.warnings.push(Warning { reason: "TEST_WARNING".to_owned(), message: "it says so".to_owned() });
        }
        Ok(extracted)
    }

    async fn chunk(&self, extracted: Arc<Extracted>) -> Result<Vec<ChunkDraft>> {
        let join = self.join.load(std::sync::atomic::Ordering::SeqCst).max(1);
        extracted.blocks.chunks(join).map(|blocks| draft(&extracted, blocks)).collect()
    }

    fn chunker_version(&self) -> &str {
        "paragraphs-1"
    }
}

fn add_page(extracted: &mut Extracted, page: &str, number: u32) {
    for paragraph in page.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        if !extracted.text.is_empty() && !extracted.text.ends_with('\n') {
            extracted.text.push('\n');
        }
        let start = extracted.text.len();
        extracted.text.push_str(paragraph);
        let range = start..extracted.text.len();
        let bounds = Some(Rect { x0: 72.0, y0: 72.0, x1: 540.0, y1: 84.0 });
        let lines = vec![Line { range: range.clone(), page: number, bounds }];
        extracted.blocks.push(Block { kind: BlockKind::Paragraph, range, lines });
    }
}

fn draft(extracted: &Extracted, blocks: &[Block]) -> Result<ChunkDraft> {
    let (first, last) = (&blocks[0], &blocks[blocks.len() - 1]);
    let text = extracted.text[first.range.start..last.range.end].to_owned();
    let chars = |byte: usize| u32::try_from(extracted.text[..byte].chars().count()).unwrap_or(u32::MAX);
    let lines = || blocks.iter().flat_map(|block| &block.lines);
    Ok(ChunkDraft {
        char_start: chars(first.range.start),
        char_end: chars(last.range.end),
        page_start: lines().map(|line| line.page).min().unwrap_or(1),
        page_end: lines().map(|line| line.page).max().unwrap_or(1),
        boxes: lines().filter_map(|line| Some(PageBox { page: line.page, rect: line.bounds? })).collect(),
        heading_path: Vec::new(),
        token_ids: WordPieces::new(usize::MAX).encode(&text)?.ids,
        text,
    })
}
