//! Tenants, collections, keys, the server itself.

use vectrion::v1;
use vectrion_core::{
    ports::jobs::QueueDepth,
    tenancy::{ApiKey, Collection, Role, Tenant},
    time::Timestamp,
};
use vectrion_pipeline::Ports;

use super::values::{size, small, time};
use crate::server::ServerInfo;

/// A tenant.
pub(crate) fn tenant(tenant: Tenant) -> v1::Tenant {
    v1::Tenant {
        tenant_id: tenant.id.to_string(),
        name: tenant.name,
        create_time: Some(time(tenant.create_time)),
        update_time: Some(time(tenant.update_time)),
    }
}

/// A collection.
pub(crate) fn collection(collection: Collection) -> v1::Collection {
    v1::Collection {
        collection_id: collection.id.to_string(),
        tenant_id: collection.tenant.to_string(),
        name: collection.name,
        description: collection.description,
        embedding_model: collection.embedding_model,
        document_count: size(collection.document_count),
        chunk_count: size(collection.chunk_count),
        create_time: Some(time(collection.create_time)),
        update_time: Some(time(collection.update_time)),
    }
}

/// A key without its secret.
pub(crate) fn api_key(key: ApiKey) -> v1::ApiKey {
    v1::ApiKey {
        key_id: key.id.to_string(),
        tenant_id: key.tenant.to_string(),
        name: key.name,
        role: role(key.role).into(),
        prefix: key.prefix,
        create_time: Some(time(key.create_time)),
        expire_time: key.expire_time.map(time),
        revoke_time: key.revoke_time.map(time),
        last_use_time: key.last_use_time.map(time),
    }
}

fn role(role: Role) -> v1::Role {
    match role {
        Role::User => v1::Role::User,
        Role::Editor => v1::Role::Editor,
        Role::Admin => v1::Role::Admin,
        Role::Operator => v1::Role::Operator,
    }
}

/// What this server is.
pub(crate) fn server_info(
    ports: &Ports,
    info: &ServerInfo,
    max_document_bytes: u64,
    start_time: Timestamp,
    queues: Vec<QueueDepth>,
) -> v1::GetServerInfoResponse {
    v1::GetServerInfoResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        embedding_model: ports.embedder.model().to_owned(),
        embedding_dimension: small(ports.embedder.dimension() as u64),
        chat_model: ports.chat.as_ref().map_or_else(|| "extractive".to_owned(), |chat| chat.name().to_owned()),
        chunker: ports.parser.chunker_version().to_owned(),
        backends: info.backends.clone().into_iter().collect(),
        max_document_bytes: size(max_document_bytes),
        content_types: info.content_types.clone(),
        queues: queues.into_iter().map(queue).collect(),
        start_time: Some(time(start_time)),
    }
}

fn queue(depth: QueueDepth) -> v1::StageQueue {
    v1::StageQueue {
        stage: depth.stage.as_str().to_owned(),
        ready: size(depth.ready),
        delayed: size(depth.delayed),
        running: size(depth.running),
        oldest_ms: size(depth.oldest_ms),
    }
}
