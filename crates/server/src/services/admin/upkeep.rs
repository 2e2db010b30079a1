//! What keeps an installation in order: comparisons of database, vectors and objects, lifecycle policies.

use std::{sync::Arc, time::Instant};

use futures::StreamExt as _;
use tonic::{Request, Response, Status};
use vectrion::v1;
use vectrion_pipeline::{administration::Administration, lifecycle::LifecycleAction};

use crate::{
    decode, encode,
    services::{
        Mutations,
        handling::{Responses, streaming, unary},
    },
};

/// Compares database, vectors and objects.
pub(super) async fn reconcile(
    administration: &Arc<Administration>,
    request: Request<v1::ReconcileRequest>,
) -> Result<Response<Responses<v1::ReconcileResponse>>, Status> {
    streaming(request, |call, message| async move {
        let began = Instant::now();
        let request = decode::reconcile(message)?;
        let events = administration.reconcile(&call.context, request).await?;
        Ok(events.map(move |event| event.map(|event| encode::reconcile_event(event, began.elapsed()))))
    })
    .await
}

/// The lifecycle policy of a collection.
pub(super) async fn lifecycle_policy(
    administration: &Arc<Administration>,
    request: Request<v1::GetLifecyclePolicyRequest>,
) -> Result<Response<v1::GetLifecyclePolicyResponse>, Status> {
    unary(request, |call, message| async move {
        let tenant = decode::tenant(message.tenant);
        let collection = decode::collection("collection", &message.collection)?;
        let policy = administration.lifecycle_policy(&call.context, &tenant, &collection).await?;
        Ok(v1::GetLifecyclePolicyResponse { policy: Some(encode::lifecycle_policy(policy)) })
    })
    .await
}

/// Sets the lifecycle policy of a collection.
pub(super) async fn set_lifecycle_policy(
    mutations: &Mutations,
    administration: &Arc<Administration>,
    request: Request<v1::SetLifecyclePolicyRequest>,
) -> Result<Response<v1::SetLifecyclePolicyResponse>, Status> {
    mutations
        .run(administration, request, |administration, call, message| async move {
            let rules = decode::lifecycle_rules(&message)?;
            let tenant = decode::tenant(message.tenant);
            let collection = decode::collection("collection", &message.collection)?;
            let policy = administration.set_lifecycle_policy(&call.context, &tenant, &collection, rules).await?;
            Ok(v1::SetLifecyclePolicyResponse { policy: Some(encode::lifecycle_policy(policy)) })
        })
        .await
}

/// Applies the lifecycle policy of a collection.
pub(super) async fn apply_lifecycle_policy(
    administration: &Arc<Administration>,
    request: Request<v1::ApplyLifecyclePolicyRequest>,
) -> Result<Response<Responses<v1::ApplyLifecyclePolicyResponse>>, Status> {
    streaming(request, |call, message| async move {
        let tenant = decode::tenant(message.tenant);
        let collection = decode::collection("collection", &message.collection)?;
        let mut done =
            administration.apply_lifecycle_policy(&call.context, &tenant, &collection, message.dry_run).await?;
        Ok(async_stream::try_stream! {
            let (mut actions, mut orphans, mut removed) = (0, 0, 0);
            while let Some(action) = done.next().await {
                let action = action?;
                removed += u64::from(action.is_done());
                match &action {
                    LifecycleAction::Document { .. } => actions += 1,
                    LifecycleAction::Orphan(_) => orphans += 1,
                }
                yield encode::lifecycle_action(action);
            }
            yield encode::lifecycle_summary(actions, orphans, removed);
        })
    })
    .await
}
