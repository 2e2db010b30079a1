//! Chunks per second of the local embedder against ONNX Runtime called bare, and megabytes per second of the tokenizer
//! against the `tokenizers` crate.
//!
//! ```text
//! cargo run --release -p vectrion-models --example embedding_speed -- f32|int8 [SECONDS] [TEXT_FILE]
//! ```
//!
//! Bare is one session of as many threads as the embedder has, run with batches of 8 times 256 tokens. The two take
//! turns, so that both see the same machine. The last line is JSON.

use std::{
    num::NonZero,
    path::Path,
    time::{Duration, Instant},
};

use ort::{session::Session, value::TensorRef};
use vectrion_core::ports::{Embedder as _, Tokenizer as _, models::EmbedInput};
use vectrion_models::{LocalEmbedder, LocalEmbedderSettings, MiniLmTokenizer, Variant};

const TOKENS: usize = 256;
const BATCH: usize = 8;
const ROUNDS: u32 = 5;

type AnyResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> AnyResult<()> {
    let mut arguments = std::env::args().skip(1);
    let variant = match arguments.next().as_deref() {
        Some("f32") => Variant::F32,
        Some("int8") => Variant::Int8,
        _ => return Err("usage: embedding_speed f32|int8 [SECONDS] [TEXT_FILE]".into()),
    };
    let seconds: f64 = arguments.next().map_or(Ok(20.0), |seconds| seconds.parse())?;
    let assets = vectrion_testkit::assets_dir();
    if let Some(file) = arguments.next() {
        tokenizer_speed(&assets, &std::fs::read_to_string(file)?)?;
    }

    let settings = LocalEmbedderSettings { variant, ..LocalEmbedderSettings::new(&assets) };
    let before = own_megabytes()?;
    drop(MiniLmTokenizer::load(&assets)?);
    println!("{} MB left by loading and dropping the tokenizer", own_megabytes()? - before);
    let started = Instant::now();
    let embedder = LocalEmbedder::load(&settings)?;
    let (took, resident) = (started.elapsed(), own_megabytes()? - before);
    println!("loaded {variant} with {} threads in {took:.2?}, {resident} MB of memory", settings.threads);

    let mut bare = Bare::load(&assets, variant, settings.threads)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let turn = Duration::from_secs_f64(seconds / f64::from(ROUNDS) / 2.0);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(rate(turn, || bare.run())?);
        ours.push(rate(turn, || {
            let inputs = (0..64).map(passage).collect();
            Ok(runtime.block_on(embedder.embed(inputs))?.len())
        })?);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("{variant}: embedder {ours:.1} chunks/s, bare {theirs:.1} chunks/s, ratio {:.2}", ours / theirs);

    let ingest = runtime.block_on(async { query_latency(embedder).await })?;
    println!("query p50 {:.2?} alone, {:.2?} while passages are embedded", ingest.0, ingest.1);
    println!(
        "{}",
        serde_json::json!({
            "variant": variant.to_string(),
            "threads": settings.threads,
            "chunks_per_s": ours,
            "bare_chunks_per_s": theirs,
            "tokens_per_chunk": TOKENS,
            "loaded_mb": resident,
            "query_ms": ingest.0.as_secs_f64() * 1e3,
            "query_ms_while_ingesting": ingest.1.as_secs_f64() * 1e3,
        })
    );
    Ok(())
}

fn passage(shift: usize) -> EmbedInput {
    let ids = (0..TOKENS - 2).map(|position| u32::try_from(1996 + (position * 37 + shift * 101) % 20_000));
    EmbedInput { text: String::new(), token_ids: ids.map(|id| id.expect("a small number")).collect() }
}

struct Bare {
    session: Session,
    ids: Vec<i64>,
}

impl Bare {
    fn load(assets: &Path, variant: Variant, threads: NonZero<usize>) -> AnyResult<Self> {
        // The embedder has made the process's environment; a builder of its own would be a second one.
        let environment = vectrion_models::local::environment(assets)?;
        let session = Session::builder(&environment)
            .and_then(|builder| Ok(builder.with_intra_threads(threads.get())?))?
            .commit_from_file(assets.join(format!("all-MiniLM-L6-v2/{variant}.onnx")))?;
        let ids = (0..BATCH * TOKENS)
            .map(|position| i64::try_from(1996 + position * 37 % 20_000))
            .collect::<Result<_, _>>()?;
        Ok(Self { session, ids })
    }

    fn run(&mut self) -> AnyResult<usize> {
        let mask = vec![1_i64; self.ids.len()];
        let shape = [BATCH, TOKENS];
        self.session.run(ort::inputs![
            "input_ids" => TensorRef::from_array_view((shape, self.ids.as_slice()))?,
            "attention_mask" => TensorRef::from_array_view((shape, mask.as_slice()))?,
        ])?;
        Ok(BATCH)
    }
}

/// Units of work per second.
fn rate(turn: Duration, mut work: impl FnMut() -> AnyResult<usize>) -> AnyResult<f64> {
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < turn {
        done += work()?;
    }
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("no figure is NaN"));
    values[values.len() / 2]
}

async fn query_latency(embedder: LocalEmbedder) -> AnyResult<(Duration, Duration)> {
    let embedder = std::sync::Arc::new(embedder);
    let query = "Which supplier delivers the spare parts for the pump?";
    let mut medians = Vec::new();
    for busy in [false, true] {
        let ingest = busy.then(|| {
            let embedder = std::sync::Arc::clone(&embedder);
            tokio::spawn(async move {
                loop {
                    if embedder.embed((0..64).map(passage).collect()).await.is_err() {
                        return;
                    }
                }
            })
        });
        let mut times = Vec::new();
        for _ in 0..200 {
            let started = Instant::now();
            embedder.embed_query(query).await?;
            times.push(started.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if let Some(ingest) = ingest {
            ingest.abort();
        }
        medians.push(median(times));
    }
    Ok((medians[0], medians[1]))
}

fn tokenizer_speed(assets: &Path, text: &str) -> AnyResult<()> {
    let ours = MiniLmTokenizer::load(assets)?;
    let mut reference = tokenizers::Tokenizer::from_file(assets.join("all-MiniLM-L6-v2/tokenizer.json"))?;
    reference.with_padding(None).with_truncation(None)?;
    let megabytes = text.len() as f64 / 1e6;
    let started = Instant::now();
    let expected = reference.encode(text, false)?;
    let theirs = started.elapsed();
    let started = Instant::now();
    let tokens = ours.encode(text)?;
    let ours = started.elapsed();
    if tokens.ids != expected.get_ids() {
        return Err("the tokenizers differ on this text".into());
    }
    println!(
        "tokenizer: {:.1} MB/s, the tokenizers crate {:.2} MB/s, on {megabytes:.1} MB with {} tokens",
        megabytes / ours.as_secs_f64(),
        megabytes / theirs.as_secs_f64(),
        tokens.ids.len()
    );
    Ok(())
}

/// Memory of the process that no file backs.
fn own_megabytes() -> AnyResult<i64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).ok_or("no RssAnon")?;
    let kilobytes: i64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
    Ok(kilobytes / 1000)
}
