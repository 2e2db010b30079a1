//! Settings of the Qdrant engine in this process.

use serde::Deserialize;
use vectrion_core::{Error, Result};

use crate::{free_space::DEFAULT_MIN_FREE_BYTES, vectors::bm25::Bm25Settings};

/// Settings of the Qdrant engine in this process.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeSettings {
    /// Free bytes of the file system below which nothing more is written. The engine maps its files into memory, and a
    /// page of them that finds no room kills the process: keep it well above zero.
    pub min_free_bytes: u64,
    /// Tenants whose index is open at once; the one not used for longest is closed for the next.
    pub max_open_shards: usize,
    /// Threads that search; 0 means one per core, and two at the least.
    pub read_threads: usize,
    /// Searches that wait for a thread, at the most; further ones are refused.
    pub read_queue: usize,
    /// Points written or removed in a tenant's index before it is looked at whether its graph should be built anew.
    pub optimize_after: usize,
    /// Threads that build graphs, at low priority; 0 means one per core.
    pub optimize_threads: usize,
    /// Kilobytes of vectors from which a graph is built; below, every vector is compared.
    pub index_from_kb: usize,
    /// Neighbours of a vector in the graph.
    pub hnsw_m: usize,
    /// Candidates looked at while the graph is built.
    pub hnsw_ef_construct: usize,
    /// Candidates looked at while searching.
    pub hnsw_ef: usize,
    /// Bytes of changes that wait to be made again should the process die. The more there are the longer it then takes to
    /// open a tenant's index; the fewer, the more often the engine is flushed.
    pub redo_bytes: u64,
    /// Bytes of a file of the engine's log; about three of them are kept for each tenant.
    pub log_file_bytes: usize,
    /// Words.
    pub bm25: Bm25Settings,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            min_free_bytes: DEFAULT_MIN_FREE_BYTES,
            max_open_shards: 64,
            read_threads: 0,
            read_queue: 1024,
            optimize_after: 2000,
            optimize_threads: 0,
            index_from_kb: 10_000,
            hnsw_m: 16,
            hnsw_ef_construct: 128,
            hnsw_ef: 128,
            redo_bytes: 8 << 20,
            log_file_bytes: 4 << 20,
            bm25: Bm25Settings::default(),
        }
    }
}

impl EdgeSettings {
    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, reason `INVALID_FIELD`, naming the key.
    pub(super) fn validate(&self) -> Result<()> {
        let rules = [
            ("vectors.edge.max_open_shards", self.max_open_shards >= 1, "must be at least 1"),
            ("vectors.edge.read_queue", self.read_queue >= 1, "must be at least 1"),
            ("vectors.edge.optimize_after", self.optimize_after >= 1, "must be at least 1"),
            ("vectors.edge.index_from_kb", self.index_from_kb >= 1, "must be at least 1"),
            ("vectors.edge.hnsw_m", (2..=256).contains(&self.hnsw_m), "must be 2 to 256"),
            ("vectors.edge.hnsw_ef_construct", self.hnsw_ef_construct >= 4, "must be at least 4"),
            ("vectors.edge.hnsw_ef", self.hnsw_ef >= 1, "must be at least 1"),
            ("vectors.edge.log_file_bytes", self.log_file_bytes >= 4096, "must be at least 4096"),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((key, _, rule)) => Err(Error::invalid_field(key, rule)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        EdgeSettings::default().validate().unwrap();
        let wrong = EdgeSettings { hnsw_m: 1, ..EdgeSettings::default() };
        assert_eq!(wrong.validate().expect_err("too few").violations()[0].field, "vectors.edge.hnsw_m");
    }

    #[test]
    fn every_setting_has_a_default_and_typing_errors_are_found() {
        let settings: EdgeSettings =
            serde_json::from_str(r#"{"hnsw_ef": 64, "bm25": {"language": "german"}}"#).unwrap();
        assert_eq!((settings.hnsw_ef, settings.bm25.language.as_str()), (64, "german"));
        serde_json::from_str::<EdgeSettings>(r#"{"hnsw_eff": 64}"#).expect_err("a typing error");
    }
}
