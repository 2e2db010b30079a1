//! `K=V` on the command line.

use std::collections::BTreeMap;

use prost_types::{ListValue, Struct, Value, value::Kind};
use vectrion::v1::{MetadataCondition, metadata_condition::Test};

use crate::failure::Failure;

/// Metadata of `--metadata K=V` flags; none without a flag.
pub(crate) fn metadata(pairs: &[String]) -> Result<Option<Struct>, Failure> {
    if pairs.is_empty() {
        return Ok(None);
    }
    let mut fields = BTreeMap::new();
    for text in pairs {
        let (key, value) = pair(text)?;
        fields.insert(key, value);
    }
    Ok(Some(Struct { fields }))
}

/// Conditions of `--filter K=V` flags: equal, or for a list one of its values.
pub(crate) fn conditions(pairs: &[String]) -> Result<Vec<MetadataCondition>, Failure> {
    pairs
        .iter()
        .map(|text| {
            let (key, value) = pair(text)?;
            let test = match value.kind {
                Some(Kind::ListValue(list)) => Test::AnyOf(list),
                _ => Test::Equals(value),
            };
            Ok(MetadataCondition { key, test: Some(test) })
        })
        .collect()
}

fn pair(text: &str) -> Result<(String, Value), Failure> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), read(value))),
        _ => Err(Failure::Usage(format!("{text:?} is not K=V, such as year=2026 or team=\"red\""))),
    }
}

/// A JSON scalar or list of scalars, else the text itself.
fn read(text: &str) -> Value {
    let kind = serde_json::from_str::<serde_json::Value>(text).ok().and_then(|json| scalar_or_list(&json));
    Value { kind: Some(kind.unwrap_or_else(|| Kind::StringValue(text.to_owned()))) }
}

fn scalar_or_list(json: &serde_json::Value) -> Option<Kind> {
    match json {
        serde_json::Value::Bool(value) => Some(Kind::BoolValue(*value)),
        serde_json::Value::Number(value) => value.as_f64().map(Kind::NumberValue),
        serde_json::Value::String(value) => Some(Kind::StringValue(value.clone())),
        serde_json::Value::Array(items) => {
            let values = items
                .iter()
                .map(|item| match item {
                    serde_json::Value::Array(_) => None,
                    item => scalar_or_list(item).map(|kind| Value { kind: Some(kind) }),
                })
                .collect::<Option<Vec<_>>>()?;
            Some(Kind::ListValue(ListValue { values }))
        }
        serde_json::Value::Null | serde_json::Value::Object(_) => None,
    }
}

/// A value as a person writes it.
pub(crate) fn show(value: &Value) -> String {
    match &value.kind {
        Some(Kind::BoolValue(value)) => value.to_string(),
        Some(Kind::NumberValue(value)) => value.to_string(),
        Some(Kind::StringValue(value)) => value.clone(),
        Some(Kind::ListValue(list)) => list.values.iter().map(show).collect::<Vec<_>>().join(", "),
        Some(Kind::NullValue(_) | Kind::StructValue(_)) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_scalars_or_lists_else_text() {
        let kind = |text: &str| pair(text).unwrap().1.kind.unwrap();
        assert_eq!(kind("a=12"), Kind::NumberValue(12.0));
        assert_eq!(kind("a=true"), Kind::BoolValue(true));
        assert_eq!(kind("a=\"12\""), Kind::StringValue("12".into()));
        assert_eq!(kind("a=red team"), Kind::StringValue("red team".into()));
        assert_eq!(kind("a=x=y"), Kind::StringValue("x=y".into()));
        assert_eq!(kind("a={\"b\":1}"), Kind::StringValue("{\"b\":1}".into()));
        assert!(matches!(kind("a=[1,\"x\"]"), Kind::ListValue(list) if list.values.len() == 2));
        assert!(pair("novalue").is_err() && pair("=x").is_err());
    }
}
