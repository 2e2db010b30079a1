//! Metadata that callers attach to documents, and conditions on it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A value of metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MetadataValue {
    /// A truth value.
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// Text.
    Text(String),
    /// A list of scalars.
    List(Vec<MetadataValue>),
}

/// Metadata of a document, by key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<String, MetadataValue>);

impl Metadata {
    /// Keys at the most.
    pub const MAX_KEYS: usize = 64;
    /// Bytes of a key at the most.
    pub const MAX_KEY_BYTES: usize = 128;
    /// Bytes of a text at the most.
    pub const MAX_TEXT_BYTES: usize = 4096;
    /// Values of a list at the most.
    pub const MAX_LIST: usize = 256;

    /// Checks the rules and keeps the entries.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming `metadata.<key>`: too many keys, an empty or too long key, a number that is not
    /// finite, a text that is too long, a list that is too long or holds a list.
    pub fn new(entries: BTreeMap<String, MetadataValue>) -> Result<Self> {
        if entries.len() > Self::MAX_KEYS {
            return Err(Error::invalid_field("metadata", format!("has more than {} keys", Self::MAX_KEYS)));
        }
        for (key, value) in &entries {
            let field = || format!("metadata.{key}");
            if key.is_empty() || key.len() > Self::MAX_KEY_BYTES || key.chars().any(char::is_control) {
                return Err(Error::invalid_field(
                    field(),
                    format!("a key has 1 to {} bytes and no control characters", Self::MAX_KEY_BYTES),
                ));
            }
            match value {
                MetadataValue::List(items) => {
                    if items.len() > Self::MAX_LIST {
                        return Err(Error::invalid_field(
                            field(),
                            format!("a list has at most {} values", Self::MAX_LIST),
                        ));
                    }
                    for item in items {
                        check_scalar(item).map_err(|rule| Error::invalid_field(field(), rule))?;
                    }
                }
                scalar => check_scalar(scalar).map_err(|rule| Error::invalid_field(field(), rule))?,
            }
        }
        Ok(Self(entries))
    }

    /// The entries by key.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, MetadataValue> {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn check_scalar(value: &MetadataValue) -> Result<(), String> {
    match value {
        MetadataValue::List(_) => Err("a list holds strings, numbers and truth values only".into()),
        MetadataValue::Number(number) if !number.is_finite() => Err("a number is finite".into()),
        MetadataValue::Text(text) if text.len() > Metadata::MAX_TEXT_BYTES => {
            Err(format!("a text has at most {} bytes", Metadata::MAX_TEXT_BYTES))
        }
        MetadataValue::Bool(_) | MetadataValue::Number(_) | MetadataValue::Text(_) => Ok(()),
    }
}

/// A condition on one key. A list matches when one of its values does.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataCondition {
    /// The key.
    pub key: String,
    /// What the value must be.
    pub test: MetadataTest,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataTest {
    /// Equal, of the same type.
    Equals(MetadataValue),
    /// Equal to one of these scalars.
    AnyOf(Vec<MetadataValue>),
    /// A number within bounds, each optional.
    Range {
        /// At least.
        gte: Option<f64>,
        /// More than.
        gt: Option<f64>,
        /// At most.
        lte: Option<f64>,
        /// Less than.
        lt: Option<f64>,
    },
    /// The key is there (or is not).
    Exists(bool),
}
