//! Dead letters by the many, and queues.

use std::sync::Arc;

use futures::StreamExt as _;
use tonic::{Request, Response, Status};
use vectrion::v1;
use vectrion_core::Result;
use vectrion_pipeline::{Ports, administration::Administration};

use crate::{
    decode, encode,
    services::{
        handling::{Responses, streaming, unary},
        replay::Mutations,
    },
};

pub(super) async fn list_dead_letter_causes(
    administration: &Administration,
    request: Request<v1::ListDeadLetterCausesRequest>,
) -> Result<Response<v1::ListDeadLetterCausesResponse>, Status> {
    unary(request, |call, message| async move {
        let tenant = decode::tenant(message.tenant);
        let (collection, filter) = decode::dead_letter_filter(message.filter.unwrap_or_default(), "filter.")?;
        let causes = administration.dead_letter_causes(&call.context, &tenant, collection.as_ref(), filter).await?;
        Ok(v1::ListDeadLetterCausesResponse { causes: causes.into_iter().map(encode::dead_letter_cause).collect() })
    })
    .await
}

pub(super) async fn replay_dead_letters(
    mutations: &Mutations,
    administration: &Arc<Administration>,
    request: Request<v1::ReplayDeadLettersRequest>,
) -> Result<Response<v1::ReplayDeadLettersResponse>, Status> {
    mutations
        .run(administration, request, |administration, call, message| async move {
            let tenant = decode::tenant(message.tenant);
            let (collection, selection) = decode::dead_letters(message.dead_letter_ids, message.filter)?;
            let handled =
                administration.replay_dead_letters(&call.context, &tenant, collection.as_ref(), selection).await?;
            Ok(v1::ReplayDeadLettersResponse {
                replayed_count: encode::size(handled.done),
                missing_count: encode::size(handled.missing),
                remaining_count: encode::size(handled.remaining),
            })
        })
        .await
}

pub(super) async fn purge_dead_letters(
    mutations: &Mutations,
    administration: &Arc<Administration>,
    request: Request<v1::PurgeDeadLettersRequest>,
) -> Result<Response<v1::PurgeDeadLettersResponse>, Status> {
    mutations
        .run(administration, request, |administration, call, message| async move {
            let tenant = decode::tenant(message.tenant);
            let (collection, selection) = decode::dead_letters(message.dead_letter_ids, message.filter)?;
            let handled =
                administration.purge_dead_letters(&call.context, &tenant, collection.as_ref(), selection).await?;
            Ok(v1::PurgeDeadLettersResponse {
                purged_count: encode::size(handled.done),
                missing_count: encode::size(handled.missing),
                remaining_count: encode::size(handled.remaining),
            })
        })
        .await
}

pub(super) async fn list_queues(
    administration: &Administration,
    request: Request<v1::ListQueuesRequest>,
) -> Result<Response<v1::ListQueuesResponse>, Status> {
    unary(request, |call, message| async move {
        let tenant = decode::tenant(message.tenant);
        let queues = administration.list_queues(&call.context, &tenant).await?;
        Ok(v1::ListQueuesResponse { queues: encode::queues(queues) })
    })
    .await
}

pub(super) async fn watch_queues(
    administration: &Administration,
    ports: &Arc<Ports>,
    request: Request<v1::WatchQueuesRequest>,
) -> Result<Response<Responses<v1::WatchQueuesResponse>>, Status> {
    let clock = Arc::clone(&ports.clock);
    streaming(request, |call, message| async move {
        let tenant = decode::tenant(message.tenant);
        let interval = decode::watch_interval("interval_ms", message.interval_ms)?;
        let queues = administration.watch_queues(&call.context, &tenant, interval).await?;
        Ok(queues.map(move |queues| {
            let time = Some(encode::time(clock.now()));
            Ok(v1::WatchQueuesResponse { queues: encode::queues(queues?), time })
        }))
    })
    .await
}
