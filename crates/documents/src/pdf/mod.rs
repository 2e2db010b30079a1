//! PDF files, read by pdfium in a child process.
//!
//! pdfium is C++ and meets files made to break it. It runs in `vectrion-extract` ([`child`]), which limits itself before it
//! touches a file: memory, processor time, files, network, and what it may see of the file system. [`PdfExtractor`] keeps
//! a few of these processes warm, hands each an open file, and takes their answers as untrusted: bounded in size and checked
//! before use. A file that kills its reader costs one document and one process.

pub mod child;
mod error;
mod extractor;
mod protocol;
mod settings;
mod spawner;
mod validate;
mod worker;

pub use extractor::PdfExtractor;
pub use protocol::Confinement;
pub use settings::PdfSettings;
