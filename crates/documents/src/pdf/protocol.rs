//! What parent and child say to each other, over a pair of connected sockets.
//!
//! A message is its length (four bytes, little-endian) and its body in postcard. The parent sends one [`Request`] together
//! with the open file as ancillary data; the child answers with any number of [`Reply::Progress`] and one [`Reply::Done`]
//! or [`Reply::Failed`]. Before the first request the child says [`Reply::Ready`] or [`Reply::NotReady`].

use serde::{Deserialize, Serialize};
use vectrion_core::extraction::Extracted;

/// Bytes of a message's length.
pub(crate) const HEADER: usize = 4;
/// Bytes of a request at the most, its header included.
pub(crate) const MAX_REQUEST: usize = 256;
/// Exit status of a child that ran out of its memory.
pub(crate) const EXIT_OUT_OF_MEMORY: i32 = 77;

/// Read the document that comes with this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) cpu_seconds: u64,
    pub(crate) max_pages: u32,
    pub(crate) max_characters: u64,
    pub(crate) max_pixels: u32,
    pub(crate) max_response_bytes: u64,
    pub(crate) find_hidden_text: bool,
}

/// An answer of the child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// pdfium is loaded, and this holds.
    Ready(Confinement),
    /// pdfium could not be loaded, or a limit not be set.
    NotReady(String),
    /// Pages read, pages in all.
    Progress(u32, u32),
    /// The document's text, and the largest resident size of the process so far, in bytes.
    Done(Box<Extracted>, u64),
    /// The document cannot be read.
    Failed(Failure),
}

/// What keeps a child from reaching beyond its work, besides its resource limits. All of it where the kernel lets an
/// unprivileged process confine itself (Linux 6.7 or later, user namespaces allowed).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// It is in a network namespace of its own, which has no interfaces.
    pub network_namespace: bool,
    /// It sees no file but the fonts of the system (Landlock), besides the document it was handed.
    pub file_system: bool,
    /// System calls that are not needed, such as `socket` and `execve`, are refused (seccomp).
    pub system_calls: bool,
}

/// Why a document cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    PasswordRequired,
    UnsupportedEncryption,
    Malformed,
    NoPages,
    NoText { images: bool, hidden: u32, unmapped: bool },
    TooManyPages { pages: u32, max: u32 },
    TooManyCharacters { max: u64 },
    AnswerTooLarge { max: u64 },
}

/// The message as it goes over the socket; none if it cannot be encoded or is longer than `max`.
pub(crate) fn encode(message: &impl Serialize, max: u64) -> Option<Vec<u8>> {
    let mut bytes = postcard::to_extend(message, vec![0; HEADER]).ok()?;
    let len = u32::try_from(bytes.len() - HEADER).ok().filter(|len| u64::from(*len) <= max)?;
    bytes[..HEADER].copy_from_slice(&len.to_le_bytes());
    Some(bytes)
}

/// The message in these bytes (without their length).
pub(crate) fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    postcard::from_bytes(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_way() {
        let reply = Reply::Failed(Failure::TooManyPages { pages: 7, max: 3 });
        let bytes = encode(&reply, 1000).unwrap();
        let len = u32::from_le_bytes(bytes[..HEADER].try_into().unwrap());
        assert_eq!(len as usize, bytes.len() - HEADER);
        assert_eq!(decode::<Reply>(&bytes[HEADER..]), Some(reply));
    }

    #[test]
    fn a_message_over_the_limit_is_not_sent() {
        assert_eq!(encode(&Reply::NotReady("x".repeat(100)), 50), None);
    }

    #[test]
    fn nonsense_is_not_decoded() {
        assert_eq!(decode::<Reply>(&[0xFF; 40]), None);
    }
}
