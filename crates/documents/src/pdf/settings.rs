//! What the reader of PDF files may use.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

/// Settings of [`PdfExtractor`](super::PdfExtractor). The limits hold per document, `memory_bytes` per process.
#[derive(Clone, Debug)]
pub struct PdfSettings {
    /// The child's program; none looks for `vectrion-extract` beside the running program, and one directory up.
    pub program: Option<PathBuf>,
    /// The library `libpdfium.so`.
    pub pdfium: PathBuf,
    /// Documents read at the same time, each in a process of its own.
    pub processes: NonZeroUsize,
    /// Longest time for one document, from handing it over to having its text.
    pub timeout: Duration,
    /// Address space of a child, so that its resident memory is never more.
    pub memory_bytes: u64,
    /// Pages of a document at the most.
    pub max_pages: u32,
    /// Characters of a document at the most.
    pub max_characters: u64,
    /// Pixels of a rendered page at the most; a larger page is rendered more coarsely.
    pub max_pixels: u32,
    /// Bytes of a child's answer at the most.
    pub max_response_bytes: usize,
    /// Whether text that a person does not see is looked for, and left out.
    pub find_hidden_text: bool,
    /// Documents that a child reads before another takes its place.
    pub documents_per_process: u32,
}

impl PdfSettings {
    /// The defaults, with pdfium from this directory of fetched assets.
    #[must_use]
    pub fn new(assets: &Path) -> Self {
        Self {
            program: None,
            pdfium: assets.join("pdfium/libpdfium.so"),
            processes: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            timeout: Duration::from_secs(50),
            memory_bytes: 512 << 20,
            max_pages: 5_000,
            max_characters: 10_000_000,
            max_pixels: 16_000_000,
            max_response_bytes: 96 << 20,
            find_hidden_text: true,
            documents_per_process: 200,
        }
    }
}
