//! The Qdrant engine in this process (`qdrant-edge`), on a local disk.
//!
//! One shard of the engine for each tenant in each generation; one thread that writes to each open shard, a bounded pool
//! of threads that read, one thread that optimises. Shards are opened when they are first used, and closed when too many
//! are open. How the engine is kept from losing what it confirmed is told in `writer`, `redo` and `wal`.

mod engine;
mod failure;
mod layout;
mod optimizer;
mod points;
mod query;
mod readers;
mod redo;
mod registry;
mod repair;
mod settings;
mod shard;
#[cfg(test)]
mod tests;
mod wal;
mod writer;

use std::{path::PathBuf, sync::Arc, thread};

use async_trait::async_trait;
use qdrant_edge::{EdgeShard, OperationResult, SearchParams, bm25_embed::EdgeBm25};
use vectrion_core::{
    Error, Result,
    ids::{ChunkId, DocumentId, TenantId, VersionId},
    ports::vectors::{Generation, Hit, Point, PointPage, VectorFilter, VectorIndex, VectorQuery, VectorScope},
};

pub use self::settings::EdgeSettings;
use self::{
    engine::Engine,
    layout::{Layout, ShardKey},
    optimizer::Optimizer,
    query::Target,
    readers::Readers,
    registry::Registry,
    shard::OpenShard,
    writer::{Command, Removed, Shared},
};
use crate::{
    directory_lock::DirectoryLock,
    durable,
    free_space::FreeSpace,
    vectors::{cursor, embedding::check_vector},
};

/// Versions that are counted at once.
const COUNT_VERSIONS: usize = 1000;

/// A vector index in this process.
///
/// Errors beside those of the port: `UNAVAILABLE` with reason `VECTOR_INDEX_UNAVAILABLE` or `VECTOR_INDEX_CLOSED`;
/// `RESOURCE_EXHAUSTED` with `VECTOR_INDEX_BUSY` or `VECTOR_INDEX_OUT_OF_MEMORY`; `DATA_LOSS` with `VECTOR_SHARD_DAMAGED`,
/// which names the directory to move away; `INTERNAL` with `VECTOR_INDEX_FAILED` or `VECTOR_INDEX_PANICKED`;
/// `INVALID_ARGUMENT` with `VECTOR_NOT_FINITE`.
#[derive(Debug)]
pub struct EdgeIndex {
    opener: Opener,
    registry: Arc<Registry>,
    readers: Readers,
    bm25: Arc<EdgeBm25>,
    space: FreeSpace,
}

/// What it takes to open a shard.
#[derive(Clone, Debug)]
struct Opener {
    layout: Layout,
    settings: Arc<EdgeSettings>,
    shared: Shared,
}

/// What to do about a shard that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Create,
    Ignore,
}

impl EdgeIndex {
    /// Opens the index in `directory`, which is made if it is not there. Blocks for a moment; shards are opened later.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION`, reason `DIRECTORY_IN_USE`, when another process has it; `INVALID_ARGUMENT`, reason
    /// `INVALID_FIELD`, for settings that cannot work; `UNAVAILABLE`, reason `STORAGE_UNAVAILABLE`.
    pub fn open(directory: impl Into<PathBuf>, settings: &EdgeSettings) -> Result<Self> {
        let directory = directory.into();
        settings.validate()?;
        let bm25 = Arc::new(settings.bm25.embedder("vectors.edge.bm25")?);
        durable::create_root(super::KEY, &directory)?;
        let lock = Arc::new(DirectoryLock::acquire(&directory)?);
        let unavailable = |error: std::io::Error| {
            Error::unavailable(
                "STORAGE_UNAVAILABLE",
                format!("the vector index in {} cannot be opened", directory.display()),
            )
            .with_source(error)
        };
        let layout = Layout::new(directory.clone());
        layout.remove_leftovers().map_err(unavailable)?;
        let threads = match settings.read_threads {
            0 => thread::available_parallelism().map_or(2, |cores| cores.get().max(2)),
            threads => threads,
        };
        let readers = Readers::start(threads, settings.read_queue).map_err(unavailable)?;
        let space = FreeSpace::new(&directory, settings.min_free_bytes);
        let shared = Shared {
            bm25: bm25.clone(),
            space: space.clone(),
            optimizer: Optimizer::start().map_err(unavailable)?,
            optimize_after: settings.optimize_after,
            redo_bytes: settings.redo_bytes,
            lock,
        };
        Ok(Self {
            registry: Arc::new(Registry::new(settings.max_open_shards)),
            opener: Opener { layout, settings: Arc::new(settings.clone()), shared },
            readers,
            bm25,
            space,
        })
    }

    /// Makes every write durable and lets go of all files. Calls that come later are `UNAVAILABLE`, reason
    /// `VECTOR_INDEX_CLOSED`. Optimisations that run are waited for; who cannot wait drops the future.
    ///
    /// # Errors
    /// Those of a flush.
    pub async fn close(&self) -> Result<()> {
        let closed = self.registry.close().await;
        self.opener.shared.lock.release();
        closed
    }

    async fn shard(&self, scope: &VectorScope, missing: Missing) -> Result<Option<Arc<OpenShard>>> {
        let key = ShardKey::of(scope);
        if missing == Missing::Ignore && !self.opener.layout.shard(key).is_dir() {
            return Ok(None);
        }
        let (opener, generation) = (self.opener.clone(), scope.generation.clone());
        self.registry.get(key, move || opener.open(key, &generation, missing)).await
    }

    async fn remove(&self, scope: &VectorScope, what: Removed) -> Result<()> {
        match self.shard(scope, Missing::Ignore).await? {
            Some(shard) => shard.command(|reply| Command::Remove { what, reply }).await,
            None => Ok(()),
        }
    }

    /// Reads the shard of a scope; none when it was never written.
    async fn read<T: Send + 'static>(
        &self,
        scope: &VectorScope,
        task: &'static str,
        work: impl FnOnce(&EdgeShard) -> OperationResult<T> + Send + 'static,
    ) -> Result<Option<T>> {
        match self.shard(scope, Missing::Ignore).await? {
            Some(shard) => self.readers.run(move || shard.engine().run(task, work)).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Opener {
    /// Opens a shard; none if it is not there and should not be made. Blocks.
    fn open(&self, key: ShardKey, generation: &Generation, missing: Missing) -> Result<Option<Arc<OpenShard>>> {
        let config = points::config(generation.dimension, &self.settings);
        let directory = self.layout.shard(key);
        if !directory.is_dir() {
            if missing == Missing::Ignore {
                return Ok(None);
            }
            self.shared.space.require(0)?;
            self.layout.create(key, generation, |staged| Engine::create(staged, &config, &self.shared.space))?;
        }
        self.layout.check_generation(key, generation)?;
        let engine = Engine::load(directory, config, self.shared.space.clone())?;
        writer::start(engine, key.tenant, self.shared.clone()).map(Some)
    }
}

fn not_listed(error: std::io::Error) -> Error {
    Error::unavailable("VECTOR_INDEX_UNAVAILABLE", "the vector index cannot be listed").with_source(error)
}

fn not_removed(error: std::io::Error) -> Error {
    Error::unavailable("VECTOR_INDEX_UNAVAILABLE", "a tenant's vector index cannot be removed").with_source(error)
}

impl EdgeIndex {
    async fn remove_shard(&self, key: ShardKey) -> Result<()> {
        let layout = self.opener.layout.clone();
        self.registry.without(key, move || layout.remove(key).map_err(not_removed)).await
    }
}

#[async_trait]
impl VectorIndex for EdgeIndex {
    async fn upsert(&self, scope: &VectorScope, points: Vec<Point>) -> Result<()> {
        for point in &points {
            check_vector(&point.dense, &scope.generation)?;
        }
        if points.is_empty() {
            return Ok(());
        }
        match self.shard(scope, Missing::Create).await? {
            Some(shard) => shard.command(|reply| Command::Upsert { points, reply }).await,
            None => Err(Error::internal("VECTOR_INDEX_FAILED", "a vector index that was made is not there")),
        }
    }

    async fn delete_version(&self, scope: &VectorScope, version: VersionId) -> Result<()> {
        self.remove(scope, Removed::Version(version)).await
    }

    async fn delete_document(&self, scope: &VectorScope, document: DocumentId) -> Result<()> {
        self.remove(scope, Removed::Document(document)).await
    }

    async fn flush(&self, scope: &VectorScope) -> Result<()> {
        match self.shard(scope, Missing::Ignore).await? {
            Some(shard) => shard.command(|reply| Command::Flush { reply }).await,
            None => Ok(()),
        }
    }

    async fn count(&self, scope: &VectorScope, versions: &[VersionId]) -> Result<Vec<u64>> {
        let mut counts = Vec::with_capacity(versions.len());
        for versions in versions.chunks(COUNT_VERSIONS) {
            let asked = versions.to_vec();
            let counted = self.read(scope, "count", move |shard| query::count(shard, &asked)).await?;
            counts.extend(counted.unwrap_or_else(|| vec![0; versions.len()]));
        }
        Ok(counts)
    }

    async fn search(
        &self,
        scope: &VectorScope,
        query: &VectorQuery,
        filter: &VectorFilter,
        limit: usize,
    ) -> Result<Vec<Hit>> {
        let target = match query {
            VectorQuery::Dense(vector) => {
                check_vector(vector, &scope.generation)?;
                Target::Dense(vector.clone())
            }
            VectorQuery::Sparse(words) => Target::Sparse(self.bm25.embed_query(words)),
        };
        if limit == 0 || matches!(&target, Target::Sparse(words) if words.indices.is_empty()) {
            return Ok(Vec::new());
        }
        let filter = filter.clone();
        let params = SearchParams { hnsw_ef: Some(self.opener.settings.hnsw_ef), ..SearchParams::default() };
        let found =
            self.read(scope, "search", move |shard| query::search(shard, &target, &filter, limit, params)).await?;
        Ok(found.unwrap_or_default())
    }

    async fn point_ids(&self, scope: &VectorScope, document: DocumentId) -> Result<Vec<ChunkId>> {
        let found = self.read(scope, "list points", move |shard| {
            query::ids(shard, Some(query::one_of(points::DOCUMENT, [document.0])?))
        });
        Ok(found.await?.unwrap_or_default().into_iter().map(ChunkId).collect())
    }

    async fn walk(&self, scope: &VectorScope, from: Option<&str>, limit: usize) -> Result<PointPage> {
        let from = from.map(cursor).transpose()?;
        let found = self.read(scope, "list points", move |shard| query::page(shard, from, limit)).await?;
        Ok(found.unwrap_or_default())
    }

    async fn tenants(&self) -> Result<Vec<TenantId>> {
        let layout = self.opener.layout.clone();
        let looking = tokio::task::spawn_blocking(move || layout.tenants().map_err(not_listed));
        looking.await.unwrap_or_else(|error| {
            Err(Error::internal("VECTOR_INDEX_FAILED", "the listing of the vector index ended early")
                .with_source(error))
        })
    }

    async fn generations(&self, tenant: TenantId) -> Result<Vec<Generation>> {
        let layout = self.opener.layout.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let shards = layout.shards_of(tenant).map_err(not_listed)?;
            shards.into_iter().map(|key| layout.described(key)).collect()
        });
        looking.await.unwrap_or_else(|error| {
            Err(Error::internal("VECTOR_INDEX_FAILED", "the listing of the vector index ended early")
                .with_source(error))
        })
    }

    async fn drop_scope(&self, scope: &VectorScope) -> Result<()> {
        self.remove_shard(ShardKey::of(scope)).await
    }

    async fn drop_tenant(&self, tenant: TenantId) -> Result<()> {
        for key in self.opener.layout.shards_of(tenant).map_err(not_removed)? {
            self.remove_shard(key).await?;
        }
        Ok(())
    }

    async fn check(&self) -> Result<()> {
        let space = self.space.clone();
        let checking = tokio::task::spawn_blocking(move || space.require(0));
        checking.await.unwrap_or_else(|error| {
            Err(Error::internal("VECTOR_INDEX_FAILED", "the check of the vector index ended early").with_source(error))
        })
    }
}
