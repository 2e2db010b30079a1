//! Which documents, in which order, which version, which content.

use vectrion::v1;
use vectrion_core::{
    Error, Result,
    document::{DocumentFilter, DocumentOrder, DocumentOrderField, DocumentState},
    ids::DocumentId,
};
use vectrion_pipeline::{CollectionRef, ingestion::ContentKind};

use super::{fields::at_most, metadata::conditions};

/// Documents named in one filter at the most.
const MAX_DOCUMENTS: usize = 1000;
/// Bytes of a text to look for at the most.
const MAX_TEXT_BYTES: usize = 1024;

/// The collection, if one is named, and the rest of the filter.
pub(crate) fn document_filter(message: Option<v1::DocumentFilter>) -> Result<(Option<CollectionRef>, DocumentFilter)> {
    let message = message.unwrap_or_default();
    let collection = (!message.collection.is_empty()).then(|| CollectionRef::parse(&message.collection));
    let mut states = Vec::new();
    for state in message.states {
        let state = state_of(state).ok_or_else(|| {
            Error::invalid_field("filter.states", "holds states of documents, such as DOCUMENT_STATE_INDEXED")
        })?;
        if !states.contains(&state) {
            states.push(state);
        }
    }
    let filter = DocumentFilter {
        collection: None,
        documents: document_ids("filter.document_ids", message.document_ids)?,
        states,
        external_id: bounded("filter.external_id", message.external_id)?,
        filename_contains: bounded("filter.filename_contains", message.filename_contains)?,
        metadata: conditions("filter.metadata", message.metadata)?,
    };
    Ok((collection, filter))
}

pub(super) fn document_ids(field: &str, texts: Vec<String>) -> Result<Vec<DocumentId>> {
    let texts = at_most(field, texts, MAX_DOCUMENTS)?;
    texts.iter().map(|text| text.parse().map_err(|_| Error::invalid_field(field, "holds UUIDs"))).collect()
}

fn bounded(field: &str, text: String) -> Result<Option<String>> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Error::invalid_field(field, format!("has at most {MAX_TEXT_BYTES} bytes")));
    }
    Ok((!text.is_empty()).then_some(text))
}

fn state_of(number: i32) -> Option<DocumentState> {
    Some(match v1::DocumentState::try_from(number).ok()? {
        v1::DocumentState::Unspecified => return None,
        v1::DocumentState::Uploaded => DocumentState::Uploaded,
        v1::DocumentState::Processing => DocumentState::Processing,
        v1::DocumentState::Processed => DocumentState::Processed,
        v1::DocumentState::Embedding => DocumentState::Embedding,
        v1::DocumentState::Indexed => DocumentState::Indexed,
        v1::DocumentState::Failed => DocumentState::Failed,
        v1::DocumentState::Deleting => DocumentState::Deleting,
    })
}

/// `create_time`, `update_time` or `filename`, each optionally followed by ` desc`.
pub(crate) fn document_order(text: &str) -> Result<DocumentOrder> {
    let mut words = text.split_ascii_whitespace();
    let by = match words.next() {
        None | Some("create_time") => DocumentOrderField::CreateTime,
        Some("update_time") => DocumentOrderField::UpdateTime,
        Some("filename") => DocumentOrderField::Filename,
        Some(_) => return Err(no_order()),
    };
    let descending = match words.next() {
        None => false,
        Some("desc") => true,
        Some(_) => return Err(no_order()),
    };
    if words.next().is_some() {
        return Err(no_order());
    }
    Ok(DocumentOrder { by, descending })
}

fn no_order() -> Error {
    Error::invalid_field(
        "order_by",
        "must be create_time, update_time or filename, each optionally followed by ` desc`",
    )
}

/// The number of a version; none for 0, the newest.
pub(crate) fn version(field: &str, number: i32) -> Result<Option<u32>> {
    let number = u32::try_from(number).map_err(|_| Error::invalid_field(field, "must not be negative"))?;
    Ok((number != 0).then_some(number))
}

/// A position in the history of changes.
pub(crate) fn revision(field: &str, number: i64) -> Result<i64> {
    if number < 0 {
        return Err(Error::invalid_field(field, "must not be negative"));
    }
    Ok(number)
}

/// Which content.
pub(crate) fn content_kind(field: &str, number: i32) -> Result<ContentKind> {
    match v1::ContentKind::try_from(number) {
        Ok(v1::ContentKind::Unspecified | v1::ContentKind::Original) => Ok(ContentKind::Original),
        Ok(v1::ContentKind::Text) => Ok(ContentKind::Text),
        Err(_) => Err(Error::invalid_field(field, "must be CONTENT_KIND_ORIGINAL or CONTENT_KIND_TEXT")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fields::tests::field;

    const ID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

    #[test]
    fn an_absent_filter_means_any_document() {
        assert_eq!(document_filter(None).expect("fine"), (None, DocumentFilter::default()));
    }

    #[test]
    fn every_condition_is_taken() {
        let message = v1::DocumentFilter {
            collection: "reports".into(),
            document_ids: vec![ID.into()],
            states: vec![5, 6, 5],
            external_id: "a".into(),
            filename_contains: ".pdf".into(),
            metadata: Vec::new(),
        };
        let (collection, filter) = document_filter(Some(message)).expect("fine");
        assert_eq!(collection, Some(CollectionRef::Name("reports".into())));
        assert_eq!(filter.documents, [ID.parse().expect("an id")]);
        assert_eq!(filter.states, [DocumentState::Indexed, DocumentState::Failed]);
        assert_eq!(filter.external_id.as_deref(), Some("a"));
        assert_eq!(filter.filename_contains.as_deref(), Some(".pdf"));
    }

    #[test]
    fn every_state_of_the_contract_is_known() {
        let known: Vec<_> = (1..=7).filter_map(state_of).collect();
        assert_eq!(known, DocumentState::ALL);
    }

    #[test]
    fn broken_filters_are_named() {
        let broken = |change: fn(&mut v1::DocumentFilter)| {
            let mut message = v1::DocumentFilter::default();
            change(&mut message);
            field(document_filter(Some(message)))
        };
        assert_eq!(broken(|f| f.document_ids = vec!["x".into()]), "filter.document_ids");
        assert_eq!(broken(|f| f.document_ids = vec![ID.into(); 1001]), "filter.document_ids");
        assert_eq!(broken(|f| f.states = vec![0]), "filter.states");
        assert_eq!(broken(|f| f.states = vec![99]), "filter.states");
        assert_eq!(broken(|f| f.external_id = "x".repeat(1025)), "filter.external_id");
        assert_eq!(broken(|f| f.metadata = vec![v1::MetadataCondition::default()]), "filter.metadata[0].key");
    }

    #[test]
    fn orders_are_a_field_and_a_direction() {
        let order = |by, descending| DocumentOrder { by, descending };
        for (text, expected) in [
            ("", order(DocumentOrderField::CreateTime, false)),
            ("create_time desc", order(DocumentOrderField::CreateTime, true)),
            ("update_time", order(DocumentOrderField::UpdateTime, false)),
            ("filename desc", order(DocumentOrderField::Filename, true)),
        ] {
            assert_eq!(document_order(text).expect("fine"), expected);
        }
        for bad in ["size", "filename asc", "filename desc desc", "filename, size", "FILENAME"] {
            assert_eq!(field(document_order(bad)), "order_by");
        }
    }

    #[test]
    fn numbers_are_not_negative() {
        assert_eq!(version("version", 0).expect("fine"), None);
        assert_eq!(version("version", 3).expect("fine"), Some(3));
        assert_eq!(field(version("version", -1)), "version");
        assert_eq!(revision("after_revision", 0).expect("fine"), 0);
        assert_eq!(field(revision("after_revision", -1)), "after_revision");
    }

    #[test]
    fn content_is_the_original_unless_text_is_asked_for() {
        assert_eq!(content_kind("kind", 0).expect("fine"), ContentKind::Original);
        assert_eq!(content_kind("kind", 2).expect("fine"), ContentKind::Text);
        assert_eq!(field(content_kind("kind", 3)), "kind");
    }
}
