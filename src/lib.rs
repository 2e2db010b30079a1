//! The gRPC API of Vectrion, generated from `proto/`: messages, client stubs (feature `client`, on by default), server
//! stubs (feature `server`).
//!
//! A service that calls the platform needs this crate alone:
//!
//! ```no_run
//! use vectrion::{client::Client, v1};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("http://127.0.0.1:50051", "vk_…").await?;
//! let header = v1::UploadHeader { filename: "report.pdf".into(), ..Default::default() };
//! let uploaded = client.upload_bytes(header, std::fs::read("report.pdf")?).await?;
//! println!("{:?}", uploaded.outcome());
//!
//! let question = v1::AnswerRequest { question: "What was the revenue?".into(), ..Default::default() };
//! let mut events = client.query().answer(question).await?.into_inner();
//! while let Some(message) = events.message().await? {
//!     println!("{message:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `tls` it speaks to `https://` URLs.

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod error;

/// Package `vectrion.v1`.
pub mod v1 {
    #![expect(clippy::large_enum_variant, reason = "a watch sends documents and hardly anything else")]

    tonic::include_proto!("vectrion.v1");
}

/// The descriptor set of `proto/` with its imports and comments, encoded: for reflection and JSON.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vectrion.v1.bin"));
