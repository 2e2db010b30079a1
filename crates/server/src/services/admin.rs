//! AdminService.

mod upkeep;
mod work;

use std::sync::{Arc, Mutex, PoisonError};

use prost::Message as _;
use tonic::{Request, Response, Status, async_trait};
use vectrion::v1::{self, admin_service_server::AdminService};
use vectrion_core::{Result, time::Timestamp};
use vectrion_pipeline::{Ports, administration::Administration, idempotency};

use super::{
    handling::{Responses, unary},
    replay::{Mutation, Mutations, once, read_replayed},
};
use crate::{call::Call, decode, encode, server::ServerInfo};

/// AdminService over the use cases.
pub(crate) struct AdminApi {
    administration: Arc<Administration>,
    ports: Arc<Ports>,
    mutations: Mutations,
    info: ServerInfo,
    max_document_bytes: u64,
    start_time: Timestamp,
}

impl AdminApi {
    pub(crate) fn new(
        administration: Arc<Administration>,
        ports: Arc<Ports>,
        mutations: Mutations,
        info: ServerInfo,
        max_document_bytes: u64,
        start_time: Timestamp,
    ) -> Self {
        Self { administration, ports, mutations, info, max_document_bytes, start_time }
    }
}

#[async_trait]
impl AdminService for AdminApi {
    type WatchQueuesStream = Responses<v1::WatchQueuesResponse>;
    type ReconcileStream = Responses<v1::ReconcileResponse>;
    type ApplyLifecyclePolicyStream = Responses<v1::ApplyLifecyclePolicyResponse>;

    async fn create_tenant(
        &self,
        request: Request<v1::CreateTenantRequest>,
    ) -> Result<Response<v1::CreateTenantResponse>, Status> {
        self.mutations
            .run(&self.administration, request, |administration, call, message| async move {
                decode::name("name", &message.name)?;
                let tenant = administration.create_tenant(&call.context, &message.name).await?;
                Ok(v1::CreateTenantResponse { tenant: Some(encode::tenant(tenant)) })
            })
            .await
    }

    async fn get_tenant(
        &self,
        request: Request<v1::GetTenantRequest>,
    ) -> Result<Response<v1::GetTenantResponse>, Status> {
        unary(request, |call, message| async move {
            let tenant = decode::tenant(message.tenant);
            let tenant = self.administration.get_tenant(&call.context, &tenant).await?;
            Ok(v1::GetTenantResponse { tenant: Some(encode::tenant(tenant)) })
        })
        .await
    }

    async fn list_tenants(
        &self,
        request: Request<v1::ListTenantsRequest>,
    ) -> Result<Response<v1::ListTenantsResponse>, Status> {
        unary(request, |call, message| async move {
            let page = decode::page(message.page_size, message.page_token)?;
            let found = self.administration.list_tenants(&call.context, &page).await?;
            let (tenants, next_page_token) = encode::page(found, encode::tenant);
            Ok(v1::ListTenantsResponse { tenants, next_page_token })
        })
        .await
    }

    async fn update_tenant(
        &self,
        request: Request<v1::UpdateTenantRequest>,
    ) -> Result<Response<v1::UpdateTenantResponse>, Status> {
        self.mutations
            .run(&self.administration, request, |administration, call, message| async move {
                let tenant = decode::named_tenant(message.tenant)?;
                decode::name("name", &message.name)?;
                let tenant = administration.update_tenant(&call.context, &tenant, &message.name).await?;
                Ok(v1::UpdateTenantResponse { tenant: Some(encode::tenant(tenant)) })
            })
            .await
    }

    async fn delete_tenant(
        &self,
        request: Request<v1::DeleteTenantRequest>,
    ) -> Result<Response<v1::DeleteTenantResponse>, Status> {
        self.mutations
            .run(&self.administration, request, |administration, call, message| async move {
                let tenant = decode::named_tenant(message.tenant)?;
                administration.delete_tenant(&call.context, &tenant).await?;
                Ok(v1::DeleteTenantResponse {})
            })
            .await
    }

    async fn create_collection(
        &self,
        request: Request<v1::CreateCollectionRequest>,
    ) -> Result<Response<v1::CreateCollectionResponse>, Status> {
        self.mutations
            .run(&self.administration, request, |administration, call, message| async move {
                let tenant = decode::tenant(message.tenant);
                decode::name("name", &message.name)?;
                decode::description("description", &message.description)?;
                let collection = administration
                    .create_collection(&call.context, &tenant, &message.name, &message.description)
                    .await?;
                Ok(v1::CreateCollectionResponse { collection: Some(encode::collection(collection)) })
            })
            .await
    }

    async fn get_collection(
        &self,
        request: Request<v1::GetCollectionRequest>,
    ) -> Result<Response<v1::GetCollectionResponse>, Status> {
        unary(request, |call, message| async move {
            let tenant = decode::tenant(message.tenant);
            let collection = decode::collection("collection", &message.collection)?;
            let collection = self.administration.get_collection(&call.context, &tenant, &collection).await?;
            Ok(v1::GetCollectionResponse { collection: Some(encode::collection(collection)) })
        })
        .await
    }

    async fn list_collections(
        &self,
        request: Request<v1::ListCollectionsRequest>,
    ) -> Result<Response<v1::ListCollectionsResponse>, Status> {
        unary(request, |call, message| async move {
            let tenant = decode::tenant(message.tenant);
            let page = decode::page(message.page_size, message.page_token)?;
            let found = self.administration.list_collections(&call.context, &tenant, &page).await?;
            let (collections, next_page_token) = encode::page(found, encode::collection);
            Ok(v1::ListCollectionsResponse { collections, next_page_token })
        })
        .await
    }

    async fn update_collection(
        &self,
        request: Request<v1::UpdateCollectionRequest>,
    ) -> Result<Response<v1::UpdateCollectionResponse>, Status> {
        self.mutations
            .run(&self.administration, request, |administration, call, message| async move {
                let tenant = decode::tenant(message.tenant);
                let collection = decode::collection("collection", &message.collection)?;
                let (name, description) = decode::collection_change(&message.name, &message.description)?;
                let collection =
                    administration.update_collection(&call.context, &tenant, &collection, name, description).await?;
                Ok(v1::UpdateCollectionResponse { collection: Some(encode::collection(collection)) })
            })
            .await
    }

    async fn delete_collection(
        &self,
        request: Request<v1::DeleteCollectionRequest>,
    ) -> Result<Response<v1::DeleteCollectionResponse>, Status> {
        self.mutations
            .run(&self.administration, request, |administration, call, message| async move {
                let tenant = decode::tenant(message.tenant);
                let collection = decode::collection("collection", &message.collection)?;
                administration.delete_collection(&call.context, &tenant, &collection).await?;
                Ok(v1::DeleteCollectionResponse {})
            })
            .await
    }

    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        let (administration, now) = (Arc::clone(&self.administration), self.ports.clock.now());
        let work = move |known, call: Call, mut message: v1::CreateApiKeyRequest| async move {
            let id = decode::request_id(&message.take_request_id())?;
            let once = once(&call.context, "CreateApiKey", id, &[&message.encode_to_vec()]);
            // Passed by the side, because the outcome is stored and the secret must not be.
            let fresh = Mutex::new(String::new());
            let made = idempotency::run(&known, &once, async {
                let tenant = decode::tenant(std::mem::take(&mut message.tenant));
                let key = decode::new_key(message, call.context.principal.tenant, now)?;
                let (key, secret) = administration.create_key(&call.context, &tenant, key).await?;
                secret.expose().clone_into(&mut fresh.lock().unwrap_or_else(PoisonError::into_inner));
                let key_id = key.id.to_string();
                let api_key = Some(encode::api_key(key));
                Ok(v1::CreateApiKeyResponse { key_id, secret: String::new(), api_key }.encode_to_vec())
            })
            .await?;
            let (response, replayed): (v1::CreateApiKeyResponse, bool) = read_replayed(made)?;
            let secret = fresh.into_inner().unwrap_or_else(PoisonError::into_inner);
            Ok(v1::CreateApiKeyResponse { secret: if replayed { String::new() } else { secret }, ..response })
        };
        self.mutations.finish(request, work).await
    }

    async fn get_api_key(
        &self,
        request: Request<v1::GetApiKeyRequest>,
    ) -> Result<Response<v1::GetApiKeyResponse>, Status> {
        unary(request, |call, message| async move {
            let tenant = decode::tenant(message.tenant);
            let id = decode::id("key_id", &message.key_id)?;
            let key = self.administration.get_key(&call.context, &tenant, id).await?;
            Ok(v1::GetApiKeyResponse { api_key: Some(encode::api_key(key)) })
        })
        .await
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        unary(request, |call, message| async move {
            let tenant = decode::tenant(message.tenant);
            let page = decode::page(message.page_size, message.page_token)?;
            let found = self.administration.list_keys(&call.context, &tenant, &page).await?;
            let (api_keys, next_page_token) = encode::page(found, encode::api_key);
            Ok(v1::ListApiKeysResponse { api_keys, next_page_token })
        })
        .await
    }

    async fn update_api_key(
        &self,
        request: Request<v1::UpdateApiKeyRequest>,
    ) -> Result<Response<v1::UpdateApiKeyResponse>, Status> {
        self.mutations
            .run(&self.administration, request, |administration, call, message| async move {
                let tenant = decode::tenant(message.tenant);
                let id = decode::id("key_id", &message.key_id)?;
                let name = decode::optional_key_name("name", message.name.as_deref())?;
                let expiry = decode::expiry_change(message.expire_time, message.never_expires)?;
                let key = administration.update_key(&call.context, &tenant, id, name, expiry).await?;
                Ok(v1::UpdateApiKeyResponse { api_key: Some(encode::api_key(key)) })
            })
            .await
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        self.mutations
            .run(&self.administration, request, |administration, call, message| async move {
                let tenant = decode::tenant(message.tenant);
                let id = decode::id("key_id", &message.key_id)?;
                let key = administration.revoke_key(&call.context, &tenant, id).await?;
                Ok(v1::RevokeApiKeyResponse { api_key: Some(encode::api_key(key)) })
            })
            .await
    }

    async fn list_jobs(&self, request: Request<v1::ListJobsRequest>) -> Result<Response<v1::ListJobsResponse>, Status> {
        unary(request, |call, message| async move {
            let tenant = decode::tenant(message.tenant);
            let filter = decode::job_filter(&message.document_id, &message.stages, &message.states)?;
            let page = decode::page(message.page_size, message.page_token)?;
            let found = self.administration.list_jobs(&call.context, &tenant, &filter, &page).await?;
            let (jobs, next_page_token) = encode::page(found, encode::job);
            Ok(v1::ListJobsResponse { jobs, next_page_token })
        })
        .await
    }

    async fn get_job(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::GetJobResponse>, Status> {
        unary(request, |call, message| async move {
            let tenant = decode::tenant(message.tenant);
            let id = decode::id("job_id", &message.job_id)?;
            let job = self.administration.get_job(&call.context, &tenant, id).await?;
            Ok(v1::GetJobResponse { job: Some(encode::job_with_history(job)) })
        })
        .await
    }

    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        unary(request, |call, _| async move {
            let workers = self.administration.list_workers(&call.context).await?;
            let now = self.ports.clock.now();
            Ok(v1::ListWorkersResponse {
                workers: workers.into_iter().map(|worker| encode::worker(worker, now)).collect(),
            })
        })
        .await
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        unary(request, |call, message| async move {
            let tenant = decode::tenant(message.tenant);
            let v1::ListDeadLettersRequest { reason, collection, stage, min_age_seconds, .. } = message;
            let filter = v1::DeadLetterFilter { collection, stage, reason, min_age_seconds };
            let (collection, filter) = decode::dead_letter_filter(filter, "")?;
            let page = decode::page(message.page_size, message.page_token)?;
            let found = self
                .administration
                .list_dead_letters(&call.context, &tenant, collection.as_ref(), filter, &page)
                .await?;
            let (dead_letters, next_page_token) = encode::page(found, encode::dead_letter);
            Ok(v1::ListDeadLettersResponse { dead_letters, next_page_token })
        })
        .await
    }

    async fn get_dead_letter(
        &self,
        request: Request<v1::GetDeadLetterRequest>,
    ) -> Result<Response<v1::GetDeadLetterResponse>, Status> {
        unary(request, |call, message| async move {
            let tenant = decode::tenant(message.tenant);
            let id = decode::id("dead_letter_id", &message.dead_letter_id)?;
            let letter = self.administration.get_dead_letter(&call.context, &tenant, id).await?;
            Ok(v1::GetDeadLetterResponse { dead_letter: Some(encode::dead_letter(letter)) })
        })
        .await
    }

    async fn replay_dead_letter(
        &self,
        request: Request<v1::ReplayDeadLetterRequest>,
    ) -> Result<Response<v1::ReplayDeadLetterResponse>, Status> {
        self.mutations
            .run(&self.administration, request, |administration, call, message| async move {
                let tenant = decode::tenant(message.tenant);
                let id = decode::id("dead_letter_id", &message.dead_letter_id)?;
                let job = administration.replay_dead_letter(&call.context, &tenant, id).await?;
                Ok(v1::ReplayDeadLetterResponse { job: Some(encode::job(job)) })
            })
            .await
    }

    async fn get_server_info(
        &self,
        request: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::GetServerInfoResponse>, Status> {
        unary(request, |call, _| async move {
            let queues = self.administration.queue_depths(&call.context).await?;
            Ok(encode::server_info(&self.ports, &self.info, self.max_document_bytes, self.start_time, queues))
        })
        .await
    }

    async fn list_dead_letter_causes(
        &self,
        request: Request<v1::ListDeadLetterCausesRequest>,
    ) -> Result<Response<v1::ListDeadLetterCausesResponse>, Status> {
        work::list_dead_letter_causes(&self.administration, request).await
    }

    async fn replay_dead_letters(
        &self,
        request: Request<v1::ReplayDeadLettersRequest>,
    ) -> Result<Response<v1::ReplayDeadLettersResponse>, Status> {
        work::replay_dead_letters(&self.mutations, &self.administration, request).await
    }

    async fn purge_dead_letters(
        &self,
        request: Request<v1::PurgeDeadLettersRequest>,
    ) -> Result<Response<v1::PurgeDeadLettersResponse>, Status> {
        work::purge_dead_letters(&self.mutations, &self.administration, request).await
    }

    async fn list_queues(
        &self,
        request: Request<v1::ListQueuesRequest>,
    ) -> Result<Response<v1::ListQueuesResponse>, Status> {
        work::list_queues(&self.administration, request).await
    }

    async fn watch_queues(
        &self,
        request: Request<v1::WatchQueuesRequest>,
    ) -> Result<Response<Self::WatchQueuesStream>, Status> {
        work::watch_queues(&self.administration, &self.ports, request).await
    }

    async fn reconcile(
        &self,
        request: Request<v1::ReconcileRequest>,
    ) -> Result<Response<Self::ReconcileStream>, Status> {
        upkeep::reconcile(&self.administration, request).await
    }

    async fn get_lifecycle_policy(
        &self,
        request: Request<v1::GetLifecyclePolicyRequest>,
    ) -> Result<Response<v1::GetLifecyclePolicyResponse>, Status> {
        upkeep::lifecycle_policy(&self.administration, request).await
    }

    async fn set_lifecycle_policy(
        &self,
        request: Request<v1::SetLifecyclePolicyRequest>,
    ) -> Result<Response<v1::SetLifecyclePolicyResponse>, Status> {
        upkeep::set_lifecycle_policy(&self.mutations, &self.administration, request).await
    }

    async fn apply_lifecycle_policy(
        &self,
        request: Request<v1::ApplyLifecyclePolicyRequest>,
    ) -> Result<Response<Self::ApplyLifecyclePolicyStream>, Status> {
        upkeep::apply_lifecycle_policy(&self.administration, request).await
    }
}
