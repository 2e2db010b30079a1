//! Embedding and chat models: ONNX Runtime on the CPU, and OpenAI-compatible endpoints.
//!
//! Constructors take typed settings; nothing in here reads configuration or the environment.

mod assets;
pub mod chat;
pub mod local;
pub mod openai;
pub mod tokenizer;

pub use self::{
    local::{LocalEmbedder, LocalEmbedderSettings, Variant},
    tokenizer::MiniLmTokenizer,
};
