//! The media type of a file, from its first bytes.
//!
//! The content decides. The name only chooses between kinds of text, and says that unrecognisable bytes were meant to
//! be a PDF: pdfium repairs files whose header is damaged, so nothing that it might read is refused here.

mod signature;

use vectrion_core::{Error, Result};

use crate::text::decode;

/// A type that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// `application/pdf`.
    Pdf,
    /// `text/plain`.
    Plain,
    /// `text/markdown`.
    Markdown,
    /// `text/html`.
    Html,
}

impl MediaType {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::Pdf, Self::Plain, Self::Markdown, Self::Html];

    /// The name, as in `Content-Type`, without parameters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Plain => "text/plain",
            Self::Markdown => "text/markdown",
            Self::Html => "text/html",
        }
    }

    /// The type of this name.
    ///
    /// # Errors
    /// `UNSUPPORTED_TYPE` when no parser reads it.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| unsupported(&format!("it is {name}")))
    }
}

/// pdfium looks for the header this far into a file.
const PDF_HEADER_WITHIN: usize = 1024;

/// The media type of a file that begins with `head`.
///
/// # Errors
/// `EMPTY_FILE` for no bytes; `UNSUPPORTED_TYPE`, naming what the content looks like and what is supported.
pub fn sniff(head: &[u8], filename: &str) -> Result<MediaType> {
    if head.is_empty() {
        return Err(Error::invalid(
            "EMPTY_FILE",
            "the file has no bytes: check that it was saved or copied completely",
        ));
    }
    let named = NameHint::of(filename);
    let pdf_header = find(&head[..head.len().min(PDF_HEADER_WITHIN)], b"%PDF");
    if pdf_header == Some(0) || (pdf_header.is_some() && named == NameHint::Pdf) {
        return Ok(MediaType::Pdf);
    }
    if let Some(what) = signature::known(head) {
        return Err(unsupported(&format!("it looks like {what}")));
    }
    let is_text = decode::looks_like_text(head);
    if named == NameHint::Pdf {
        return Ok(if is_text && starts_as_html(head) { MediaType::Html } else { MediaType::Pdf });
    }
    if !is_text {
        return match pdf_header {
            Some(_) => Ok(MediaType::Pdf),
            None => Err(unsupported("its content is binary and of no known type")),
        };
    }
    Ok(match named {
        NameHint::Markdown => MediaType::Markdown,
        NameHint::Html => MediaType::Html,
        NameHint::Plain => MediaType::Plain,
        NameHint::Pdf | NameHint::None if starts_as_html(head) => MediaType::Html,
        NameHint::Pdf | NameHint::None => MediaType::Plain,
    })
}

fn unsupported(what: &str) -> Error {
    Error::invalid(
        "UNSUPPORTED_TYPE",
        format!("this type of file cannot be read: {what}; supported are PDF, plain text, Markdown and HTML"),
    )
    .with_metadata("supported", MediaType::ALL.map(MediaType::as_str).join(", "))
}

/// What the end of a file's name says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NameHint {
    Pdf,
    Markdown,
    Html,
    Plain,
    None,
}

impl NameHint {
    fn of(filename: &str) -> Self {
        let Some((_, suffix)) = filename.rsplit_once('.') else { return Self::None };
        match suffix.to_ascii_lowercase().as_str() {
            "pdf" => Self::Pdf,
            "md" | "markdown" | "mdown" | "mkd" => Self::Markdown,
            "html" | "htm" | "xhtml" => Self::Html,
            "txt" | "text" => Self::Plain,
            _ => Self::None,
        }
    }
}

/// Whether text without a telling name is HTML: it begins like a page, after white space, an XML declaration and
/// comments.
fn starts_as_html(head: &[u8]) -> bool {
    let text = decode::decode_head(head);
    let mut rest = text.trim_start();
    loop {
        let end = match () {
            () if rest.starts_with("<?xml") => rest.find("?>").map(|at| at + 2),
            () if rest.starts_with("<!--") => rest.find("-->").map(|at| at + 3),
            () => break,
        };
        let Some(end) = end else { return false };
        rest = rest[end..].trim_start();
    }
    let begins = |prefix: &str| {
        rest.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            && !rest[prefix.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-')
    };
    ["<!doctype html", "<html", "<head", "<body"].into_iter().any(begins)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(head: &[u8], name: &str) -> &'static str {
        match sniff(head, name) {
            Ok(kind) => kind.as_str(),
            Err(error) => error.reason(),
        }
    }

    #[test]
    fn the_content_decides_and_the_name_only_between_kinds_of_text() {
        assert_eq!(kind(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "notes.txt"), "application/pdf");
        assert_eq!(kind(b"# Title\n\ntext", "notes.md"), "text/markdown");
        assert_eq!(kind(b"# Title\n\ntext", "NOTES.Markdown"), "text/markdown");
        assert_eq!(kind(b"# Title\n\ntext", "notes.txt"), "text/plain");
        assert_eq!(kind(b"# Title\n\ntext", "notes"), "text/plain");
        assert_eq!(kind(b"key = 1\n", "settings.toml"), "text/plain");
        assert_eq!(kind(b"<p>hi", "page.htm"), "text/html");
        assert_eq!(kind(b"\n<!-- saved --><!DOCTYPE HTML>\n<title>x", "page"), "text/html");
        assert_eq!(kind(b"<?xml version='1.0'?><html xmlns='x'>", "page.cgi"), "text/html");
        assert_eq!(kind(b"<html-ish>", "page"), "text/plain");
        assert_eq!(kind(b"<!DOCTYPE html>", "page.md"), "text/markdown");
    }

    #[test]
    fn a_damaged_pdf_is_still_a_pdf() {
        assert_eq!(kind(b"%PDF\n1 0 obj", "upload"), "application/pdf");
        assert_eq!(kind(b"\x00\x02\x64junk%PDF-1.4\n", "upload.bin"), "application/pdf");
        assert_eq!(kind(b"%1\x00F-2.3\n%\xbf\xf7", "broken.pdf"), "application/pdf");
        assert_eq!(kind(b"not a pdf at all", "broken.PDF"), "application/pdf");
        assert_eq!(
            kind(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.pdf%PDF-1.4", "a.pdf"),
            "application/pdf"
        );
    }

    #[test]
    fn text_that_mentions_the_header_is_text() {
        assert_eq!(kind(b"The file begins with %PDF-1.7 and so on.\n", "how.txt"), "text/plain");
        assert_eq!(kind(b"The file begins with %PDF-1.7 and so on.\n", "how"), "text/plain");
    }

    #[test]
    fn a_web_page_saved_as_pdf_is_a_web_page() {
        assert_eq!(kind(b"<!DOCTYPE html><title>404</title>", "report.pdf"), "text/html");
    }

    #[test]
    fn no_bytes_are_an_empty_file() {
        assert_eq!(kind(b"", "empty.pdf"), "EMPTY_FILE");
        assert_eq!(kind(b"\n", "blank.txt"), "text/plain");
    }

    #[test]
    fn unsupported_types_are_named() {
        let mut docx = b"PK\x03\x04\x14\0\x06\0".to_vec();
        docx.extend_from_slice(&[0; 22]);
        docx.extend_from_slice(b"[Content_Types].xml....word/document.xml");
        for (head, name, what) in [
            (docx.as_slice(), "letter.docx", "Word"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "scan.pdf", "PNG"),
            (b"\x1f\x8b\x08\0\0\0\0\0", "notes.txt", "gzip"),
            (b"{\\rtf1\\ansi hello}", "letter.txt", "RTF"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0\0", "old.doc", "Office"),
            (b"\x07\x03\x01\x02\x99\xfe\x00\x10", "blob", "binary"),
        ] {
            let error = sniff(head, name).expect_err(name);
            assert_eq!(error.reason(), "UNSUPPORTED_TYPE", "{name}");
            assert!(error.message().contains(what), "{name}: {error}");
            assert!(error.message().contains("supported are PDF"), "{error}");
        }
    }

    #[test]
    fn other_encodings_are_text() {
        let utf16: Vec<u8> = "\u{feff}Grüße aus Köln".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(kind(&utf16, "a.txt"), "text/plain");
        let utf16_bare: Vec<u8> = "Plain words, no mark".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(kind(&utf16_bare, "a"), "text/plain");
        assert_eq!(kind(b"Stra\xdfe und \xc4pfel", "a.txt"), "text/plain");
        let cut = "ü".repeat(3000);
        assert_eq!(kind(&cut.as_bytes()[..4095], "a"), "text/plain");
    }

    #[test]
    fn every_type_is_found_by_its_name() {
        for kind in MediaType::ALL {
            assert_eq!(MediaType::from_name(kind.as_str()).expect("known"), kind);
        }
        assert_eq!(MediaType::from_name("image/png").expect_err("unknown").reason(), "UNSUPPORTED_TYPE");
    }
}
