//! One collection for each generation, behind an alias: `<prefix>-<generation>`, made when it is first written to.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use qdrant_client::qdrant::{
    AliasOperations, ChangeAliases, CollectionConfig, CollectionExistsRequest, CreateAlias, CreateCollection,
    CreateFieldIndexCollection, Distance, FieldType, GetCollectionInfoRequest, HnswConfigDiff, IntegerIndexParams,
    ListAliasesRequest, PayloadIndexParams, SparseVectorConfig, SparseVectorParams, UuidIndexParams, Value,
    VectorParams, VectorParamsMap, VectorsConfig, alias_operations::Action, payload_index_params::IndexParams,
    value::Kind, vectors_config,
};
use uuid::Uuid;
use vectrion_core::{Result, ports::vectors::Generation};

use super::{
    connection::Connection,
    failure::Trouble,
    points::{COLLECTION, DENSE, DOCUMENT, SPARSE, TENANT, VERSION, WORDS},
    scoped::strong,
    settings::QdrantSettings,
};
use crate::vectors::generation::generation_id;

/// The layout of points and indexes, in the name of the collection behind the alias. A collection of another layout can be
/// filled beside it, and the alias switched.
const LAYOUT: u32 = 1;

/// How often and after what time it is looked whether a collection is there that another process makes.
const MAKING_TRIES: u32 = 20;
const MAKING_PAUSE: Duration = Duration::from_millis(150);

/// Keys of a collection's metadata.
const EMBEDDING_MODEL: &str = "embedding_model";
const CHUNKER: &str = "chunker";

const MAKING: &str = "make a collection";

/// The collections of an installation.
#[derive(Debug)]
pub(super) struct Collections {
    prefix: String,
    shards: Option<u32>,
    replicas: Option<u32>,
    hnsw: HnswConfigDiff,
    /// Generations whose alias was seen.
    known: Mutex<HashSet<Uuid>>,
    /// Held while one is made.
    making: tokio::sync::Mutex<()>,
}

impl Collections {
    pub(super) fn new(prefix: String, settings: &QdrantSettings) -> Self {
        Self {
            prefix,
            shards: Some(settings.shards).filter(|shards| *shards > 0),
            replicas: Some(settings.replicas).filter(|replicas| *replicas > 0),
            // Every search is one of a tenant. So there are links among the points of a tenant, and none beside them.
            hnsw: HnswConfigDiff {
                m: Some(0),
                payload_m: Some(settings.hnsw_m),
                ef_construct: Some(settings.hnsw_ef_construct),
                ..HnswConfigDiff::default()
            },
            known: Mutex::default(),
            making: tokio::sync::Mutex::default(),
        }
    }

    /// The name by which the collection of a generation is used, whether it is there or not.
    pub(super) fn alias(&self, generation: &Generation) -> String {
        format!("{}-{}", self.prefix, generation_id(generation).as_simple())
    }

    /// The name by which the collection of a generation is used; it is there when this returns.
    ///
    /// The alias comes last. Where it is, the collection is whole; where it is not, whoever comes next goes on with what a
    /// process left that died, or is at it just now: every step may be made twice.
    pub(super) async fn ensure(&self, connection: &Connection, generation: &Generation) -> Result<String> {
        let (id, alias) = (generation_id(generation), self.alias(generation));
        if self.known().contains(&id) {
            return Ok(alias);
        }
        let _making = self.making.lock().await;
        if self.known().contains(&id) {
            return Ok(alias);
        }
        let failed = |trouble: Trouble| trouble.into_error(MAKING);
        if !self.aliases(connection).await.map_err(failed)?.contains(&alias) {
            self.make(connection, generation, &alias).await.map_err(failed)?;
            tracing::info!(collection = %alias, "made a collection of the vector index");
        }
        self.known().insert(id);
        Ok(alias)
    }

    /// Looks anew next time whether a collection is there.
    pub(super) fn forget(&self, generation: &Generation) {
        self.known().remove(&generation_id(generation));
    }

    /// The aliases of all generations that were ever written to.
    pub(super) async fn aliases(&self, connection: &Connection) -> Result<Vec<String>, Trouble> {
        let list = || async { connection.collections().list_aliases(ListAliasesRequest {}).await };
        let listed = connection.read(list).await?;
        let is_ours = |name: &String| {
            name.strip_prefix(&self.prefix)
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|rest| rest.len() == 32 && Uuid::try_parse(rest).is_ok())
        };
        Ok(listed.aliases.into_iter().map(|alias| alias.alias_name).filter(is_ours).collect())
    }

    /// The generation whose points an alias names; none if it is gone, or was not made by us.
    pub(super) async fn generation(&self, connection: &Connection, alias: &str) -> Result<Option<Generation>, Trouble> {
        let request = GetCollectionInfoRequest { collection_name: alias.to_owned() };
        let found = connection.read(|| async { connection.collections().get(request.clone()).await }).await;
        match found {
            Ok(response) => {
                let config = response.result.and_then(|info| info.config);
                Ok(config.and_then(described).filter(|generation| self.alias(generation) == alias))
            }
            Err(trouble) if trouble.is_not_found() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    async fn make(&self, connection: &Connection, generation: &Generation, alias: &str) -> Result<(), Trouble> {
        let name = format!("{alias}-{LAYOUT}");
        let create = self.description(&name, generation);
        let created = connection.write(async { connection.collections().create(create).await }).await;
        if let Err(trouble) = created {
            if !trouble.may_be_a_race() {
                return Err(trouble);
            }
            self.wait_for(connection, &name).await.map_err(|missing| missing.unwrap_or(trouble))?;
        }
        for index in indexes(&name) {
            connection.write(async { connection.points().create_field_index(index).await }).await?;
        }
        let create = CreateAlias { collection_name: name, alias_name: alias.to_owned() };
        let change = ChangeAliases {
            actions: vec![AliasOperations { action: Some(Action::CreateAlias(create)) }],
            timeout: None,
        };
        connection.write(async { connection.collections().update_aliases(change).await }).await.map(|_| ())
    }

    /// Waits until a collection is there.
    ///
    /// # Errors
    /// Why that is not known; none if the collection does not come.
    async fn wait_for(&self, connection: &Connection, name: &str) -> Result<(), Option<Trouble>> {
        let exists = || async {
            connection
                .collections()
                .collection_exists(CollectionExistsRequest { collection_name: name.to_owned() })
                .await
        };
        for _ in 0..MAKING_TRIES {
            let answer = connection.read(exists).await.map_err(Some)?;
            if answer.result.is_some_and(|result| result.exists) {
                return Ok(());
            }
            tokio::time::sleep(MAKING_PAUSE).await;
        }
        Err(None)
    }

    /// What a new collection is like.
    pub(super) fn description(&self, name: &str, generation: &Generation) -> CreateCollection {
        let dense = VectorParams {
            size: generation.dimension as u64,
            distance: Distance::Cosine as i32,
            ..VectorParams::default()
        };
        let map = HashMap::from([(DENSE.to_owned(), dense)]);
        let text = |text: String| Value { kind: Some(Kind::StringValue(text)) };
        CreateCollection {
            collection_name: name.to_owned(),
            hnsw_config: Some(self.hnsw),
            shard_number: self.shards,
            replication_factor: self.replicas,
            vectors_config: Some(VectorsConfig {
                config: Some(vectors_config::Config::ParamsMap(VectorParamsMap { map })),
            }),
            sparse_vectors_config: Some(SparseVectorConfig {
                map: HashMap::from([(SPARSE.to_owned(), SparseVectorParams::default())]),
            }),
            // What the number in the name stands for.
            metadata: HashMap::from([
                (EMBEDDING_MODEL.to_owned(), text(generation.model.clone())),
                (CHUNKER.to_owned(), text(generation.chunker.clone())),
            ]),
            ..CreateCollection::default()
        }
    }

    fn known(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        // A set of ids cannot be left half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The generation that a collection's description tells of.
fn described(mut config: CollectionConfig) -> Option<Generation> {
    let mut text = |key| match config.metadata.remove(key)?.kind? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    };
    let (model, chunker) = (text(EMBEDDING_MODEL)?, text(CHUNKER)?);
    let vectors_config::Config::ParamsMap(vectors) = config.params?.vectors_config?.config? else { return None };
    let dimension = usize::try_from(vectors.map.get(DENSE)?.size).ok()?;
    Some(Generation { model, dimension, chunker })
}

/// What makes the payload's fields searchable. Links in the graph are made among the points of a tenant, and of a
/// collection within it; in other fields nobody searches, or only among few points.
fn indexes(collection: &str) -> Vec<CreateFieldIndexCollection> {
    let id = |name, is_tenant: bool, has_links| {
        let params =
            UuidIndexParams { is_tenant: Some(is_tenant), enable_hnsw: Some(has_links), ..UuidIndexParams::default() };
        (name, FieldType::Uuid, IndexParams::UuidIndexParams(params))
    };
    #[expect(deprecated, reason = "servers before 1.19 do not know the setting that takes its place")]
    let words = IntegerIndexParams {
        lookup: Some(true),
        range: Some(false),
        // Words are a hundred times as many as points, and read only to weigh a query.
        on_disk: Some(true),
        enable_hnsw: Some(false),
        ..IntegerIndexParams::default()
    };
    [
        id(TENANT, true, true),
        id(COLLECTION, false, true),
        id(DOCUMENT, false, false),
        id(VERSION, false, false),
        (WORDS, FieldType::Integer, IndexParams::IntegerIndexParams(words)),
    ]
    .into_iter()
    .map(|(name, kind, params)| CreateFieldIndexCollection {
        collection_name: collection.to_owned(),
        wait: Some(true),
        field_name: name.to_owned(),
        field_type: Some(kind as i32),
        field_index_params: Some(PayloadIndexParams { index_params: Some(params) }),
        ordering: Some(strong()),
        ..CreateFieldIndexCollection::default()
    })
    .collect()
}
