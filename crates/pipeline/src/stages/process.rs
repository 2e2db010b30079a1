//! `process_document`: bytes to text to chunks.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use vectrion_core::{
    Error, Result,
    chunk::{Chunk, ChunkDraft},
    document::Document,
    extraction::Extracted,
    ids::ChunkId,
    job::Lease,
    ports::{catalog::PageInfo, jobs::ProcessedVersion, objects::ObjectKey},
};

use super::{Done, Stages, heartbeat::Hold, is_superseded, scratch};
use crate::faults::step;

/// Bytes that are handed to the object store at once.
const PART: usize = 1024 * 1024;

impl Stages {
    pub(super) async fn process(&self, lease: &Lease, hold: &Hold) -> Result<Done> {
        let Some(document) = self.ports.jobs.job_document(lease).await? else { return Ok(Done::Gone) };
        if is_superseded(&document) {
            return Ok(Done::Gone);
        }
        step!("process::begun");
        if let Err(error) = self.ports.objects.check().await {
            return Ok(Done::NotNow(error));
        }

        let name = format!("{}-{}", lease.job.id, lease.token);
        let file = scratch::fetch(self.ports.objects.as_ref(), &document, &self.scratch, &name).await?;
        step!("process::fetched");

        let pages = |done, total| {
            hold.progress(|progress| (progress.pages_done, progress.pages_total) = (done, total));
        };
        let extracted = Arc::new(self.ports.parser.parse(file.path(), &document.content_type, &pages).await?);
        drop(file);
        step!("process::extracted");

        let drafts = self.ports.parser.chunk(Arc::clone(&extracted)).await?;
        if drafts.is_empty() {
            return Err(Error::precondition("NO_TEXT", "the document holds no text that could be indexed"));
        }
        let pages = page_infos(&extracted)?;
        let chunks = chunks_of(&document, self.ports.parser.chunker_version(), drafts)?;
        hold.progress(|progress| {
            (progress.pages_done, progress.pages_total) = (count(pages.len()), count(pages.len()));
            progress.chunks_total = count(chunks.len());
        });
        step!("process::chunked");

        let (title, warnings) = (extracted.title.clone(), extracted.warnings.clone());
        hold.check()?;
        self.store_text(&document, extracted).await?;
        step!("process::text_stored");
        Ok(Done::Processed(ProcessedVersion { title, pages, chunks, warnings }))
    }

    /// Stores the text before the commit: a version with chunks has its text.
    async fn store_text(&self, document: &Document, extracted: Arc<Extracted>) -> Result<()> {
        let json = tokio::task::spawn_blocking(move || serde_json::to_vec(&*extracted))
            .await
            .map_err(|error| {
                Error::internal("STAGE_PANICKED", "the extracted text cannot be written").with_source(error)
            })?
            .map_err(|error| {
                Error::internal("TEXT_NOT_WRITTEN", "the extracted text cannot be written").with_source(error)
            })?;
        let json = Bytes::from(json);
        let parts = (0..json.len()).step_by(PART).map(move |at| Ok(json.slice(at..json.len().min(at + PART))));
        let key = ObjectKey::extracted(document.tenant, document.version_id);
        self.ports.objects.put(&key, stream::iter(parts.collect::<Vec<_>>()).boxed()).await?;
        Ok(())
    }
}

/// The drafts as chunks of the version, with ids that every retry makes again.
fn chunks_of(document: &Document, chunker: &str, drafts: Vec<ChunkDraft>) -> Result<Vec<Chunk>> {
    drafts
        .into_iter()
        .enumerate()
        .map(|(ordinal, draft)| {
            let ordinal = u32::try_from(ordinal).map_err(|error| {
                Error::precondition("TOO_MANY_CHUNKS", "the document has too many chunks; split it").with_source(error)
            })?;
            let content = Sha256::digest(draft.text.as_bytes());
            Ok(Chunk {
                id: ChunkId::derive(document.version_id, ordinal, &content, chunker),
                document: document.id,
                version_id: document.version_id,
                version: document.version,
                ordinal,
                draft,
            })
        })
        .collect()
}

/// The pages with their ranges in Unicode scalar values.
fn page_infos(extracted: &Extracted) -> Result<Vec<PageInfo>> {
    let mut counted = CharCounter { text: &extracted.text, byte: 0, chars: 0 };
    extracted
        .pages
        .iter()
        .map(|page| {
            Ok(PageInfo {
                number: page.number,
                width: page.width,
                height: page.height,
                rotation: page.rotation,
                char_start: counted.at(page.range.start)?,
                char_end: counted.at(page.range.end)?,
            })
        })
        .collect()
}

/// Turns byte offsets into counts of Unicode scalar values, in one pass for offsets that do not go back.
struct CharCounter<'a> {
    text: &'a str,
    byte: usize,
    chars: usize,
}

impl CharCounter<'_> {
    fn at(&mut self, byte: usize) -> Result<u32> {
        if byte < self.byte {
            (self.byte, self.chars) = (0, 0);
        }
        let between = self.text.get(self.byte..byte).ok_or_else(|| {
            Error::internal("EXTRACTION_INCONSISTENT", "a page's range does not fit the extracted text")
        })?;
        self.chars += between.chars().count();
        self.byte = byte;
        Ok(count(self.chars))
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use vectrion_core::extraction::ExtractedPage;

    use super::*;

    fn extracted(text: &str, ranges: &[std::ops::Range<usize>]) -> Extracted {
        let page = |(at, range): (usize, &std::ops::Range<usize>)| ExtractedPage {
            number: count(at) + 1,
            width: 612.0,
            height: 792.0,
            rotation: 0,
            range: range.clone(),
        };
        Extracted {
            text: text.to_owned(),
            pages: ranges.iter().enumerate().map(page).collect(),
            ..Extracted::default()
        }
    }

    #[test]
    fn page_ranges_are_counted_in_characters() {
        let text = "aé漢\n🙂z";
        let pages = page_infos(&extracted(text, &[0..6, 6..6, 7..12])).expect("ranges on boundaries");
        let ranges: Vec<_> = pages.iter().map(|page| (page.char_start, page.char_end)).collect();
        assert_eq!(ranges, [(0, 3), (3, 3), (4, 6)]);
        let chars: Vec<char> = text.chars().collect();
        assert_eq!(chars[4..6].iter().collect::<String>(), text[7..12]);
    }

    #[test]
    fn ranges_that_go_back_are_counted_from_the_start() {
        let pages = page_infos(&extracted("éé", &[2..4, 0..2])).expect("ranges on boundaries");
        assert_eq!((pages[1].char_start, pages[1].char_end), (0, 1));
    }

    #[test]
    fn a_range_inside_a_character_is_a_typed_error() {
        for range in [0..1, 0..9] {
            let error = page_infos(&extracted("é", &[range])).expect_err("not on a boundary");
            assert_eq!(error.reason(), "EXTRACTION_INCONSISTENT");
        }
    }
}
