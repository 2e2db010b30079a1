//! How words become sparse vectors, the same way in every index.

use qdrant_edge::bm25_embed::{EdgeBm25, EdgeBm25Config};
use serde::Deserialize;
use vectrion_core::{Error, Result};

/// How words are weighed. Changes apply to points written from then on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bm25Settings {
    /// Language of the word stems and of the words that are left out.
    pub language: String,
    /// How soon further occurrences of a word stop to count.
    pub k1: f64,
    /// How much long texts are held back, 0 to 1.
    pub b: f64,
    /// Words of a chunk on average, without those that are left out.
    pub average_length: f64,
}

impl Default for Bm25Settings {
    fn default() -> Self {
        Self { language: "english".to_owned(), k1: 1.2, b: 0.75, average_length: 120.0 }
    }
}

impl Bm25Settings {
    /// What turns text into sparse vectors: lower case, English stop words and Snowball stems unless set otherwise, one
    /// weight per distinct word. A query's weights are multiplied with the inverse document frequencies of the tenant.
    /// `section` is where in the configuration these settings are.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, reason `INVALID_FIELD`, naming the key.
    pub(super) fn embedder(&self, section: &str) -> Result<EdgeBm25> {
        let number = |key: &str, value: f64| {
            value.try_into().map_err(|_| Error::invalid_field(format!("{section}.{key}"), "must be a number"))
        };
        let config = EdgeBm25Config {
            k: number("k1", self.k1)?,
            b: number("b", self.b)?,
            avg_len: number("average_length", self.average_length)?,
            language: Some(self.language.clone()),
            ..EdgeBm25Config::default()
        };
        EdgeBm25::new(config).map_err(|error| Error::invalid_field(section, error.to_string()).with_source(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        Bm25Settings::default().embedder("here.bm25").unwrap();
        for wrong in [
            Bm25Settings { language: "klingon".to_owned(), ..Bm25Settings::default() },
            Bm25Settings { average_length: 0.0, ..Bm25Settings::default() },
            Bm25Settings { k1: f64::NAN, ..Bm25Settings::default() },
            Bm25Settings { b: 1.5, ..Bm25Settings::default() },
        ] {
            let error = wrong.embedder("here.bm25").expect_err("cannot work");
            assert_eq!(error.reason(), "INVALID_FIELD");
            assert!(error.violations()[0].field.starts_with("here.bm25"), "{error}");
        }
    }
}
