//! A document's bytes and text.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use vectrion_core::{
    Error, ErrorKind, Result,
    document::{Document, DocumentState},
    ids::DocumentId,
    ports::objects::ObjectKey,
    tenancy::CallContext,
};

use super::{Content, ContentKind, Ingestion, document_not_found};

/// Texts that are read at once: each is held in memory with its positions while it is read.
pub(super) const TEXT_READS: usize = 2;
/// Bytes of text that are handed on at once.
const PART: usize = 256 * 1024;

impl Ingestion {
    /// Content of a version (none: the newest) from byte `offset` on. Text that is not there yet, or never came to be, is
    /// `FAILED_PRECONDITION`, reason `TEXT_NOT_AVAILABLE`; an offset beyond the end is `OUT_OF_RANGE`, reason
    /// `WRONG_OFFSET`. A document that is being deleted has no content any more: `DOCUMENT_NOT_FOUND`.
    pub async fn content(
        &self,
        context: &CallContext,
        id: DocumentId,
        version: Option<u32>,
        kind: ContentKind,
        offset: u64,
    ) -> Result<Content> {
        let tenant = context.principal.tenant;
        let found = match version {
            Some(version) => self.ports.catalog.document_version(tenant, id, version).await?,
            None => self.ports.catalog.document(tenant, id).await?,
        };
        let document =
            found.filter(|document| document.state != DocumentState::Deleting).ok_or_else(|| document_not_found(id))?;
        match kind {
            ContentKind::Original => self.original(document, offset).await,
            ContentKind::Text => self.text(document, offset).await,
        }
    }

    async fn original(&self, document: Document, offset: u64) -> Result<Content> {
        check_offset(offset, document.size)?;
        let key = ObjectKey::original(document.tenant, document.version_id);
        let stream = self.ports.objects.get(&key, offset).await.map_err(|error| {
            if error.reason() != "OBJECT_NOT_FOUND" {
                return error;
            }
            Error::new(ErrorKind::DataLoss, "OBJECT_MISSING", "the stored bytes are gone; upload the document again")
                .with_source(error)
        })?;
        Ok(Content { content_type: document.content_type, size: document.size, stream })
    }

    async fn text(&self, document: Document, offset: u64) -> Result<Content> {
        if matches!(document.state, DocumentState::Uploaded | DocumentState::Processing) {
            return Err(text_not_available("the document has not been read yet; wait until it is processed"));
        }
        let turn = Arc::clone(&self.text_reads)
            .acquire_owned()
            .await
            .map_err(|error| Error::internal("TEXT_READS_CLOSED", "the text cannot be read").with_source(error))?;
        let key = ObjectKey::extracted(document.tenant, document.version_id);
        let stored = match self.ports.objects.get(&key, 0).await {
            Ok(stored) => stored.try_collect::<Vec<Bytes>>().await,
            Err(error) => Err(error),
        };
        let json = stored.map_err(|error| match error.reason() {
            "OBJECT_NOT_FOUND" => text_not_available("no text was extracted from the document").with_source(error),
            _ => error,
        })?;
        let text = tokio::task::spawn_blocking(move || only_text(&json.concat()))
            .await
            .map_err(|error| Error::internal("TEXT_UNREADABLE", "the text cannot be read").with_source(error))??;
        drop(turn);
        let size = text.len() as u64;
        check_offset(offset, size)?;
        // Below `size`, which is a length in memory.
        let rest = text.slice(usize::try_from(offset).unwrap_or(usize::MAX)..);
        let parts = (0..rest.len()).step_by(PART).map(move |at| Ok(rest.slice(at..rest.len().min(at + PART))));
        let stream = stream::iter(parts).boxed();
        Ok(Content { content_type: "text/plain; charset=utf-8".to_owned(), size, stream })
    }
}

/// The text of an extraction, without its positions.
fn only_text(json: &[u8]) -> Result<Bytes> {
    #[derive(Deserialize)]
    struct OnlyText<'a> {
        #[serde(borrow)]
        text: Cow<'a, str>,
    }
    let extracted: OnlyText<'_> = serde_json::from_slice(json).map_err(|error| {
        Error::new(ErrorKind::DataLoss, "TEXT_DAMAGED", "the stored text is damaged; upload the document again")
            .with_source(error)
    })?;
    Ok(Bytes::from(extracted.text.into_owned().into_bytes()))
}

fn check_offset(offset: u64, size: u64) -> Result<()> {
    if offset > size {
        return Err(Error::new(
            ErrorKind::OutOfRange,
            "WRONG_OFFSET",
            format!("the content has {size} bytes; byte {offset} is beyond its end"),
        )
        .with_metadata("size_bytes", size.to_string()));
    }
    Ok(())
}

fn text_not_available(message: &str) -> Error {
    Error::precondition("TEXT_NOT_AVAILABLE", message)
}

#[cfg(test)]
mod tests {
    use vectrion_core::extraction::Extracted;

    use super::*;

    #[test]
    fn the_text_of_a_stored_extraction_is_read_alone() {
        let text = "line \"one\"\n\u{1F642} tab\t\\".to_owned();
        let json = serde_json::to_vec(&Extracted { text: text.clone(), ..Extracted::default() }).expect("JSON");
        assert_eq!(only_text(&json).expect("the text"), text.as_bytes());
        assert_eq!(only_text(&json[..json.len() - 1]).expect_err("cut off").reason(), "TEXT_DAMAGED");
    }

    #[test]
    fn an_offset_may_be_the_end_but_not_beyond() {
        assert!(check_offset(5, 5).is_ok());
        let error = check_offset(6, 5).expect_err("beyond");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::OutOfRange, "WRONG_OFFSET"));
    }
}
