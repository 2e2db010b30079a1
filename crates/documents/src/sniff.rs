//! The media type of a file, from its first bytes.
