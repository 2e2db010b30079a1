//! The gRPC API of Vectrion, generated from `proto/`: messages, client stubs (feature `client`, on by default), server
//! stubs (feature `server`).
//!
//! A service that calls the platform needs this crate alone; `examples/` shows how.

/// Package `vectrion.v1`.
pub mod v1 {
    #![expect(clippy::large_enum_variant, reason = "a watch sends documents and hardly anything else")]

    tonic::include_proto!("vectrion.v1");
}

/// The descriptor set of `proto/` with its imports and comments, encoded: for reflection and JSON.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vectrion.v1.bin"));
