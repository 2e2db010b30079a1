//! Formats that are text: plain text, Markdown and HTML.
//!
//! Each reader is one pass over the decoded text without recursion, so that nesting costs no stack, and looks at its
//! `Budget` as it goes, so that a hostile file costs a bounded time and a bounded amount of memory.

pub(crate) mod decode;
mod html;
mod markdown;
mod plain;
mod writer;

use std::time::{Duration, Instant};

use vectrion_core::{Error, Result, document::Warning, extraction::Extracted};

use crate::sniff::MediaType;

/// Limits of the readers of text.
#[derive(Clone, Debug)]
pub struct TextSettings {
    /// Bytes of a plain text file at the most.
    pub max_plain_bytes: u64,
    /// Bytes of an HTML file at the most. Reading one takes up to twenty times its size in memory when it is hostile.
    pub max_html_bytes: u64,
    /// Bytes of a Markdown file at the most. Reading one takes up to sixty times its size in memory when it is hostile.
    pub max_markdown_bytes: u64,
    /// Characters of text taken from one file at the most.
    pub max_characters: usize,
    /// Whether elements of HTML that a reader of the page does not see are left out. Invisible characters always are.
    pub drop_hidden_text: bool,
    /// Longest time for one file.
    pub timeout: Duration,
}

impl Default for TextSettings {
    fn default() -> Self {
        Self {
            max_plain_bytes: 64 << 20,
            max_html_bytes: 32 << 20,
            max_markdown_bytes: 8 << 20,
            max_characters: 50_000_000,
            drop_hidden_text: true,
            timeout: Duration::from_secs(30),
        }
    }
}

impl TextSettings {
    /// Bytes of a file of this type at the most.
    #[must_use]
    pub fn max_bytes(&self, kind: MediaType) -> u64 {
        match kind {
            MediaType::Markdown => self.max_markdown_bytes,
            MediaType::Html => self.max_html_bytes,
            MediaType::Plain | MediaType::Pdf => self.max_plain_bytes,
        }
    }
}

/// Reads a file of one of the kinds of text. Computes for as long as the file is long: run it off the async threads.
///
/// # Errors
/// `FAILED_PRECONDITION` with reason `EXTRACTION_LIMIT`, `EXTRACTION_TIMEOUT`, or `NO_TEXT` when nothing visible is in
/// the file; `UNSUPPORTED_TYPE` for a type that is not text.
pub fn read(bytes: &[u8], kind: MediaType, settings: &TextSettings) -> Result<Extracted> {
    check_size(bytes.len() as u64, kind, settings)?;
    let budget = Budget::of(settings);
    let declared = if kind == MediaType::Html { decode::declared_in_html(bytes) } else { None };
    let decoded = decode::decode(bytes, declared);
    let mut extracted = match kind {
        MediaType::Plain => plain::read(&decoded.text, &budget)?,
        MediaType::Markdown => markdown::read(&decoded.text, &budget)?,
        MediaType::Html => html::read(&decoded.text, &budget)?,
        MediaType::Pdf => {
            return Err(Error::invalid("UNSUPPORTED_TYPE", "a PDF file is not text: it is read by another parser"));
        }
    };
    if decoded.lossy {
        extracted.warnings.push(Warning {
            reason: "UNDECODABLE_BYTES".to_owned(),
            message: format!(
                "some bytes make no sense in the file's encoding ({}) and were replaced: save the file as UTF-8",
                decoded.encoding
            ),
        });
    }
    Ok(extracted)
}

/// Refuses a file that is too large to be read, before it is.
///
/// # Errors
/// `FAILED_PRECONDITION` with reason `EXTRACTION_LIMIT`.
pub fn check_size(bytes: u64, kind: MediaType, settings: &TextSettings) -> Result<()> {
    let most = settings.max_bytes(kind);
    if bytes <= most {
        return Ok(());
    }
    let message = format!(
        "the file has {bytes} bytes and the limit for {} is {most}: split it into smaller files",
        kind.as_str()
    );
    Err(limit(message))
}

/// The file took longer than it may.
pub(crate) fn timed_out(after: Duration) -> Error {
    let seconds = after.as_secs();
    let message = format!("the file could not be read within {seconds} s: it may be damaged; split or simplify it");
    Error::precondition("EXTRACTION_TIMEOUT", message)
}

fn limit(message: impl Into<String>) -> Error {
    Error::precondition("EXTRACTION_LIMIT", message)
}

/// What reading one file may cost, and whether its hidden text is read.
pub(crate) struct Budget {
    deadline: Instant,
    timeout: Duration,
    max_characters: usize,
    drop_hidden_text: bool,
}

impl Budget {
    fn of(settings: &TextSettings) -> Self {
        let timeout = settings.timeout;
        Self {
            deadline: Instant::now() + timeout,
            timeout,
            max_characters: settings.max_characters,
            drop_hidden_text: settings.drop_hidden_text,
        }
    }

    /// Whether there is time left.
    fn check_time(&self) -> Result<()> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        Err(timed_out(self.timeout))
    }

    /// Whether this many characters are allowed.
    fn check_chars(&self, chars: usize) -> Result<()> {
        if chars <= self.max_characters {
            return Ok(());
        }
        Err(limit(format!(
            "the file holds more than {} characters of text: split it into smaller files",
            self.max_characters
        )))
    }
}

#[cfg(test)]
mod tests;
