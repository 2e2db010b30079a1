//! A document's bytes and text.

use vectrion_core::{Result, ids::DocumentId, tenancy::CallContext};

use super::{Content, ContentKind, Ingestion};

impl Ingestion {
    /// Content of a version (none: the newest) from byte `offset` on. Text that is not there yet, or never came to be, is
    /// `FAILED_PRECONDITION`, reason `TEXT_NOT_AVAILABLE`; an offset beyond the end is `OUT_OF_RANGE`, reason
    /// `WRONG_OFFSET`.
    pub async fn content(
        &self,
        context: &CallContext,
        id: DocumentId,
        version: Option<u32>,
        kind: ContentKind,
        offset: u64,
    ) -> Result<Content> {
        let _ = (context, id, version, kind, offset);
        todo!()
    }
}
