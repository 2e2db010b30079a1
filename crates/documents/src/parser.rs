//! The adapter of the port `DocumentParser`.

mod compute;

use std::{fs::File, io::Read as _, num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use vectrion_core::{
    Error, Result,
    chunk::ChunkDraft,
    extraction::Extracted,
    ports::{DocumentParser, Tokenizer, documents::ParseProgress},
};

use self::compute::ComputePool;
use crate::{
    chunk::{ChunkSettings, Chunker},
    pdf::{PdfExtractor, PdfSettings},
    sniff::{self, MediaType},
    text::{self, TextSettings},
};

/// Settings of the parsers and of the chunker.
#[derive(Clone, Debug)]
pub struct ParserSettings {
    /// The reader of PDF files.
    pub pdf: PdfSettings,
    /// The readers of plain text, Markdown and HTML.
    pub text: TextSettings,
    /// The chunker.
    pub chunks: ChunkSettings,
    /// Text files read and documents chunked at the same time, each on a thread of its own.
    pub threads: NonZeroUsize,
}

impl ParserSettings {
    /// The defaults, with pdfium from this directory of fetched assets.
    #[must_use]
    pub fn new(assets: &Path) -> Self {
        Self {
            pdf: PdfSettings::new(assets),
            text: TextSettings::default(),
            chunks: ChunkSettings::default(),
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Reads files by their media type, and chunks what was read. A new type needs a variant of [`MediaType`], and a line in
/// [`FileParser::parse`] that the compiler asks for.
pub struct FileParser {
    pdf: PdfExtractor,
    text: TextSettings,
    chunker: Arc<Chunker>,
    pool: ComputePool,
}

/// What a reader of text gets, beyond its own limit, to notice that its time is over.
const GRACE: Duration = Duration::from_secs(10);

impl FileParser {
    /// A parser whose chunks are measured by this tokenizer.
    ///
    /// # Errors
    /// `INVALID_CHUNK_SETTINGS`; what the tokenizer fails with.
    pub fn new(settings: ParserSettings, tokenizer: Arc<dyn Tokenizer>) -> Result<Self> {
        let ParserSettings { pdf, text, chunks, threads } = settings;
        Ok(Self {
            pdf: PdfExtractor::new(pdf),
            text,
            chunker: Arc::new(Chunker::new(tokenizer, &chunks)?),
            pool: ComputePool::new(threads),
        })
    }

    /// The reader of PDF files, to be asked whether it works.
    #[must_use]
    pub fn pdf(&self) -> &PdfExtractor {
        &self.pdf
    }

    /// Ends the processes that read PDF files, when nothing is read any more.
    pub async fn close(&self) {
        self.pdf.close().await;
    }

    async fn read_text(&self, file: &Path, kind: MediaType) -> Result<Extracted> {
        let (path, settings) = (file.to_owned(), self.text.clone());
        let limit = settings.timeout.saturating_add(GRACE);
        let work = move || {
            let bytes = read_file(&path, kind, &settings)?;
            text::read(&bytes, kind, &settings)
        };
        let crashed = |panic| {
            let message =
                "the file could not be read because its reader broke off: simplify it, or convert it to another type";
            Error::precondition("EXTRACTION_CRASHED", message).with_source(panic)
        };
        match self.pool.run_within(limit, work).await {
            Ok(outcome) => outcome.map_err(crashed)?,
            Err(_) => Err(text::timed_out(self.text.timeout)),
        }
    }
}

#[async_trait]
impl DocumentParser for FileParser {
    fn sniff(&self, head: &[u8], filename: &str) -> Result<String> {
        sniff::sniff(head, filename).map(|kind| kind.as_str().to_owned())
    }

    async fn parse(&self, file: &Path, media_type: &str, progress: ParseProgress<'_>) -> Result<Extracted> {
        match MediaType::from_name(media_type)? {
            MediaType::Pdf => self.pdf.extract(file, progress).await,
            kind @ (MediaType::Plain | MediaType::Markdown | MediaType::Html) => {
                let extracted = self.read_text(file, kind).await?;
                let pages = u32::try_from(extracted.pages.len()).unwrap_or(u32::MAX);
                progress(pages, pages);
                Ok(extracted)
            }
        }
    }

    async fn chunk(&self, extracted: Arc<Extracted>) -> Result<Vec<ChunkDraft>> {
        let chunker = Arc::clone(&self.chunker);
        let crashed =
            |panic| Error::internal("CHUNKER_CRASHED", "the document could not be cut into chunks").with_source(panic);
        self.pool.run(move || chunker.chunk(&extracted)).await.map_err(crashed)?
    }

    fn chunker_version(&self) -> &str {
        self.chunker.version()
    }
}

/// The bytes of a file that is not larger than its type may be.
fn read_file(path: &Path, kind: MediaType, settings: &TextSettings) -> Result<Vec<u8>> {
    let unreadable = |error| {
        Error::unavailable("DOCUMENT_UNREADABLE", "the stored file could not be opened: try again").with_source(error)
    };
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    text::check_size(length, kind, settings)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(1));
    file.take(settings.max_bytes(kind).saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
