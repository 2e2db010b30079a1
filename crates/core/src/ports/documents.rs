//! Reading files.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;

use crate::{Result, chunk::ChunkDraft, extraction::Extracted};

/// Told how far a parser has come: pages read, pages in all.
pub type ParseProgress<'a> = &'a (dyn Fn(u32, u32) + Send + Sync);

/// Turns files into text with positions, and text into chunks.
#[async_trait]
pub trait DocumentParser: Send + Sync {
    /// The media type, from the first bytes of the content (up to [`SNIFF_BYTES`]); the file name only
    /// decides between kinds of text.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with reason `UNSUPPORTED_TYPE`, naming what is supported, or `EMPTY_FILE` for no bytes.
    fn sniff(&self, head: &[u8], filename: &str) -> Result<String>;

    /// Reads a file of the type that `sniff` gave.
    ///
    /// # Errors
    /// A permanent error (`FAILED_PRECONDITION` or `INVALID_ARGUMENT`) with a reason such as `PDF_PASSWORD_REQUIRED`,
    /// `PDF_NO_TEXT`, `PDF_MALFORMED`, `NO_TEXT` (of the formats that are text), `EXTRACTION_TIMEOUT`,
    /// `EXTRACTION_CRASHED`, `EXTRACTION_LIMIT`; a transient one when the machine is at fault (no process could be
    /// started, no room, `DOCUMENT_UNREADABLE` when the file cannot be opened).
    async fn parse(&self, file: &Path, media_type: &str, progress: ParseProgress<'_>) -> Result<Extracted>;

    /// Cuts text into chunks, in order. Every visible character of the text is in at least one chunk; no chunk has
    /// more tokens than the embedding model takes.
    async fn chunk(&self, extracted: Arc<Extracted>) -> Result<Vec<ChunkDraft>>;

    /// Name and settings of the chunker; another value makes other chunks, and another index generation.
    fn chunker_version(&self) -> &str;
}

/// Bytes that `sniff` looks at.
pub const SNIFF_BYTES: usize = 4096;
