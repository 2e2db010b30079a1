//! PDF files, read by real children with the real pdfium. The files are the project's own.

mod failures;
mod hidden_text;
mod layout;
mod processes;

use std::{io::Write as _, num::NonZeroUsize, path::PathBuf};

use tempfile::NamedTempFile;
use vectrion_core::{
    Result,
    extraction::{BlockKind, Extracted},
};
use vectrion_documents::pdf::{PdfExtractor, PdfSettings};
use vectrion_testkit::{assets_dir, pdf::Pdf};

/// Settings with the child of this build.
fn settings() -> PdfSettings {
    PdfSettings {
        program: Some(PathBuf::from(env!("CARGO_BIN_EXE_vectrion-extract"))),
        processes: NonZeroUsize::MIN,
        ..PdfSettings::new(&assets_dir())
    }
}

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("written");
    file
}

async fn read_bytes(bytes: &[u8]) -> Result<Extracted> {
    PdfExtractor::new(settings()).extract(file(bytes).path(), &|_, _| {}).await
}

async fn read(pdf: &Pdf) -> Extracted {
    read_bytes(&pdf.build()).await.expect("readable")
}

/// Kind and text of each block.
fn blocks(extracted: &Extracted) -> Vec<(BlockKind, &str)> {
    extracted.blocks.iter().map(|block| (block.kind, &extracted.text[block.range.clone()])).collect()
}

fn texts(extracted: &Extracted) -> Vec<&str> {
    blocks(extracted).into_iter().map(|(_, text)| text).collect()
}

fn warnings(extracted: &Extracted) -> Vec<&str> {
    extracted.warnings.iter().map(|warning| warning.reason.as_str()).collect()
}
