//! The reasons for which a PDF file is not read, as callers see them.

use std::{os::unix::process::ExitStatusExt as _, path::Path, process::ExitStatus, time::Duration};

use nix::sys::signal::Signal;
use vectrion_core::{Error, ErrorKind};

use super::protocol::{EXIT_OUT_OF_MEMORY, Failure};

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::PasswordRequired => Error::precondition(
                "PDF_PASSWORD_REQUIRED",
                "the PDF is protected by a password: upload a copy without one",
            ),
            Failure::UnsupportedEncryption => Error::precondition(
                "PDF_ENCRYPTION_UNSUPPORTED",
                "the PDF is encrypted in a way that cannot be read: upload a copy without encryption",
            ),
            Failure::Malformed => Error::invalid(
                "PDF_MALFORMED",
                "the file is not a readable PDF: it is damaged or cut off; export or download it again",
            ),
            Failure::NoPages => Error::invalid("PDF_NO_PAGES", "the PDF has no pages"),
            Failure::NoText { hidden, .. } if hidden > 0 => Error::precondition(
                "PDF_NO_TEXT",
                "the PDF holds no text that a person can see: all of its text is hidden, and was left out",
            ),
            Failure::NoText { unmapped: true, .. } => Error::precondition(
                "PDF_NO_TEXT",
                "the PDF draws letters without saying which they are, so no text can be taken from it: export it again from \
                 its source, with fonts and text",
            ),
            Failure::NoText { images: true, .. } => Error::precondition(
                "PDF_NO_TEXT",
                "the PDF holds pictures of pages but no text; character recognition (OCR) is not available yet: upload a \
                 copy with a text layer",
            ),
            Failure::NoText { images: false, .. } => Error::precondition(
                "PDF_NO_TEXT",
                "the PDF holds no text: its pages are blank or drawn without characters",
            ),
            Failure::TooManyPages { pages, max } => limit(format!(
                "the PDF has {pages} pages and the limit is {max}: split it, or raise the limit of pages"
            )),
            Failure::TooManyCharacters { max } | Failure::AnswerTooLarge { max } => limit(format!(
                "the PDF holds more text than is allowed ({max}): split it, or raise the limit of characters"
            )),
        }
    }
}

/// `EXTRACTION_LIMIT`: permanent until the document or a setting changes.
fn limit(message: String) -> Error {
    Error::precondition("EXTRACTION_LIMIT", message)
}

/// The document took longer than it may.
pub(super) fn timed_out(after: Duration) -> Error {
    Error::precondition(
        "EXTRACTION_TIMEOUT",
        format!("reading the PDF took longer than {} s and was stopped: split it or simplify it", after.as_secs()),
    )
}

/// The child answered what it never should.
pub(super) fn bad_answer() -> Error {
    Error::precondition("EXTRACTION_CRASHED", "reading the PDF went wrong: the reader's answer made no sense")
}

/// What the end of the child says about the document it was reading.
pub(super) fn from_exit(status: ExitStatus, memory_bytes: u64, timeout: Duration) -> Error {
    let signal = status.signal().and_then(|number| Signal::try_from(number).ok());
    match signal {
        Some(Signal::SIGXCPU) => return timed_out(timeout),
        // pdfium never sends itself these: somebody, or the kernel for want of memory, ended the process. Another try may
        // go well.
        Some(signal @ (Signal::SIGKILL | Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP)) => {
            return Error::unavailable(
                "EXTRACTION_CRASHED",
                format!("the process that was reading the PDF was ended from outside ({signal})"),
            );
        }
        _ => {}
    }
    if status.code() == Some(EXIT_OUT_OF_MEMORY) {
        return limit(format!("reading the PDF takes more memory than the {} MiB allowed", memory_bytes >> 20));
    }
    let how = match signal {
        Some(signal) => signal.to_string(),
        None => status.to_string(),
    };
    Error::precondition(
        "EXTRACTION_CRASHED",
        format!("the PDF breaks the reader ({how}): it is damaged or made to do harm; export it again from its source"),
    )
}

/// No child could be had.
pub(super) fn unavailable(program: &Path, what: &str) -> Error {
    Error::unavailable(
        "EXTRACTOR_UNAVAILABLE",
        format!(
            "{} cannot be started: {what}; `make build` builds it, `make assets` fetches pdfium",
            program.display()
        ),
    )
}

/// The file to read is out of reach.
pub(super) fn unreadable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "DOCUMENT_UNREADABLE", "the stored file cannot be opened").with_source(error)
}
