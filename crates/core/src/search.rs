//! Retrieval: queries, filters, passages.

use serde::{Deserialize, Serialize};

use crate::{
    chunk::PageBox,
    ids::{ChunkId, CollectionId, DocumentId, VersionId},
    metadata::MetadataCondition,
};

/// How passages are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SearchMode {
    /// Dense and BM25, fused by reciprocal rank (Cormack, Clarke and Büttcher, SIGIR 2009).
    #[default]
    Hybrid,
    /// Cosine similarity of embeddings.
    Dense,
    /// BM25 over words.
    Sparse,
}

/// What to search, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchQuery {
    /// The question, normalised, not empty.
    pub text: String,
    /// How.
    pub mode: SearchMode,
    /// Passages at the most: 1 to 100.
    pub top_k: u32,
    /// Passages with a lower `score` are left out. The scale is that of the mode: cosine (dense), BM25 (sparse) or
    /// fused rank score (hybrid).
    pub min_score: Option<f32>,
    /// Where.
    pub filter: SearchFilter,
}

/// Where to search. All conditions must hold; an empty list means any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchFilter {
    /// In one of these collections.
    pub collections: Vec<CollectionId>,
    /// In one of these documents.
    pub documents: Vec<DocumentId>,
    /// In documents whose metadata meets all of these.
    pub metadata: Vec<MetadataCondition>,
}

/// A chunk that was found, with everything that a citation needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// Id of the chunk.
    pub id: ChunkId,
    /// Document.
    pub document: DocumentId,
    /// Version it was found in.
    pub version_id: VersionId,
    /// Number of that version.
    pub version: u32,
    /// File name of the document.
    pub filename: String,
    /// Title of the document, if one was found.
    pub title: Option<String>,
    /// Text, exactly as in the document's extracted text.
    pub text: String,
    /// First page, counted from 1.
    pub page_start: u32,
    /// Last page.
    pub page_end: u32,
    /// Start in the document's extracted text, in Unicode scalar values.
    pub char_start: u32,
    /// End, exclusive.
    pub char_end: u32,
    /// Where it stands.
    pub boxes: Vec<PageBox>,
    /// Headings above it, outermost first.
    pub heading_path: Vec<String>,
    /// The score it is ranked by, on the scale of the mode.
    pub score: f32,
    /// Cosine similarity, if the dense search found it.
    pub dense_score: Option<f32>,
    /// BM25 score, if the sparse search found it.
    pub sparse_score: Option<f32>,
}
