//! Stand-ins for what is slow or needs assets (parser, embedding model) or must be steered (clock, failures). Everything
//! else is real in tests: see the stores and backends.

mod clock;
mod embedder;
mod faults;
mod parser;

pub use self::{
    clock::ManualClock,
    embedder::WordEmbedder,
    faults::{Fault, Faults},
    parser::ParagraphParser,
};
