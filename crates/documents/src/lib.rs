//! Bytes to pages to chunks with positions; pdfium in a child process.
//!
//! [`FileParser`] is the crate's adapter of the port `DocumentParser`: it names a file's type ([`sniff`]), hands the file
//! to the parser of that type ([`pdf`], [`text`]), and cuts what was read into chunks ([`chunk`]).

pub mod chunk;
pub mod layout;
pub mod parser;
pub mod pdf;
pub mod sniff;
pub mod text;

pub use parser::{FileParser, ParserSettings};
