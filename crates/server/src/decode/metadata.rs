//! Metadata, and conditions on it.

use std::collections::BTreeMap;

use prost_types::{Struct, Value, value::Kind};
use vectrion::v1::{self, metadata_condition::Test};
use vectrion_core::{
    Error, Result,
    metadata::{Metadata, MetadataCondition, MetadataTest, MetadataValue},
};

use super::fields::at_most;

/// Conditions of one filter at the most.
const MAX_CONDITIONS: usize = 32;
/// Values of one condition at the most.
const MAX_VALUES: usize = 256;

/// Metadata that must be there, be it empty.
pub(crate) fn required_metadata(field: &str, message: Option<Struct>) -> Result<Metadata> {
    metadata(field, message)?.ok_or_else(|| Error::invalid_field(field, "is required; an empty one removes all"))
}

/// Metadata; none if it is absent. `field` is the path of the message.
pub(super) fn metadata(field: &str, message: Option<Struct>) -> Result<Option<Metadata>> {
    let Some(message) = message else { return Ok(None) };
    let mut entries = BTreeMap::new();
    for (key, value) in message.fields {
        let value = match value.kind {
            Some(Kind::ListValue(list)) => {
                let items = list.values.into_iter().map(scalar).collect::<Option<Vec<_>>>();
                items.map(MetadataValue::List)
            }
            kind => scalar(Value { kind }),
        };
        let value = value.ok_or_else(|| {
            let rule = "a value is a string, a number, a truth value, or a list of them";
            Error::invalid_field(format!("{field}.{key}"), rule)
        })?;
        entries.insert(key, value);
    }
    // Its own checks name `metadata…`, which is the last part of every such field.
    let metadata = Metadata::new(entries).map_err(|error| match field.strip_suffix(".metadata") {
        Some(parent) => super::fields::within(parent, error),
        None => error,
    })?;
    Ok(Some(metadata))
}

/// A string, a number or a truth value; none for anything else.
fn scalar(value: Value) -> Option<MetadataValue> {
    match value.kind? {
        Kind::NumberValue(number) => Some(MetadataValue::Number(number)),
        Kind::StringValue(text) => Some(MetadataValue::Text(text)),
        Kind::BoolValue(truth) => Some(MetadataValue::Bool(truth)),
        Kind::NullValue(_) | Kind::StructValue(_) | Kind::ListValue(_) => None,
    }
}

/// Conditions; `field` is the path of the list.
pub(super) fn conditions(field: &str, messages: Vec<v1::MetadataCondition>) -> Result<Vec<MetadataCondition>> {
    let messages = at_most(field, messages, MAX_CONDITIONS)?;
    messages.into_iter().enumerate().map(|(n, message)| condition(&format!("{field}[{n}]"), message)).collect()
}

fn condition(field: &str, message: v1::MetadataCondition) -> Result<MetadataCondition> {
    if message.key.is_empty() || message.key.len() > Metadata::MAX_KEY_BYTES {
        let rule = format!("has 1 to {} bytes", Metadata::MAX_KEY_BYTES);
        return Err(Error::invalid_field(format!("{field}.key"), rule));
    }
    let test = match message.test {
        None => return Err(Error::invalid_field(field, "needs one of equals, any_of, range and exists")),
        Some(Test::Exists(exists)) => MetadataTest::Exists(exists),
        Some(Test::Equals(value)) => MetadataTest::Equals(finite_scalar(&format!("{field}.equals"), value)?),
        Some(Test::AnyOf(list)) => {
            let field = format!("{field}.any_of");
            if list.values.is_empty() {
                return Err(Error::invalid_field(field, "needs at least one value"));
            }
            let values = at_most(&field, list.values, MAX_VALUES)?;
            MetadataTest::AnyOf(values.into_iter().map(|value| finite_scalar(&field, value)).collect::<Result<_>>()?)
        }
        Some(Test::Range(range)) => {
            let v1::NumberRange { gte, gt, lte, lt } = range;
            let bounds = [gte, gt, lte, lt];
            if bounds.iter().all(Option::is_none) || bounds.iter().flatten().any(|bound| !bound.is_finite()) {
                return Err(Error::invalid_field(
                    format!("{field}.range"),
                    "needs at least one bound, and finite ones",
                ));
            }
            MetadataTest::Range { gte, gt, lte, lt }
        }
    };
    Ok(MetadataCondition { key: message.key, test })
}

fn finite_scalar(field: &str, value: Value) -> Result<MetadataValue> {
    match scalar(value) {
        Some(MetadataValue::Number(number)) if !number.is_finite() => {
            Err(Error::invalid_field(field, "must be finite"))
        }
        Some(value) => Ok(value),
        None => Err(Error::invalid_field(field, "must be a string, a number or a truth value")),
    }
}

#[cfg(test)]
mod tests {
    use prost_types::ListValue;

    use super::*;
    use crate::decode::fields::tests::field;

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    fn text(text: &str) -> Value {
        value(Kind::StringValue(text.into()))
    }

    fn list(values: Vec<Value>) -> Value {
        value(Kind::ListValue(ListValue { values }))
    }

    fn one(key: &str, value: Value) -> Option<Struct> {
        Some(Struct { fields: [(key.to_owned(), value)].into() })
    }

    #[test]
    fn scalars_and_lists_of_them_are_taken() {
        let message = Struct {
            fields: [
                ("a".to_owned(), text("x")),
                ("b".to_owned(), value(Kind::NumberValue(2.5))),
                ("c".to_owned(), value(Kind::BoolValue(true))),
                ("d".to_owned(), list(vec![text("x"), value(Kind::NumberValue(1.0))])),
            ]
            .into(),
        };
        let metadata = required_metadata("metadata", Some(message)).expect("fine");
        assert_eq!(metadata.entries()["b"], MetadataValue::Number(2.5));
        assert_eq!(
            metadata.entries()["d"],
            MetadataValue::List(vec![MetadataValue::Text("x".into()), MetadataValue::Number(1.0)])
        );
    }

    #[test]
    fn absent_and_empty_are_two_things() {
        assert_eq!(metadata("header.metadata", None).expect("fine"), None);
        assert_eq!(metadata("metadata", Some(Struct::default())).expect("fine"), Some(Metadata::default()));
        assert_eq!(field(required_metadata("metadata", None)), "metadata");
    }

    #[test]
    fn other_values_are_refused_by_the_path_of_their_key() {
        for bad in [
            value(Kind::NullValue(0)),
            value(Kind::StructValue(Struct::default())),
            Value { kind: None },
            list(vec![list(vec![])]),
            list(vec![value(Kind::NullValue(0))]),
            value(Kind::NumberValue(f64::NAN)),
            list(vec![value(Kind::NumberValue(f64::INFINITY))]),
            text(&"x".repeat(5000)),
        ] {
            assert_eq!(field(metadata("metadata", one("k", bad.clone()))), "metadata.k");
            assert_eq!(field(metadata("header.metadata", one("k", bad))), "header.metadata.k");
        }
        assert_eq!(field(metadata("metadata", one("", text("x")))), "metadata.");
        let many = Struct { fields: (0..65).map(|n| (n.to_string(), text("x"))).collect() };
        assert_eq!(field(metadata("header.metadata", Some(many))), "header.metadata");
    }

    fn decoded(key: &str, test: Option<Test>) -> Result<Vec<MetadataCondition>> {
        conditions("filter.metadata", vec![v1::MetadataCondition { key: key.into(), test }])
    }

    #[test]
    fn every_test_is_taken() {
        let range = v1::NumberRange { gte: Some(1.0), lt: Some(2.0), ..Default::default() };
        for (test, expected) in [
            (Test::Equals(text("x")), MetadataTest::Equals(MetadataValue::Text("x".into()))),
            (Test::Exists(false), MetadataTest::Exists(false)),
            (
                Test::AnyOf(ListValue { values: vec![text("x")] }),
                MetadataTest::AnyOf(vec![MetadataValue::Text("x".into())]),
            ),
            (Test::Range(range), MetadataTest::Range { gte: Some(1.0), gt: None, lte: None, lt: Some(2.0) }),
        ] {
            let conditions = decoded("k", Some(test)).expect("fine");
            assert_eq!(conditions, [MetadataCondition { key: "k".into(), test: expected }]);
        }
    }

    #[test]
    fn broken_conditions_are_named() {
        let nan = v1::NumberRange { gt: Some(f64::NAN), ..Default::default() };
        for (key, test, path) in [
            ("", Some(Test::Exists(true)), "filter.metadata[0].key"),
            ("k", None, "filter.metadata[0]"),
            ("k", Some(Test::Equals(list(vec![]))), "filter.metadata[0].equals"),
            ("k", Some(Test::Equals(value(Kind::NumberValue(f64::NAN)))), "filter.metadata[0].equals"),
            ("k", Some(Test::AnyOf(ListValue::default())), "filter.metadata[0].any_of"),
            ("k", Some(Test::AnyOf(ListValue { values: vec![text("x"); 257] })), "filter.metadata[0].any_of"),
            ("k", Some(Test::Range(v1::NumberRange::default())), "filter.metadata[0].range"),
            ("k", Some(Test::Range(nan)), "filter.metadata[0].range"),
        ] {
            assert_eq!(field(decoded(key, test)), path);
        }
        let many = vec![v1::MetadataCondition { key: "k".into(), test: Some(Test::Exists(true)) }; 33];
        assert_eq!(field(conditions("filter.metadata", many)), "filter.metadata");
    }
}
