//! QueryService.

use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use tonic::{Code, Request, Response, Status, async_trait};
use vectrion::v1::{self, query_service_server::QueryService};
use vectrion_core::{Error, Result, answer::AnswerEventKind, ids::AnswerId};
use vectrion_pipeline::query::{AnswerStream, Queries, RunningAnswer};

use super::{
    handling::{Responses, open, unary},
    replay::Mutations,
    streams::attended,
};
use crate::{call::Call, connection::Departure, decode, encode, status};

/// QueryService over the use cases.
pub(crate) struct QueryApi {
    queries: Arc<Queries>,
    mutations: Mutations,
}

impl QueryApi {
    pub(crate) fn new(queries: Arc<Queries>, mutations: Mutations) -> Self {
        Self { queries, mutations }
    }
}

#[async_trait]
impl QueryService for QueryApi {
    type AnswerStream = Responses<v1::AnswerResponse>;
    type ResumeAnswerStream = Responses<v1::ResumeAnswerResponse>;

    async fn retrieve(&self, request: Request<v1::RetrieveRequest>) -> Result<Response<v1::RetrieveResponse>, Status> {
        unary(request, |call, message| async move {
            let (collections, query) = decode::retrieve(message, self.queries.max_question_chars())?;
            let found = self.queries.retrieve(&call.context, &collections, query).await?;
            Ok(encode::retrieved(found))
        })
        .await
    }

    async fn answer(&self, request: Request<v1::AnswerRequest>) -> Result<Response<Self::AnswerStream>, Status> {
        let (call, message) = open(request)?;
        let begun = async {
            let (collections, question) = decode::answer(message, self.queries.max_question_chars())?;
            self.queries.answer(&call.context, &collections, question).await
        };
        let running = begun.await.map_err(|error| status::of(&error, &call.context.trace_id))?;
        let events = watched(call, running).map(|event| event.map(|event| v1::AnswerResponse { event: Some(event) }));
        Ok(Response::new(events.boxed()))
    }

    async fn resume_answer(
        &self,
        request: Request<v1::ResumeAnswerRequest>,
    ) -> Result<Response<Self::ResumeAnswerStream>, Status> {
        let (call, message) = open(request)?;
        let resumed = async {
            let id = decode::id("answer_id", &message.answer_id)?;
            let after = decode::count("after_sequence", message.after_sequence)?;
            self.queries.resume(&call.context, id, after).await
        };
        let running = resumed.await.map_err(|error| status::of(&error, &call.context.trace_id))?;
        let events =
            watched(call, running).map(|event| event.map(|event| v1::ResumeAnswerResponse { event: Some(event) }));
        Ok(Response::new(events.boxed()))
    }

    async fn cancel_answer(
        &self,
        request: Request<v1::CancelAnswerRequest>,
    ) -> Result<Response<v1::CancelAnswerResponse>, Status> {
        self.mutations
            .run(&self.queries, request, |queries, call, message| async move {
                let id = decode::id("answer_id", &message.answer_id)?;
                queries.cancel(&call.context, id).await?;
                Ok(v1::CancelAnswerResponse {})
            })
            .await
    }

    async fn get_answer(
        &self,
        request: Request<v1::GetAnswerRequest>,
    ) -> Result<Response<v1::GetAnswerResponse>, Status> {
        unary(request, |call, message| async move {
            let id = decode::id("answer_id", &message.answer_id)?;
            let (answer, events) = self.queries.get_answer(&call.context, id).await?;
            Ok(v1::GetAnswerResponse { answer: Some(encode::stored_answer(answer, &events)) })
        })
        .await
    }
}

/// What the caller of a running answer gets. One who cancels stops the answer; one whose connection is lost may resume
/// it.
fn watched(call: Call, running: RunningAnswer) -> impl Stream<Item = Result<v1::AnswerEvent, Status>> + Send + 'static {
    let RunningAnswer { id, events: running, control } = running;
    events(call, id, running, move |departure| match departure {
        Departure::Cancelled => control.cancel(),
        Departure::Lost => control.detach(),
    })
}

/// The events of an answer, up to the terminal one; then OK for `done`, and for `error` the status of the same code.
/// `leave` is called if the caller leaves before the end.
pub(crate) fn events(
    call: Call,
    id: AnswerId,
    mut events: AnswerStream,
    leave: impl FnOnce(Departure) + Send + 'static,
) -> impl Stream<Item = Result<v1::AnswerEvent, Status>> + Send + 'static {
    let trace_id = call.context.trace_id;
    let messages = async_stream::stream! {
        let id = id.to_string();
        while let Some(event) = events.next().await {
            let last = event.kind.is_terminal();
            let failed = failure(&event.kind, &trace_id);
            yield Ok(encode::answer_event(&id, event));
            if let Some(status) = failed {
                yield Err(status);
            }
            if last {
                return;
            }
        }
        let error = Error::internal("ANSWER_TRUNCATED", "the answer ended without a terminal event");
        yield Err(status::of(&error, &trace_id));
    };
    attended(messages, call.attendance, leave)
}

/// The status that follows a terminal `error`.
fn failure(kind: &AnswerEventKind, trace_id: &str) -> Option<Status> {
    let AnswerEventKind::Error { code, reason, message } = kind else { return None };
    let code = Code::from_i32(i32::try_from(*code).unwrap_or(Code::Unknown as i32));
    // `OK` would make a broken answer look complete.
    let code = if code == Code::Ok { Code::Unknown } else { code };
    Some(status::with(code, reason, message, trace_id))
}
