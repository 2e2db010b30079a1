//! Prints what is read from PDF files, to look at: `cargo run -p vectrion-documents --example read_pdf -- [--keep-hidden] FILE…`
//!
//! One line a block: page, kind, box, text. With `--keep-hidden`, text that a person does not see stays. `VECTRION_ASSETS_DIR` names the directory with pdfium.

use std::{path::PathBuf, time::Instant};

use vectrion_core::extraction::{BlockKind, Extracted};
use vectrion_documents::pdf::{PdfExtractor, PdfSettings};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let assets = std::env::var_os("VECTRION_ASSETS_DIR").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/vectrion/assets"),
        PathBuf::from,
    );
    let mut settings = PdfSettings::new(&assets);
    let mut files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if files.first().is_some_and(|first| first.as_os_str() == "--keep-hidden") {
        settings.find_hidden_text = false;
        files.remove(0);
    }
    let extractor = PdfExtractor::new(settings);
    for file in files {
        let start = Instant::now();
        let result = extractor.extract(&file, &|_, _| {}).await;
        println!("==== {} ({} ms)", file.display(), start.elapsed().as_millis());
        match result {
            Ok(extracted) => print(&extracted),
            Err(error) => println!("{}: {error}", error.reason()),
        }
    }
}

fn print(extracted: &Extracted) {
    println!("title: {:?}, {} pages, {} bytes", extracted.title, extracted.pages.len(), extracted.text.len());
    for warning in &extracted.warnings {
        println!("warning: {}: {}", warning.reason, warning.message);
    }
    for block in &extracted.blocks {
        let page = block.lines.first().map_or(0, |line| line.page);
        let bounds = block.lines.iter().filter_map(|line| line.bounds).reduce(|a, b| a.union(b));
        let place = bounds.map_or(String::new(), |b| format!("{:.0},{:.0}–{:.0},{:.0}", b.x0, b.y0, b.x1, b.y1));
        let kind = match block.kind {
            BlockKind::Heading(level) => format!("h{level}"),
            other => format!("{other:?}").to_lowercase(),
        };
        println!("[{page} {kind} {place}] {}", &extracted.text[block.range.clone()]);
    }
}
