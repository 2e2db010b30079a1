//! The adapter of the port `DocumentParser`.

/// Reads files by their media type.
#[derive(Debug)]
pub struct FileParser {}

/// Settings of the parsers and of the chunker.
#[derive(Clone, Debug, Default)]
pub struct ParserSettings {}
