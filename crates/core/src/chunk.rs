//! Chunks: pieces of a document that are embedded, found and cited.

use serde::{Deserialize, Serialize};

use crate::{
    extraction::Rect,
    ids::{ChunkId, DocumentId, VersionId},
};

/// A rectangle on a page.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageBox {
    /// Page, counted from 1.
    pub page: u32,
    /// Where.
    #[serde(flatten)]
    pub rect: Rect,
}

/// What a chunker makes: a piece of the extracted text with its tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkDraft {
    /// Exactly `extracted.text[..]` at the chunk's range.
    pub text: String,
    /// Start in the extracted text, in Unicode scalar values.
    pub char_start: u32,
    /// End in the extracted text, exclusive, in Unicode scalar values.
    pub char_end: u32,
    /// First page, counted from 1.
    pub page_start: u32,
    /// Last page.
    pub page_end: u32,
    /// One box per line or paragraph part, in order; empty for formats without pages.
    pub boxes: Vec<PageBox>,
    /// Headings above the chunk, outermost first.
    pub heading_path: Vec<String>,
    /// The model's own tokens of `text`, without special tokens.
    pub token_ids: Vec<u32>,
}

/// A stored chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Deterministic id ([`ChunkId::derive`]); also the id of its point in the vector index.
    pub id: ChunkId,
    /// Document.
    pub document: DocumentId,
    /// Version.
    pub version_id: VersionId,
    /// Number of the version.
    pub version: u32,
    /// Position in the document, counted from 0.
    pub ordinal: u32,
    /// The chunker's output.
    pub draft: ChunkDraft,
}
