//! Megabytes per second of the chunker against the crate `text-splitter` with the same tokenizer.
//!
//! ```text
//! cargo run --release -p vectrion-bench --example chunking -- [REFERENCE_KILOBYTES] FILE…
//! ```
//!
//! Both cut the same text into chunks of at most as many tokens as the model takes; both count with the model's own
//! tokenizer, `text-splitter` as its feature `tokenizers` does. It is slow, and gets the first part of the text; ours
//! gets that part too, and then everything; each the best of the repeats. What `text-splitter` leaves to do, namely the ids that the model is given, is
//! not counted against it. The ids that come with our chunks are compared with those of the `tokenizers` crate, chunk by
//! chunk.

use std::{path::Path, sync::Arc, time::Instant};

use serde_json::json;
use text_splitter::{ChunkConfig, ChunkSizer, TextSplitter};
use tokenizers::Tokenizer as Reference;
use vectrion_core::{chunk::ChunkDraft, extraction::Extracted, ports::Tokenizer as _};
use vectrion_documents::{
    chunk::{ChunkSettings, Chunker},
    sniff::MediaType,
    text::{self, TextSettings},
};
use vectrion_models::MiniLmTokenizer;

type AnyResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Counts tokens as text-splitter's own feature does.
struct Counted<'t>(&'t Reference);

impl ChunkSizer for Counted<'_> {
    fn size(&self, chunk: &str) -> usize {
        self.0.encode_fast(chunk, false).expect("BERT's tokenizer takes any text").get_ids().len()
    }
}

const REPEATS: usize = 3;

fn main() -> AnyResult<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let kilobytes = match arguments.first().and_then(|first| first.parse::<usize>().ok()) {
        Some(kilobytes) => {
            arguments.remove(0);
            kilobytes
        }
        None => 200,
    };
    if arguments.is_empty() {
        return Err("usage: chunking [REFERENCE_KILOBYTES] FILE…".into());
    }
    let assets = std::env::var_os("VECTRION_ASSETS_DIR").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache/vectrion/assets"),
        Into::into,
    );
    let tokenizer = MiniLmTokenizer::load(&assets)?;
    let limit = tokenizer.max_tokens();
    // text-splitter is asked for no overlap, and so is ours.
    let settings = ChunkSettings { overlap_tokens: 0, ..ChunkSettings::default() };
    let chunker = Chunker::new(Arc::new(tokenizer), &settings)?;
    let mut reference = Reference::from_file(assets.join("all-MiniLM-L6-v2/tokenizer.json"))?;
    reference.with_padding(None).with_truncation(None)?;

    let mut texts = Vec::new();
    for file in &arguments {
        texts.push(text::read(&std::fs::read(file)?, MediaType::Plain, &TextSettings::default())?);
    }
    let mut part = Vec::new();
    let mut left = kilobytes * 1000;
    for extracted in &texts {
        if left == 0 {
            break;
        }
        let end = extracted.text.floor_char_boundary(left);
        part.push(text::read(&extracted.text.as_bytes()[..end], MediaType::Plain, &TextSettings::default())?);
        left = left.saturating_sub(extracted.text.len());
    }

    let (part_time, _) = best(|| cut(&chunker, &part))?;
    let (time, chunks) = best(|| cut(&chunker, &texts))?;
    let splitter = TextSplitter::new(ChunkConfig::new(limit).with_sizer(Counted(&reference)));
    let (their_time, their_chunks) =
        best(|| Ok(part.iter().map(|extracted| splitter.chunks(&extracted.text).count()).sum::<usize>()))?;

    let mut differ = 0;
    for chunk in &chunks {
        let expected = reference.encode(chunk.text.as_str(), false)?;
        differ += usize::from(chunk.token_ids != expected.get_ids());
    }
    let too_long = chunks.iter().filter(|chunk| chunk.token_ids.len() > limit).count();
    let megabytes =
        |texts: &[Extracted]| texts.iter().map(|extracted| extracted.text.len()).sum::<usize>() as f64 / 1e6;
    let (ours, ours_on_part, theirs) =
        (megabytes(&texts) / time, megabytes(&part) / part_time, megabytes(&part) / their_time);
    println!(
        "{}",
        json!({
            "megabytes": megabytes(&texts),
            "chunks": chunks.len(),
            "mb_per_s": ours,
            "part_megabytes": megabytes(&part),
            "mb_per_s_on_part": ours_on_part,
            "text_splitter_mb_per_s": theirs,
            "text_splitter_chunks": their_chunks,
            "ratio": ours_on_part / theirs,
            "chunks_with_other_ids": differ,
            "chunks_over_the_limit": too_long,
        })
    );
    Ok(())
}

fn cut(chunker: &Chunker, texts: &[Extracted]) -> AnyResult<Vec<ChunkDraft>> {
    let mut chunks = Vec::new();
    for extracted in texts {
        chunks.extend(chunker.chunk(extracted)?);
    }
    Ok(chunks)
}

/// Seconds of the fastest repeat, and its result.
fn best<T>(work: impl Fn() -> AnyResult<T>) -> AnyResult<(f64, T)> {
    let mut best: Option<(f64, T)> = None;
    for _ in 0..REPEATS {
        let began = Instant::now();
        let result = work()?;
        let took = began.elapsed().as_secs_f64();
        if best.as_ref().is_none_or(|(time, _)| took < *time) {
            best = Some((took, result));
        }
    }
    best.ok_or_else(|| "nothing was repeated".into())
}
