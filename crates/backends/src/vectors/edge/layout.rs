//! Where the files are: `<dir>/<generation>/<tenant>`, one shard of the engine for each tenant in each generation.
//!
//! Inverse document frequencies are those of a shard, so tenants may not share one: another tenant's documents would
//! change the scores.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vectrion_core::{
    Error, ErrorKind, Result,
    ids::TenantId,
    ports::vectors::{Generation, VectorScope},
};

use crate::{durable, vectors::generation::generation_id};

const MANIFEST: &str = "generation.json";
/// Ends of the names of directories that are half made or half removed.
const CREATING: &str = "creating";
const DROPPING: &str = "dropping";

/// What a generation's directory says about itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    model: String,
    dimension: usize,
    chunker: String,
}

impl Manifest {
    const FORMAT: u32 = 1;

    fn of(generation: &Generation) -> Self {
        Self {
            format: Self::FORMAT,
            model: generation.model.clone(),
            dimension: generation.dimension,
            chunker: generation.chunker.clone(),
        }
    }
}

/// Names a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ShardKey {
    pub(super) generation: Uuid,
    pub(super) tenant: TenantId,
}

impl ShardKey {
    /// The shard of a scope.
    pub(super) fn of(scope: &VectorScope) -> Self {
        Self { generation: generation_id(&scope.generation), tenant: scope.tenant }
    }
}

/// The directories of an index.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
    /// Held while a generation's directory is made.
    making: Arc<Mutex<()>>,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, making: Arc::default() }
    }

    fn generation(&self, generation: Uuid) -> PathBuf {
        self.root.join(generation.as_simple().to_string())
    }

    /// The directory of a shard.
    pub(super) fn shard(&self, key: ShardKey) -> PathBuf {
        self.generation(key.generation).join(key.tenant.to_string())
    }

    /// Checks that the directory of a generation is that of `generation`.
    ///
    /// # Errors
    /// `DATA_LOSS`, reason `VECTOR_SHARD_DAMAGED`.
    pub(super) fn check_generation(&self, key: ShardKey, generation: &Generation) -> Result<()> {
        if self.manifest(key.generation)? == Manifest::of(generation) {
            Ok(())
        } else {
            Err(self.damaged(key.generation))
        }
    }

    /// The generation of a shard, as its directory says.
    ///
    /// # Errors
    /// `DATA_LOSS`, reason `VECTOR_SHARD_DAMAGED`.
    pub(super) fn described(&self, key: ShardKey) -> Result<Generation> {
        let Manifest { format: _, model, dimension, chunker } = self.manifest(key.generation)?;
        Ok(Generation { model, dimension, chunker })
    }

    fn manifest(&self, generation: Uuid) -> Result<Manifest> {
        let bytes = fs::read(self.generation(generation).join(MANIFEST))
            .map_err(|error| self.damaged(generation).with_source(error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.damaged(generation).with_source(error))
    }

    fn damaged(&self, generation: Uuid) -> Error {
        let path = self.generation(generation).join(MANIFEST);
        Error::new(
            ErrorKind::DataLoss,
            "VECTOR_SHARD_DAMAGED",
            format!("{} does not describe the embedding model whose vectors should be beside it", path.display()),
        )
    }

    /// Makes the directory of a shard: `fill` makes its content, which appears whole or not at all.
    pub(super) fn create(
        &self,
        key: ShardKey,
        generation: &Generation,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let failed = |error: io::Error| {
            Error::unavailable("VECTOR_INDEX_UNAVAILABLE", "a directory of the vector index cannot be made")
                .with_source(error)
        };
        let directory = self.generation(key.generation);
        self.create_generation(&directory, generation).map_err(failed)?;
        let shard = self.shard(key);
        let staged = shard.with_extension(CREATING);
        durable::remove_directory(&staged).map_err(failed)?;
        durable::create_directory(&staged).map_err(failed)?;
        fill(&staged)?;
        fs::rename(&staged, &shard).and_then(|()| durable::sync_directory(&directory)).map_err(failed)
    }

    fn create_generation(&self, directory: &Path, generation: &Generation) -> io::Result<()> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        durable::create_directory(directory)?;
        let manifest = directory.join(MANIFEST);
        if manifest.exists() {
            return Ok(());
        }
        durable::write_file(&manifest, &serde_json::to_vec_pretty(&Manifest::of(generation))?)
    }

    /// Removes the directory of a shard.
    pub(super) fn remove(&self, key: ShardKey) -> io::Result<()> {
        let shard = self.shard(key);
        let dropped = shard.with_extension(DROPPING);
        durable::remove_directory(&dropped)?;
        match fs::rename(&shard, &dropped) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        durable::sync_directory(&self.generation(key.generation))?;
        durable::remove_directory(&dropped)
    }

    /// The shards that a tenant has.
    pub(super) fn shards_of(&self, tenant: TenantId) -> io::Result<Vec<ShardKey>> {
        let mut found = Vec::new();
        for generation in self.generations()? {
            let key = ShardKey { generation, tenant };
            if self.shard(key).is_dir() {
                found.push(key);
            }
        }
        Ok(found)
    }

    /// The tenants that have a shard.
    pub(super) fn tenants(&self) -> io::Result<Vec<TenantId>> {
        let mut found = BTreeSet::new();
        for generation in self.generations()? {
            for entry in fs::read_dir(self.generation(generation))? {
                let name = entry?.file_name();
                found.extend(name.to_str().and_then(|name| Uuid::try_parse(name).ok()).map(TenantId));
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Removes directories that a killed process left half made or half removed.
    pub(super) fn remove_leftovers(&self) -> io::Result<()> {
        for generation in self.generations()? {
            for entry in fs::read_dir(self.generation(generation))? {
                let path = entry?.path();
                if path.extension().is_some_and(|end| end == CREATING || end == DROPPING) {
                    tracing::info!(directory = %path.display(), "removing a half made or half removed vector index");
                    durable::remove_directory(&path)?;
                }
            }
        }
        Ok(())
    }

    fn generations(&self) -> io::Result<Vec<Uuid>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            if let Some(generation) = entry?.file_name().to_str().and_then(|name| Uuid::try_parse(name).ok()) {
                found.push(generation);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(model: &str, dimension: usize, chunker: &str) -> VectorScope {
        let generation = Generation { model: model.to_owned(), dimension, chunker: chunker.to_owned() };
        VectorScope { generation, tenant: TenantId::new() }
    }

    #[test]
    fn a_generation_has_a_directory_of_its_own_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().to_owned());
        let scopes = [scope("m", 3, "c"), scope("m", 33, "c"), scope("m3", 3, "c"), scope("m", 3, "3:c")];
        for scope in &scopes {
            let key = ShardKey::of(scope);
            let fill = |staged: &Path| {
                fs::write(staged.join("x"), "x").unwrap();
                Ok(())
            };
            layout.create(key, &scope.generation, fill).unwrap();
            layout.check_generation(key, &scope.generation).unwrap();
            assert!(layout.shard(key).join("x").exists());
            assert_eq!(layout.shards_of(scope.tenant).unwrap(), [key]);
            assert_eq!(layout.described(key).unwrap(), scope.generation);
        }
        assert_eq!(layout.generations().unwrap().len(), scopes.len());
        let error = layout.check_generation(ShardKey::of(&scopes[0]), &scopes[1].generation).expect_err("another one");
        assert_eq!(error.reason(), "VECTOR_SHARD_DAMAGED");
    }

    #[test]
    fn what_is_half_made_or_half_removed_goes() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().to_owned());
        let scope = scope("m", 3, "c");
        let key = ShardKey::of(&scope);
        layout.create(key, &scope.generation, |_| Err(Error::internal("X", "fails"))).expect_err("not filled");
        assert_eq!(layout.shards_of(scope.tenant).unwrap(), []);
        layout.create(key, &scope.generation, |_| Ok(())).unwrap();
        let half_removed = layout.shard(key).with_extension(DROPPING);
        fs::create_dir(&half_removed).unwrap();
        layout.remove_leftovers().unwrap();
        assert!(!half_removed.exists());
        assert_eq!(layout.shards_of(scope.tenant).unwrap(), [key], "what is whole stays");
        layout.remove(key).unwrap();
        layout.remove(key).unwrap();
        assert_eq!(layout.shards_of(scope.tenant).unwrap(), []);
    }
}
