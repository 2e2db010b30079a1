//! Settings of a Qdrant server as the vector index.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use vectrion_core::{Error, Result};

use crate::vectors::bm25::Bm25Settings;

/// Settings of a Qdrant server as the vector index.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QdrantSettings {
    /// Beginning of the names of collections, unless the path of the URL gives it: `http://host:6334/prefix`. Letters,
    /// digits and `_` alone. Installations with prefixes of their own share a server.
    pub prefix: String,
    /// PEM file of the authorities that may sign the server's certificate; those of the system if it is not set.
    pub ca_file: Option<PathBuf>,
    /// Milliseconds until a connection must be there.
    pub connect_timeout_ms: u64,
    /// Milliseconds that reading may take.
    pub read_timeout_ms: u64,
    /// Milliseconds that a change may take.
    pub write_timeout_ms: u64,
    /// Points sent at once, at the most.
    pub batch_points: usize,
    /// Bytes sent at once, at the most, unless one point has more.
    pub batch_bytes: usize,
    /// Shards of a new collection; 0: as the server is configured.
    pub shards: u32,
    /// Copies of each shard of a new collection; 0: as the server is configured.
    pub replicas: u32,
    /// Neighbours of a vector in the graph of its tenant; of new collections.
    pub hnsw_m: u64,
    /// Candidates looked at while a graph is built; of new collections.
    pub hnsw_ef_construct: u64,
    /// Candidates looked at while searching.
    pub hnsw_ef: u64,
    /// Distinct words of a query that are searched, at the most.
    pub max_query_words: usize,
    /// Words whose frequency is asked for at once.
    pub concurrent_counts: usize,
    /// Milliseconds that the frequency of a word in a tenant's texts is remembered.
    pub frequencies_ttl_ms: u64,
    /// Frequencies that are remembered, at the most.
    pub max_frequencies: usize,
    /// Words.
    pub bm25: Bm25Settings,
}

impl Default for QdrantSettings {
    fn default() -> Self {
        Self {
            prefix: "vectrion".to_owned(),
            ca_file: None,
            connect_timeout_ms: 2000,
            read_timeout_ms: 10_000,
            write_timeout_ms: 60_000,
            batch_points: 256,
            batch_bytes: 4 << 20,
            shards: 0,
            replicas: 0,
            hnsw_m: 16,
            hnsw_ef_construct: 128,
            hnsw_ef: 128,
            max_query_words: 256,
            concurrent_counts: 16,
            frequencies_ttl_ms: 30_000,
            max_frequencies: 100_000,
            bm25: Bm25Settings::default(),
        }
    }
}

impl QdrantSettings {
    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, reason `INVALID_FIELD`, naming the key.
    pub(super) fn validate(&self) -> Result<()> {
        let rules = [
            ("connect_timeout_ms", self.connect_timeout_ms >= 1, "must be at least 1"),
            ("read_timeout_ms", self.read_timeout_ms >= 1, "must be at least 1"),
            ("write_timeout_ms", self.write_timeout_ms >= 1, "must be at least 1"),
            ("batch_points", self.batch_points >= 1, "must be at least 1"),
            ("batch_bytes", self.batch_bytes >= 1, "must be at least 1"),
            ("hnsw_m", (2..=256).contains(&self.hnsw_m), "must be 2 to 256"),
            ("hnsw_ef_construct", self.hnsw_ef_construct >= 4, "must be at least 4"),
            ("hnsw_ef", self.hnsw_ef >= 1, "must be at least 1"),
            ("max_query_words", self.max_query_words >= 1, "must be at least 1"),
            ("concurrent_counts", self.concurrent_counts >= 1, "must be at least 1"),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((key, _, rule)) => Err(Error::invalid_field(format!("vectors.{key}"), rule)),
            None => Ok(()),
        }
    }

    /// Time until a connection must be there.
    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// Time that reading may take.
    pub(super) fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout_ms)
    }

    /// Time that a change may take.
    pub(super) fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }

    /// Time that a frequency is remembered.
    pub(super) fn frequencies_ttl(&self) -> Duration {
        Duration::from_millis(self.frequencies_ttl_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        QdrantSettings::default().validate().unwrap();
        let wrong = QdrantSettings { batch_points: 0, ..QdrantSettings::default() };
        let error = wrong.validate().expect_err("nothing could be sent");
        assert_eq!(error.violations()[0].field, "vectors.batch_points");
        let settings: QdrantSettings = serde_json::from_str(r#"{"hnsw_ef": 64, "ca_file": "/ca.pem"}"#).unwrap();
        assert_eq!((settings.hnsw_ef, settings.ca_file), (64, Some(PathBuf::from("/ca.pem"))));
        serde_json::from_str::<QdrantSettings>(r#"{"hnsw_eff": 64}"#).expect_err("a typing error");
    }
}
