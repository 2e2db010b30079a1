//! Fixtures, fakes and the conformance suites of the ports. A development dependency only.

pub mod assets;
pub mod conformance;
pub mod directory;
pub mod extracted;
pub mod fakes;
pub mod fault_proxy;
pub mod openai;
pub mod pdf;
pub mod services;
pub mod tls_service;
pub mod tokenizer;

pub use assets::assets_dir;
pub use directory::temporary_directory;
