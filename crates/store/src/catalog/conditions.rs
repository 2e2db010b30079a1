//! Filters as SQL. The document is `d`, the tenant `$1`.

use vectrion_core::{
    document::DocumentFilter,
    metadata::{MetadataCondition, MetadataTest, MetadataValue},
    search::SearchFilter,
};

use super::metadata::key_of;
use crate::{failure::Outcome, sql::Sql};

/// What a query starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// From documents that are known or in order already: conditions are probed for each.
    Documents,
    /// From nothing: documents are found by the metadata.
    Metadata,
}

/// Narrows a query down to the documents that a list or watch shows.
pub(super) fn add_document_filter(query: &mut Sql, filter: &DocumentFilter) -> Outcome<()> {
    if let Some(collection) = filter.collection {
        query.push(" AND d.collection_id = ").bind(collection.0);
    }
    if !filter.documents.is_empty() {
        query.push(" AND d.id IN ").bind_list(filter.documents.iter().map(|id| id.0));
    }
    if !filter.states.is_empty() {
        query.push(" AND d.state IN ").bind_list(filter.states.iter().map(|state| state.as_str()));
    }
    let texts = [&filter.external_id, &filter.filename_contains];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        // In no name, and PostgreSQL takes it in no text.
        query.push(" AND FALSE");
        return Ok(());
    }
    if let Some(external_id) = &filter.external_id {
        query.push(" AND d.external_id = ").bind(external_id.as_str());
    }
    if let Some(part) = &filter.filename_contains {
        // The byte order of the column makes LOWER fold ASCII and nothing else, in both databases.
        query.push(" AND LOWER(d.filename) LIKE ").bind(containing(part)).push(" ESCAPE '!'");
    }
    add_metadata(query, &filter.metadata, Start::Documents)
}

/// Narrows a query down to the searchable documents that a search covers.
pub(super) fn add_search_filter(query: &mut Sql, filter: &SearchFilter, start: Start) -> Outcome<()> {
    query.push(" AND d.deleting = FALSE AND d.indexed_version_id IS NOT NULL");
    if !filter.collections.is_empty() {
        query.push(" AND d.collection_id IN ").bind_list(filter.collections.iter().map(|id| id.0));
    }
    if !filter.documents.is_empty() {
        query.push(" AND d.id IN ").bind_list(filter.documents.iter().map(|id| id.0));
    }
    add_metadata(query, &filter.metadata, start)
}

/// A pattern for texts in lower case that contain this text.
fn containing(part: &str) -> String {
    let mut pattern = String::from("%");
    for c in part.to_ascii_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn add_metadata(query: &mut Sql, conditions: &[MetadataCondition], start: Start) -> Outcome<()> {
    for condition in conditions {
        let negated = condition.test == MetadataTest::Exists(false);
        query.push(match (start, negated) {
            (Start::Documents, false) => " AND EXISTS (SELECT 1 FROM document_metadata m WHERE m.document_id = d.id",
            (Start::Documents, true) => " AND NOT EXISTS (SELECT 1 FROM document_metadata m WHERE m.document_id = d.id",
            (Start::Metadata, false) => {
                " AND d.id IN (SELECT m.document_id FROM document_metadata m WHERE m.tenant_id = $1"
            }
            (Start::Metadata, true) => {
                " AND d.id NOT IN (SELECT m.document_id FROM document_metadata m WHERE m.tenant_id = $1"
            }
        });
        query.push(" AND m.key = ").bind(condition.key.as_str());
        add_test(query, &condition.test)?;
        query.push(")");
    }
    Ok(())
}

fn add_test(query: &mut Sql, test: &MetadataTest) -> Outcome<()> {
    match test {
        MetadataTest::Exists(_) => {}
        MetadataTest::Equals(value) => add_any_of(query, std::slice::from_ref(value))?,
        MetadataTest::AnyOf(values) => add_any_of(query, values)?,
        MetadataTest::Range { gte, gt, lte, lt } => {
            query.push(" AND m.kind = 'number'");
            for (operator, bound) in [(">=", gte), (">", gt), ("<=", lte), ("<", lt)] {
                match bound {
                    // Nothing compares with it; PostgreSQL would hold it for the largest number.
                    Some(bound) if bound.is_nan() => {
                        query.push(" AND FALSE");
                    }
                    Some(bound) => {
                        query.push(" AND m.number_value ").push(operator).push(" ").bind(*bound);
                    }
                    None => {}
                }
            }
        }
    }
    Ok(())
}

fn add_any_of(query: &mut Sql, values: &[MetadataValue]) -> Outcome<()> {
    query.push(" AND (FALSE");
    for value in values {
        let key = key_of(value)?;
        match (key.number, key.text) {
            (Some(number), _) if !number.is_nan() => {
                query.push(" OR (m.kind = ").bind(key.kind).push(" AND m.number_value = ").bind(number).push(")");
            }
            (None, Some(text)) => {
                query.push(" OR (m.kind = ").bind(key.kind).push(" AND m.text_value = ").bind(text).push(")");
            }
            _ => {}
        }
    }
    query.push(")");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_in_a_name_are_plain_characters() {
        assert_eq!(containing("50%_Off!"), "%50!%!_off!!%");
    }
}
