//! Metadata: as JSON for showing, as rows for finding.

use sea_orm::{ColumnTrait as _, DatabaseTransaction, QueryFilter as _};
use sha2::{Digest as _, Sha256};
use vectrion_core::{
    document::Document,
    ids::{DocumentId, TenantId},
    metadata::{Metadata, MetadataValue},
};

use super::{change, view};
use crate::{
    Store,
    failure::Outcome,
    rows::{column, document_metadata},
    sql,
    time::Timed,
};

/// Bytes of a text that is stored as it is in the rows for finding; a longer one would not fit PostgreSQL's indexes, and
/// is found by its digest. So is one with a NUL, which PostgreSQL takes in no text.
const MAX_PLAIN_TEXT: usize = 512;

/// A value as a condition meets it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) kind: &'static str,
    pub(super) number: Option<f64>,
    pub(super) text: Option<String>,
}

/// How a value is found.
pub(super) fn key_of(value: &MetadataValue) -> Outcome<Key> {
    let number = |kind, number| Key { kind, number: Some(number), text: None };
    let text = |kind, text| Key { kind, number: None, text: Some(text) };
    Ok(match value {
        MetadataValue::Bool(value) => number("bool", f64::from(u8::from(*value))),
        // Zero has two signs, which are equal.
        MetadataValue::Number(value) => number("number", value + 0.0),
        MetadataValue::Text(value) if value.len() <= MAX_PLAIN_TEXT && !value.contains('\0') => {
            text("text", value.clone())
        }
        MetadataValue::Text(value) => text("long_text", hex::encode(Sha256::digest(value))),
        MetadataValue::List(_) => text("list", hex::encode(Sha256::digest(serde_json::to_vec(value)?))),
    })
}

/// Writes the metadata of a document in place of any from before, rows and JSON.
pub(super) async fn write(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    document: DocumentId,
    metadata: &Metadata,
) -> Outcome<()> {
    document_metadata::delete_for_tenant(tenant)
        .filter(document_metadata::Column::DocumentId.eq(document.0))
        .exec(tx)
        .await?;
    let mut rows = Vec::new();
    for (name, value) in metadata.entries() {
        // A list is found as a whole (so that an empty one exists, too) and by each of its values.
        let items = if let MetadataValue::List(items) = value { items.as_slice() } else { &[] };
        for (ordinal, value) in (0..).zip(std::iter::once(value).chain(items)) {
            let key = key_of(value)?;
            rows.push(document_metadata::Model {
                document_id: document.0,
                key: name.clone(),
                ordinal: column(ordinal),
                tenant_id: tenant.0,
                kind: key.kind.to_owned(),
                number_value: key.number,
                text_value: key.text,
            });
        }
    }
    document_metadata::insert_all(tx, rows).await?;
    sql::for_tenant(
        tenant,
        "UPDATE documents SET metadata = $3 WHERE tenant_id = $1 AND id = $2",
        [document.0.into(), serde_json::to_string(metadata)?.into()],
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn update(store: &Store, tenant: TenantId, id: DocumentId, metadata: &Metadata) -> Outcome<Document> {
    let tx = store.begin().await?;
    let known = change::hold_document(&tx, tenant, id).await?.filter(|known| !known.row.deleting);
    let Timed { row, now } = known.ok_or_else(view::missing)?;
    if serde_json::from_str::<Metadata>(&row.metadata)? != *metadata {
        write(&tx, tenant, id, metadata).await?;
        change::touch(&tx, tenant, id, now).await?;
    }
    let document = view::require(&tx, tenant, id).await?;
    tx.commit().await?;
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_different_types_have_different_keys() {
        let values = [
            MetadataValue::Bool(true),
            MetadataValue::Number(1.0),
            MetadataValue::Text("1".into()),
            MetadataValue::Text("x".repeat(513)),
            MetadataValue::Text(hex::encode(Sha256::digest("x".repeat(513)))),
            MetadataValue::List(vec![MetadataValue::Number(1.0)]),
            MetadataValue::List(vec![]),
        ];
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(key_of(a).expect("a key") == key_of(b).expect("a key"), i == j, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn the_sign_of_zero_does_not_matter() {
        let key = key_of(&MetadataValue::Number(-0.0)).expect("a key");
        assert_eq!(key.number.map(f64::to_bits), Some(0.0_f64.to_bits()));
    }
}
