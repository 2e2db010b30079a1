//! A Qdrant server, reached by gRPC.
//!
//! All tenants of a generation share a collection; every request is made from a `scoped::Scoped`, which has the tenant
//! in it. Every change is waited for (`wait=true`) and ordered (`strong`): when it is confirmed it is in the server's
//! write-ahead log and in what is searched, on every replica that is in service. So `flush` has nothing left to do. The
//! server writes its log without waiting for the disk: what it confirmed survives its death, and a loss of power as far
//! as another replica has it.

mod address;
mod collections;
mod connection;
mod failure;
mod frequencies;
mod points;
mod scoped;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use qdrant_client::qdrant::{
    FacetValue, PointId, ScoredPoint, UpdateResult, UpdateStatus, Value, facet_value::Variant as FacetVariant,
};
use qdrant_edge::bm25_embed::EdgeBm25;
use secrecy::SecretString;
use uuid::Uuid;
use vectrion_core::{
    Error, Result,
    ids::{ChunkId, CollectionId, DocumentId, TenantId, VersionId},
    ports::vectors::{
        Generation, Hit, Point, PointPage, StoredPoint, VectorFilter, VectorIndex, VectorQuery, VectorScope,
    },
};

pub use self::settings::QdrantSettings;
use self::{
    address::Address,
    collections::Collections,
    connection::Connection,
    failure::Trouble,
    frequencies::{Counted, Frequencies},
    points::{Batches, CHUNK, COLLECTION, DOCUMENT, VERSION},
    scoped::{Scoped, Target},
};
use super::{cursor, embedding::check_vector, generation::generation_id};

/// Versions that are counted at once.
const COUNT_VERSIONS: usize = 1000;

/// Points that are listed at once.
const PAGE: u32 = 1000;

/// Fields of the points of a walk.
const WALKED: [&str; 4] = [CHUNK, DOCUMENT, VERSION, COLLECTION];

/// Tenants of a collection that are listed.
const MAX_TENANTS: u64 = 100_000;

/// Points beyond the limit that are looked at to put points of equal score in order.
const MAX_TIES: usize = 4096;

/// A vector index on a Qdrant server.
///
/// Errors beside those of the port: `UNAVAILABLE` with reason `VECTOR_INDEX_UNAVAILABLE` or `VECTOR_INDEX_TIMEOUT`;
/// `FAILED_PRECONDITION` with `VECTOR_INDEX_UNAUTHORIZED`, `VECTOR_INDEX_INSECURE` or `VECTOR_INDEX_UNSUPPORTED`, each
/// naming the key of the configuration to look at; `RESOURCE_EXHAUSTED` with `VECTOR_INDEX_BUSY`; `DATA_LOSS` with
/// `VECTOR_INDEX_DAMAGED`; `INTERNAL` with `VECTOR_INDEX_FAILED`; `INVALID_ARGUMENT` with `VECTOR_NOT_FINITE`.
#[derive(Debug)]
pub struct QdrantIndex {
    connection: Connection,
    collections: Collections,
    frequencies: Frequencies,
    bm25: EdgeBm25,
    settings: QdrantSettings,
}

impl QdrantIndex {
    /// Prepares an index on the server of `url`: `http://host:6334` or `https://…`, with a path that begins the names of
    /// collections. Says nothing to the server yet; [`VectorIndex::check`] does. Reads certificates, so it blocks.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with reason `INVALID_BACKEND_URL`, or `INVALID_FIELD` for settings that cannot work;
    /// `FAILED_PRECONDITION`, reason `VECTOR_INDEX_INSECURE`, when there are no authorities to trust.
    pub fn open(url: &str, api_key: &SecretString, settings: &QdrantSettings) -> Result<Self> {
        settings.validate()?;
        let address = Address::parse(url, &settings.prefix)?;
        Ok(Self {
            connection: Connection::new(&address, api_key, settings)?,
            collections: Collections::new(address.prefix, settings),
            frequencies: Frequencies::new(settings.frequencies_ttl(), settings.max_frequencies),
            bm25: settings.bm25.embedder("vectors.bm25")?,
            settings: settings.clone(),
        })
    }

    /// The points of a scope, whether there are any or not.
    fn scoped(&self, scope: &VectorScope) -> Scoped {
        Scoped::new(self.collections.alias(&scope.generation), scope.tenant)
    }

    /// Removes points; those of a collection that is not there are removed already.
    async fn remove(&self, points: Scoped) -> Result<()> {
        let request = points.delete();
        let removed = self.connection.write(async { self.connection.points().delete(request).await }).await;
        match removed {
            Ok(response) => check_completed(response.result, "delete points"),
            Err(trouble) if trouble.is_not_found() => Ok(()),
            Err(trouble) => Err(trouble.into_error("delete points")),
        }
    }

    async fn remove_in_scope(&self, scope: &VectorScope, points: Scoped) -> Result<()> {
        let removed = self.remove(points).await;
        // Also when it failed: it may have been done all the same.
        self.frequencies.forget((generation_id(&scope.generation), scope.tenant));
        removed
    }

    /// Writes points into a collection that should be there.
    async fn write(&self, points: &[Point], scoped: &Scoped) -> Result<(), Written> {
        let records = scoped.records(points, &self.bm25);
        for batch in Batches::new(records, self.settings.batch_points, self.settings.batch_bytes) {
            let request = scoped.upsert(batch);
            let written = self.connection.write(async { self.connection.points().upsert(request).await }).await;
            let response = written.map_err(|trouble| match trouble.is_not_found() {
                true => Written::NoCollection(trouble),
                false => Written::Failed(trouble.into_error("write points")),
            })?;
            check_completed(response.result, "write points").map_err(Written::Failed)?;
        }
        Ok(())
    }

    async fn count_points(&self, points: Scoped) -> Result<u64> {
        let request = points.count();
        let counted = self.connection.read(|| async { self.connection.points().count(request.clone()).await }).await;
        let counted = none_if_missing(counted, "count points")?;
        Ok(counted.and_then(|response| response.result).map_or(0, |result| result.count))
    }

    /// What to look for on the server; none when nothing can be found.
    async fn target(&self, scope: &VectorScope, query: &VectorQuery) -> Result<Option<Target>> {
        let words = match query {
            VectorQuery::Dense(vector) => {
                check_vector(vector, &scope.generation)?;
                return Ok(Some(Target::Dense(vector.clone())));
            }
            VectorQuery::Sparse(words) => self.bm25.embed_query(words),
        };
        if words.indices.is_empty() {
            return Ok(None);
        }
        if words.indices.len() > self.settings.max_query_words {
            tracing::debug!(words = words.indices.len(), "a query has more words than are searched");
        }
        let words = words.indices.into_iter().zip(words.values).take(self.settings.max_query_words);
        let corpus = (generation_id(&scope.generation), scope.tenant);
        let count = |counted| {
            let points = match counted {
                Counted::All => self.scoped(scope).with_words(),
                Counted::Word(word) => self.scoped(scope).with_word(word),
            };
            self.count_points(points)
        };
        let weighed = self.frequencies.weigh(corpus, words, self.settings.concurrent_counts, count).await?;
        Ok(Some(weighed).filter(|words| !words.is_empty()).map(Target::Sparse))
    }

    /// The best points, best first, those of equal score by chunk.
    async fn find(&self, points: &Scoped, target: &Target, limit: usize) -> Result<Vec<Hit>> {
        // One more than asked for shows whether others are as good as the last: which of them are returned must not depend
        // on how the server happens to hold them.
        let mut fetch = limit.saturating_add(1);
        loop {
            let request = points.search(target, fetch, self.settings.hnsw_ef);
            let found = self.connection.read(|| async { self.connection.points().query(request.clone()).await }).await;
            let found = none_if_missing(found, "search")?.map(|response| response.result).unwrap_or_default();
            let mut hits = found.iter().map(hit).collect::<Result<Vec<_>>>()?;
            hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.0.cmp(&b.id.0)));
            let is_cut_in_ties = hits.len() == fetch
                && hits.last().map(|last| last.score) == hits.get(limit.saturating_sub(1)).map(|last| last.score);
            if is_cut_in_ties && fetch <= limit.saturating_add(MAX_TIES) {
                fetch = fetch.saturating_mul(2);
                continue;
            }
            hits.truncate(limit);
            return Ok(hits);
        }
    }

    /// How many points each of these versions has.
    async fn count_versions(&self, scope: &VectorScope, versions: &[VersionId]) -> Result<HashMap<Uuid, u64>> {
        let points = self.scoped(scope).with_one_of(VERSION, scoped::ids(versions));
        let request = points.count_versions(versions.len());
        let counted = self.connection.read(|| async { self.connection.points().facet(request.clone()).await }).await;
        let hits = none_if_missing(counted, "count points")?.map(|response| response.hits).unwrap_or_default();
        let mut counts = HashMap::new();
        for hit in hits {
            *counts.entry(id_of_hit(hit.value)?).or_default() += hit.count;
        }
        Ok(counts)
    }
}

/// Why points were not written.
enum Written {
    NoCollection(Trouble),
    Failed(Error),
}

/// An answer; none when there is no such collection, for nothing was ever written.
fn none_if_missing<T>(answer: Result<T, Trouble>, task: &'static str) -> Result<Option<T>> {
    match answer {
        Ok(response) => Ok(Some(response)),
        Err(trouble) if trouble.is_not_found() => Ok(None),
        Err(trouble) => Err(trouble.into_error(task)),
    }
}

/// Checks that a change was made, not only taken note of.
fn check_completed(result: Option<UpdateResult>, task: &'static str) -> Result<()> {
    match result.map(|result| result.status()) {
        Some(UpdateStatus::Completed) => Ok(()),
        _ => Err(Error::unavailable(
            "VECTOR_INDEX_TIMEOUT",
            format!("the Qdrant server did not {task} in time; it may still do so"),
        )),
    }
}

/// The id by whose value points were counted.
fn id_of_hit(value: Option<FacetValue>) -> Result<Uuid> {
    let Some(FacetVariant::StringValue(text)) = value.and_then(|value| value.variant) else {
        return Err(failure::odd_answer("an id that is no text"));
    };
    Uuid::try_parse(&text).map_err(|_| failure::odd_answer("an id that we did not write"))
}

/// A point of a walk.
fn stored(payload: &HashMap<String, Value>) -> Result<StoredPoint> {
    Ok(StoredPoint {
        id: points::chunk_in(payload)?,
        document: DocumentId(points::id_in(payload, DOCUMENT)?),
        version_id: VersionId(points::id_in(payload, VERSION)?),
        collection: CollectionId(points::id_in(payload, COLLECTION)?),
    })
}

fn hit(found: &ScoredPoint) -> Result<Hit> {
    Ok(Hit {
        id: points::chunk_in(&found.payload)?,
        document: DocumentId(points::id_in(&found.payload, DOCUMENT)?),
        version_id: VersionId(points::id_in(&found.payload, VERSION)?),
        score: found.score,
    })
}

/// Refuses points that the server could not compare with others.
fn check_points(points: &[Point], generation: &Generation) -> Result<()> {
    points.iter().try_for_each(|point| check_vector(&point.dense, generation))
}

#[async_trait]
impl VectorIndex for QdrantIndex {
    async fn upsert(&self, scope: &VectorScope, points: Vec<Point>) -> Result<()> {
        check_points(&points, &scope.generation)?;
        if points.is_empty() {
            return Ok(());
        }
        let collection = self.collections.ensure(&self.connection, &scope.generation).await?;
        let scoped = Scoped::new(collection, scope.tenant);
        let mut written = self.write(&points, &scoped).await;
        if let Err(Written::NoCollection(_)) = &written {
            // Somebody removed it since.
            self.collections.forget(&scope.generation);
            self.collections.ensure(&self.connection, &scope.generation).await?;
            written = self.write(&points, &scoped).await;
        }
        // Also when it failed: a part may be written.
        self.frequencies.forget((generation_id(&scope.generation), scope.tenant));
        written.map_err(|error| match error {
            Written::NoCollection(trouble) => trouble.into_error("write points"),
            Written::Failed(error) => error,
        })
    }

    async fn delete_version(&self, scope: &VectorScope, version: VersionId) -> Result<()> {
        self.remove_in_scope(scope, self.scoped(scope).with_one_of(VERSION, [version.0])).await
    }

    async fn delete_document(&self, scope: &VectorScope, document: DocumentId) -> Result<()> {
        self.remove_in_scope(scope, self.scoped(scope).with_one_of(DOCUMENT, [document.0])).await
    }

    /// Does nothing: every change was waited for.
    async fn flush(&self, _scope: &VectorScope) -> Result<()> {
        Ok(())
    }

    async fn count(&self, scope: &VectorScope, versions: &[VersionId]) -> Result<Vec<u64>> {
        let mut counts = Vec::with_capacity(versions.len());
        for versions in versions.chunks(COUNT_VERSIONS) {
            let counted = self.count_versions(scope, versions).await?;
            counts.extend(versions.iter().map(|version| counted.get(&version.0).copied().unwrap_or(0)));
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
        match self.target(scope, query).await? {
            Some(target) if limit > 0 => self.find(&self.scoped(scope).filtered(filter), &target, limit).await,
            _ => Ok(Vec::new()),
        }
    }

    async fn point_ids(&self, scope: &VectorScope, document: DocumentId) -> Result<Vec<ChunkId>> {
        let points = self.scoped(scope).with_one_of(DOCUMENT, [document.0]);
        let mut ids = Vec::new();
        let mut offset: Option<PointId> = None;
        loop {
            let request = points.list(&[CHUNK], PAGE, offset.take());
            let page = self.connection.read(|| async { self.connection.points().scroll(request.clone()).await }).await;
            let Some(page) = none_if_missing(page, "list points")? else { return Ok(ids) };
            for point in &page.result {
                ids.push(points::chunk_in(&point.payload)?);
            }
            match page.next_page_offset {
                Some(next) => offset = Some(next),
                None => return Ok(ids),
            }
        }
    }

    async fn walk(&self, scope: &VectorScope, from: Option<&str>, limit: usize) -> Result<PointPage> {
        let from = from.map(cursor).transpose()?.map(points::point_id);
        let request = self.scoped(scope).list(&WALKED, u32::try_from(limit.max(1)).unwrap_or(u32::MAX), from);
        let page = self.connection.read(|| async { self.connection.points().scroll(request.clone()).await }).await;
        let Some(page) = none_if_missing(page, "list points")? else { return Ok(PointPage::default()) };
        let points = page.result.iter().map(|point| stored(&point.payload)).collect::<Result<_>>()?;
        Ok(PointPage { points, next: page.next_page_offset.map(points::text_of).transpose()? })
    }

    async fn tenants(&self) -> Result<Vec<TenantId>> {
        let failed = |trouble: Trouble| trouble.into_error("list collections");
        let mut tenants = BTreeSet::new();
        for alias in self.collections.aliases(&self.connection).await.map_err(failed)? {
            let request = scoped::tenants(alias, MAX_TENANTS);
            let counted =
                self.connection.read(|| async { self.connection.points().facet(request.clone()).await }).await;
            let hits = none_if_missing(counted, "list tenants")?.map(|answer| answer.hits).unwrap_or_default();
            // The server remembers tenants whose points are all gone.
            for hit in hits.into_iter().filter(|hit| hit.count > 0) {
                tenants.insert(TenantId(id_of_hit(hit.value)?));
            }
        }
        Ok(tenants.into_iter().collect())
    }

    async fn generations(&self, tenant: TenantId) -> Result<Vec<Generation>> {
        let failed = |trouble: Trouble| trouble.into_error("list collections");
        let mut generations = Vec::new();
        for alias in self.collections.aliases(&self.connection).await.map_err(failed)? {
            if self.count_points(Scoped::new(alias.clone(), tenant)).await? > 0 {
                generations.extend(self.collections.generation(&self.connection, &alias).await.map_err(failed)?);
            }
        }
        Ok(generations)
    }

    async fn drop_scope(&self, scope: &VectorScope) -> Result<()> {
        self.remove_in_scope(scope, self.scoped(scope)).await
    }

    async fn drop_tenant(&self, tenant: TenantId) -> Result<()> {
        let aliases = self.collections.aliases(&self.connection).await;
        for alias in aliases.map_err(|trouble| trouble.into_error("list collections"))? {
            self.remove(Scoped::new(alias, tenant)).await?;
        }
        self.frequencies.forget_tenant(tenant);
        Ok(())
    }

    /// Asks the server something that needs the API key.
    async fn check(&self) -> Result<()> {
        let aliases = self.collections.aliases(&self.connection).await;
        aliases.map(|_| ()).map_err(|trouble| trouble.into_error("list collections"))
    }
}
