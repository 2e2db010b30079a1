//! The calls that are served. All others of Qdrant's API are `UNIMPLEMENTED`.

use std::{pin::Pin, sync::Arc};

use qdrant_client::qdrant::{
    self as grpc, AliasDescription, ChangeAliases, CollectionDescription, CollectionExists, CollectionExistsRequest,
    CollectionExistsResponse, CollectionOperationResponse, CountPoints, CountResponse, CountResult, CreateCollection,
    CreateFieldIndexCollection, DeleteCollection, DeletePoints, FacetCounts, FacetResponse, GetCollectionInfoRequest,
    GetCollectionInfoResponse, HealthCheckReply, HealthCheckRequest, ListAliasesRequest, ListAliasesResponse,
    ListCollectionsRequest, ListCollectionsResponse, PointsOperationResponse, QueryPoints, QueryResponse, ScrollPoints,
    ScrollResponse, UpdateResult, UpdateStatus, UpsertPoints, collections_server::Collections, points_server::Points,
    qdrant_server::Qdrant,
};
use tonic::{Request, Response, Status};

use crate::{collection::Collection, convert::not_served, journal::Change, state::State};

type Answer<T> = Result<Response<T>, Status>;

/// The services, all over the same state.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    state: Arc<State>,
}

impl Service {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Arc::new(state) }
    }

    /// Makes a change, to its end even if whoever asked for it is gone.
    async fn change(&self, change: Change) -> Result<(), Status> {
        let state = Arc::clone(&self.state);
        blocking(move || state.make(change)).await
    }

    async fn change_points(&self, change: Change) -> Answer<PointsOperationResponse> {
        self.change(change).await?;
        let result = UpdateResult { operation_id: Some(0), status: UpdateStatus::Completed as i32 };
        Ok(Response::new(PointsOperationResponse { result: Some(result), ..PointsOperationResponse::default() }))
    }

    async fn change_collections(&self, change: Change) -> Answer<CollectionOperationResponse> {
        self.change(change).await?;
        Ok(Response::new(CollectionOperationResponse { result: true, time: 0.0 }))
    }

    async fn read<T: Send + 'static>(
        &self,
        collection: &str,
        read: impl FnOnce(&Collection) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let collection = self.state.collection(collection)?;
        blocking(move || read(&collection)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Status> + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Status::internal(format!("Service internal error: {error}"))))
}

/// Writes the methods of a trait that are not served, in the form that `async_trait` gives them.
macro_rules! not_served {
    ($($name:ident: $request:ident -> $response:ident,)*) => {
        $(fn $name<'life, 'served>(
            &'life self,
            _request: Request<grpc::$request>,
        ) -> Pin<Box<dyn Future<Output = Answer<grpc::$response>> + Send + 'served>>
        where
            'life: 'served,
            Self: 'served,
        {
            Box::pin(async { Err(not_served(stringify!($name))) })
        })*
    };
}

#[tonic::async_trait]
impl Qdrant for Service {
    async fn health_check(&self, _: Request<HealthCheckRequest>) -> Answer<HealthCheckReply> {
        Ok(Response::new(HealthCheckReply {
            title: "stand-in of Qdrant for tests".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: None,
        }))
    }
}

#[tonic::async_trait]
impl Collections for Service {
    async fn list(&self, _: Request<ListCollectionsRequest>) -> Answer<ListCollectionsResponse> {
        let collections = self.state.collections().into_iter().map(|name| CollectionDescription { name }).collect();
        Ok(Response::new(ListCollectionsResponse { collections, time: 0.0 }))
    }

    async fn create(&self, request: Request<CreateCollection>) -> Answer<CollectionOperationResponse> {
        self.change_collections(Change::CreateCollection(Box::new(request.into_inner()))).await
    }

    async fn delete(&self, request: Request<DeleteCollection>) -> Answer<CollectionOperationResponse> {
        self.change_collections(Change::DeleteCollection(request.into_inner())).await
    }

    async fn update_aliases(&self, request: Request<ChangeAliases>) -> Answer<CollectionOperationResponse> {
        self.change_collections(Change::ChangeAliases(request.into_inner())).await
    }

    async fn list_aliases(&self, _: Request<ListAliasesRequest>) -> Answer<ListAliasesResponse> {
        let aliases = self.state.aliases().into_iter();
        let aliases =
            aliases.map(|(alias_name, collection_name)| AliasDescription { alias_name, collection_name }).collect();
        Ok(Response::new(ListAliasesResponse { aliases, time: 0.0 }))
    }

    async fn collection_exists(&self, request: Request<CollectionExistsRequest>) -> Answer<CollectionExistsResponse> {
        let exists = self.state.collection(&request.into_inner().collection_name).is_ok();
        Ok(Response::new(CollectionExistsResponse { result: Some(CollectionExists { exists }), time: 0.0 }))
    }

    async fn get(&self, request: Request<GetCollectionInfoRequest>) -> Answer<GetCollectionInfoResponse> {
        let collection = self.state.collection(&request.into_inner().collection_name)?;
        Ok(Response::new(GetCollectionInfoResponse { result: Some(collection.info()), time: 0.0 }))
    }

    not_served! {
        update: UpdateCollection -> CollectionOperationResponse,
        list_collection_aliases: ListCollectionAliasesRequest -> ListAliasesResponse,
        collection_cluster_info: CollectionClusterInfoRequest -> CollectionClusterInfoResponse,
        update_collection_cluster_setup: UpdateCollectionClusterSetupRequest -> UpdateCollectionClusterSetupResponse,
        create_shard_key: CreateShardKeyRequest -> CreateShardKeyResponse,
        delete_shard_key: DeleteShardKeyRequest -> DeleteShardKeyResponse,
        list_shard_keys: ListShardKeysRequest -> ListShardKeysResponse,
    }
}

#[tonic::async_trait]
impl Points for Service {
    async fn upsert(&self, request: Request<UpsertPoints>) -> Answer<PointsOperationResponse> {
        self.change_points(Change::Upsert(request.into_inner())).await
    }

    async fn delete(&self, request: Request<DeletePoints>) -> Answer<PointsOperationResponse> {
        self.change_points(Change::Delete(request.into_inner())).await
    }

    async fn create_field_index(
        &self,
        request: Request<CreateFieldIndexCollection>,
    ) -> Answer<PointsOperationResponse> {
        self.change_points(Change::CreateIndex(request.into_inner())).await
    }

    async fn count(&self, request: Request<CountPoints>) -> Answer<CountResponse> {
        let message = request.into_inner();
        let count = self.read(&message.collection_name.clone(), move |collection| collection.count(&message)).await?;
        Ok(Response::new(CountResponse { result: Some(CountResult { count }), ..CountResponse::default() }))
    }

    async fn facet(&self, request: Request<FacetCounts>) -> Answer<FacetResponse> {
        let message = request.into_inner();
        let hits = self.read(&message.collection_name.clone(), move |collection| collection.facet(&message)).await?;
        Ok(Response::new(FacetResponse { hits, ..FacetResponse::default() }))
    }

    async fn scroll(&self, request: Request<ScrollPoints>) -> Answer<ScrollResponse> {
        let message = request.into_inner();
        let read = self.read(&message.collection_name.clone(), move |collection| collection.scroll(&message)).await?;
        let (result, next_page_offset) = read;
        Ok(Response::new(ScrollResponse { result, next_page_offset, ..ScrollResponse::default() }))
    }

    async fn query(&self, request: Request<QueryPoints>) -> Answer<QueryResponse> {
        let message = request.into_inner();
        let result = self.read(&message.collection_name.clone(), move |collection| collection.query(&message)).await?;
        Ok(Response::new(QueryResponse { result, ..QueryResponse::default() }))
    }

    not_served! {
        get: GetPoints -> GetResponse,
        update_vectors: UpdatePointVectors -> PointsOperationResponse,
        delete_vectors: DeletePointVectors -> PointsOperationResponse,
        set_payload: SetPayloadPoints -> PointsOperationResponse,
        overwrite_payload: SetPayloadPoints -> PointsOperationResponse,
        delete_payload: DeletePayloadPoints -> PointsOperationResponse,
        clear_payload: ClearPayloadPoints -> PointsOperationResponse,
        delete_field_index: DeleteFieldIndexCollection -> PointsOperationResponse,
        create_vector_name: CreateVectorNameRequest -> PointsOperationResponse,
        delete_vector_name: DeleteVectorNameRequest -> PointsOperationResponse,
        search: SearchPoints -> SearchResponse,
        search_batch: SearchBatchPoints -> SearchBatchResponse,
        search_groups: SearchPointGroups -> SearchGroupsResponse,
        recommend: RecommendPoints -> RecommendResponse,
        recommend_batch: RecommendBatchPoints -> RecommendBatchResponse,
        recommend_groups: RecommendPointGroups -> RecommendGroupsResponse,
        discover: DiscoverPoints -> DiscoverResponse,
        discover_batch: DiscoverBatchPoints -> DiscoverBatchResponse,
        update_batch: UpdateBatchPoints -> UpdateBatchResponse,
        query_batch: QueryBatchPoints -> QueryBatchResponse,
        query_groups: QueryPointGroups -> QueryGroupsResponse,
        search_matrix_pairs: SearchMatrixPoints -> SearchMatrixPairsResponse,
        search_matrix_offsets: SearchMatrixPoints -> SearchMatrixOffsetsResponse,
    }
}
