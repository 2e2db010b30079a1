//! Which dead letters.

use std::time::Duration;

use vectrion::v1;
use vectrion_core::{
    Error, Result,
    job::Stage,
    ports::jobs::{DeadLetterFilter, DeadLetterSelection},
};
use vectrion_pipeline::CollectionRef;

use super::fields::{at_most, id};

/// Bytes of a reason at the most.
const MAX_REASON_BYTES: usize = 128;
/// Dead letters that can be named at once.
const MAX_IDS: usize = 500;
/// Seconds of a hundred years.
const MAX_AGE_S: u64 = 100 * 366 * 86_400;

/// Of which collection, and the other conditions.
pub(crate) fn dead_letter_filter(
    filter: v1::DeadLetterFilter,
    prefix: &str,
) -> Result<(Option<CollectionRef>, DeadLetterFilter)> {
    let field = |name: &str| format!("{prefix}{name}");
    let collection = match filter.collection.as_str() {
        "" => None,
        text => Some(super::collection(&field("collection"), text)?),
    };
    let stage = match filter.stage.as_str() {
        "" => None,
        text => Some(text.parse::<Stage>().map_err(|_| {
            Error::invalid_field(field("stage"), "is one of process_document, embed_document, delete_document")
        })?),
    };
    if filter.reason.len() > MAX_REASON_BYTES {
        return Err(Error::invalid_field(field("reason"), format!("has at most {MAX_REASON_BYTES} bytes")));
    }
    let age = u64::try_from(filter.min_age_seconds)
        .map_err(|_| Error::invalid_field(field("min_age_seconds"), "must not be negative"))?;
    let filter = DeadLetterFilter {
        collection: None,
        stage,
        reason: Some(filter.reason).filter(|reason| !reason.is_empty()),
        min_age: (age > 0).then(|| Duration::from_secs(age.min(MAX_AGE_S))),
    };
    Ok((collection, filter))
}

/// Which dead letters a call is about: named ones, or all that meet at least one condition.
pub(crate) fn dead_letters(
    ids: Vec<String>,
    filter: Option<v1::DeadLetterFilter>,
) -> Result<(Option<CollectionRef>, DeadLetterSelection)> {
    let filter = filter.filter(|filter| *filter != v1::DeadLetterFilter::default());
    match (ids.is_empty(), filter) {
        (false, None) => {
            let ids = at_most("dead_letter_ids", ids, MAX_IDS)?;
            let mut ids = ids.iter().map(|text| id("dead_letter_ids", text)).collect::<Result<Vec<_>>>()?;
            ids.sort_unstable();
            ids.dedup();
            Ok((None, DeadLetterSelection::Ids(ids)))
        }
        (true, Some(filter)) => {
            let (collection, filter) = dead_letter_filter(filter, "filter.")?;
            Ok((collection, DeadLetterSelection::Matching(filter)))
        }
        (false, Some(_)) => Err(Error::invalid_field("filter", "must be empty when dead letters are named")),
        (true, None) => {
            Err(Error::invalid_field("dead_letter_ids", "must name dead letters, or filter must select them"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.expect_err("refused").violations()[0].field.clone()
    }

    fn by_reason(reason: &str) -> v1::DeadLetterFilter {
        v1::DeadLetterFilter { reason: reason.to_owned(), ..Default::default() }
    }

    #[test]
    fn a_selection_is_of_names_or_of_conditions() {
        let name = "0192f0c1-2f6b-7000-8000-000000000001".to_owned();
        let (_, named) = dead_letters(vec![name.clone(), name.clone()], None).expect("fine");
        assert!(matches!(named, DeadLetterSelection::Ids(ids) if ids.len() == 1), "each once");
        let (collection, matching) = dead_letters(vec![], Some(by_reason("NO_LUCK"))).expect("fine");
        assert!(collection.is_none());
        assert!(
            matches!(&matching, DeadLetterSelection::Matching(filter) if filter.reason.as_deref() == Some("NO_LUCK"))
        );
        assert_eq!(field(dead_letters(vec![], None)), "dead_letter_ids");
        assert_eq!(field(dead_letters(vec![], Some(v1::DeadLetterFilter::default()))), "dead_letter_ids");
        assert_eq!(field(dead_letters(vec![name.clone()], Some(by_reason("X")))), "filter");
        assert_eq!(field(dead_letters(vec!["x".to_owned()], None)), "dead_letter_ids");
        assert_eq!(field(dead_letters(vec![name; 501], None)), "dead_letter_ids");
    }

    #[test]
    fn conditions_are_checked() {
        let refused = |filter| field(dead_letter_filter(filter, "filter."));
        assert_eq!(refused(by_reason(&"X".repeat(129))), "filter.reason");
        assert_eq!(refused(v1::DeadLetterFilter { stage: "upload".to_owned(), ..Default::default() }), "filter.stage");
        let negative = v1::DeadLetterFilter { min_age_seconds: -1, ..Default::default() };
        assert_eq!(refused(negative), "filter.min_age_seconds");
        let filter = v1::DeadLetterFilter {
            collection: "manuals".to_owned(),
            stage: "embed_document".to_owned(),
            reason: String::new(),
            min_age_seconds: i64::MAX,
        };
        let (collection, filter) = dead_letter_filter(filter, "").expect("fine");
        assert_eq!(collection, Some(CollectionRef::Name("manuals".to_owned())));
        assert_eq!((filter.stage, filter.reason), (Some(Stage::EmbedDocument), None));
        assert_eq!(filter.min_age, Some(Duration::from_secs(MAX_AGE_S)));
    }
}
