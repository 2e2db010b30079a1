//! Metadata.

use prost_types::{ListValue, Struct, Value, value::Kind};
use vectrion_core::metadata::{Metadata, MetadataValue};

pub(super) fn metadata(metadata: &Metadata) -> Struct {
    Struct { fields: metadata.entries().iter().map(|(key, entry)| (key.clone(), value(entry))).collect() }
}

fn value(entry: &MetadataValue) -> Value {
    let kind = match entry {
        MetadataValue::Bool(truth) => Kind::BoolValue(*truth),
        MetadataValue::Number(number) => Kind::NumberValue(*number),
        MetadataValue::Text(text) => Kind::StringValue(text.clone()),
        MetadataValue::List(items) => Kind::ListValue(ListValue { values: items.iter().map(value).collect() }),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn what_was_decoded_is_encoded_the_same() {
        let text = |text: &str| Value { kind: Some(Kind::StringValue(text.into())) };
        let message = Struct {
            fields: [
                (
                    "list".to_owned(),
                    Value { kind: Some(Kind::ListValue(ListValue { values: vec![text("a"), text("b")] })) },
                ),
                ("number".to_owned(), Value { kind: Some(Kind::NumberValue(-0.5)) }),
                ("truth".to_owned(), Value { kind: Some(Kind::BoolValue(false)) }),
                ("text".to_owned(), text("")),
            ]
            .into(),
        };
        let decoded = decode::required_metadata("metadata", Some(message.clone())).expect("fine");
        assert_eq!(metadata(&decoded), message);
    }
}
