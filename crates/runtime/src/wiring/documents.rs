//! Opening the parsers and the chunker.

use std::{num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use serde::Deserialize;
use vectrion_core::ports::Tokenizer;
use vectrion_documents::{FileParser, ParserSettings};

use super::backend;
use crate::{
    app::StartError,
    config::{Config, ConfigError},
    doctor::Finding,
};

/// `[documents]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentSettings {
    pdf_processes: usize,
    pdf_timeout_s: u64,
    pdf_memory_mib: u64,
    max_pages: u32,
    max_chars: u64,
    drop_hidden_text: bool,
    chunk_overlap_tokens: usize,
}

impl DocumentSettings {
    fn resolve(self, assets: &Path) -> ParserSettings {
        let mut settings = ParserSettings::new(assets);
        if let Some(processes) = NonZeroUsize::new(self.pdf_processes) {
            settings.pdf.processes = processes;
        }
        settings.pdf.timeout = Duration::from_secs(self.pdf_timeout_s);
        settings.pdf.memory_bytes = self.pdf_memory_mib.saturating_mul(1 << 20);
        settings.pdf.max_pages = self.max_pages;
        settings.pdf.max_characters = self.max_chars;
        settings.text.max_characters = usize::try_from(self.max_chars).unwrap_or(usize::MAX);
        settings.pdf.find_hidden_text = self.drop_hidden_text;
        settings.text.drop_hidden_text = self.drop_hidden_text;
        settings.chunks.overlap_tokens = self.chunk_overlap_tokens;
        settings
    }
}

fn section(config: &Config) -> Result<DocumentSettings, ConfigError> {
    config.section("documents")
}

/// What cannot work.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let settings = section(config)?;
    if settings.pdf_timeout_s == 0 {
        return Err(ConfigError::invalid("documents.pdf_timeout_s", "must be at least 1"));
    }
    if settings.pdf_memory_mib < 64 {
        return Err(ConfigError::invalid("documents.pdf_memory_mib", "must be at least 64"));
    }
    Ok(())
}

/// The parsers, with chunks measured by this tokenizer.
pub(super) fn open(
    config: &Config,
    assets: &Path,
    tokenizer: &Arc<dyn Tokenizer>,
) -> Result<Arc<FileParser>, StartError> {
    let settings = section(config)?.resolve(assets);
    Ok(Arc::new(FileParser::new(settings, Arc::clone(tokenizer)).map_err(backend("documents"))?))
}

/// Whether PDF files can be read.
pub(super) async fn examine(config: &Config, assets: &Path) -> Finding {
    const WHAT: &str = "pdf";
    let settings = match section(config) {
        Ok(settings) => settings.resolve(assets),
        Err(error) => return Finding::bad(WHAT, error.to_string()),
    };
    match vectrion_documents::pdf::PdfExtractor::new(settings.pdf).check().await {
        Ok(confinement) => {
            let held: Vec<&str> = [
                (confinement.network_namespace, "no network"),
                (confinement.file_system, "no files but the document and fonts"),
                (confinement.system_calls, "few system calls"),
            ]
            .into_iter()
            .filter_map(|(holds, what)| holds.then_some(what))
            .collect();
            Finding::good(WHAT, format!("read in child processes with limits; {}", held.join(", ")))
        }
        Err(error) => Finding::bad(WHAT, format!("{} ({})", error.message(), error.reason())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_for_every_kind_of_file() {
        let settings = DocumentSettings {
            pdf_processes: 0,
            pdf_timeout_s: 50,
            pdf_memory_mib: 512,
            max_pages: 7,
            max_chars: 1234,
            drop_hidden_text: false,
            chunk_overlap_tokens: 32,
        };
        let settings = settings.resolve(Path::new("assets"));
        assert_eq!((settings.pdf.max_characters, settings.text.max_characters), (1234, 1234));
        assert_eq!((settings.pdf.find_hidden_text, settings.text.drop_hidden_text), (false, false));
        assert_eq!(settings.pdf.max_pages, 7);
    }
}
