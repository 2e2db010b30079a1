//! Identifiers: lower-case UUIDs, each of its own type.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Error;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new time-ordered id (UUIDv7).
            #[must_use]
            #[expect(clippy::new_without_default, reason = "every call gives another id")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            /// Parses a hyphenated UUID in either case.
            ///
            /// # Errors
            /// `INVALID_ARGUMENT` with reason `INVALID_ID` when `text` is not a UUID.
            fn from_str(text: &str) -> Result<Self, Error> {
                Uuid::try_parse(text).map(Self).map_err(|_| {
                    Error::invalid("INVALID_ID", concat!("the ", $what, " is not a UUID")).with_metadata("id", text)
                })
            }
        }
    };
}

id!(/// A tenant: an organisation whose data no other tenant sees.
    TenantId, "tenant id");
id!(/// A named set of documents of one tenant.
    CollectionId, "collection id");
id!(/// A document, through all its versions.
    DocumentId, "document id");
id!(/// One version of a document: one set of bytes.
    VersionId, "version id");
id!(/// A chunk, and the point of the same id in the vector index.
    ChunkId, "chunk id");
id!(/// An upload in progress.
    UploadId, "upload id");
id!(/// A unit of background work.
    JobId, "job id");
id!(/// A wake-up that is to be published.
    OutboxId, "outbox id");
id!(/// A job that was given up.
    DeadLetterId, "dead letter id");
id!(/// An API key (its name, not its secret).
    KeyId, "key id");
id!(/// A stored answer.
    AnswerId, "answer id");

/// Namespace of chunk ids (UUIDv5).
const CHUNK_NAMESPACE: Uuid = Uuid::from_u128(0x7c1a_93e0_52b4_5a1d_9c5e_6f0d_86d1_2b70);

impl ChunkId {
    /// The id of a chunk: UUIDv5 of (version, ordinal, content hash, chunker version), so that every retry of the
    /// same work writes the same rows and points again.
    #[must_use]
    pub fn derive(version: VersionId, ordinal: u32, content_hash: &[u8], chunker: &str) -> Self {
        let mut name = Vec::with_capacity(16 + 4 + content_hash.len() + chunker.len());
        name.extend_from_slice(version.0.as_bytes());
        name.extend_from_slice(&ordinal.to_be_bytes());
        name.extend_from_slice(content_hash);
        name.extend_from_slice(chunker.as_bytes());
        Self(Uuid::new_v5(&CHUNK_NAMESPACE, &name))
    }
}

/// A process that runs jobs, unique per start: `host:pid:random`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub String);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_ids_are_stable_and_differ_by_each_part() {
        let version = VersionId(Uuid::from_u128(7));
        let id = ChunkId::derive(version, 0, b"h", "c1");
        assert_eq!(id, ChunkId::derive(version, 0, b"h", "c1"));
        for other in [
            ChunkId::derive(VersionId(Uuid::from_u128(8)), 0, b"h", "c1"),
            ChunkId::derive(version, 1, b"h", "c1"),
            ChunkId::derive(version, 0, b"i", "c1"),
            ChunkId::derive(version, 0, b"h", "c2"),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn ids_parse_in_either_case_and_print_in_lower_case() {
        let id: DocumentId = "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11".parse().expect("a uuid");
        assert_eq!(id.to_string(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        let error = "no-such-document".parse::<DocumentId>().expect_err("not a uuid");
        assert_eq!(error.reason(), "INVALID_ID");
    }
}
