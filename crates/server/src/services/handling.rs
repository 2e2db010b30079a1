//! What all handlers do around their own lines.

use futures::{
    StreamExt as _,
    stream::{BoxStream, Stream},
};
use tonic::{Request, Response, Status};
use vectrion_core::{Error, Result};

use crate::{call::Call, status};

/// A stream of responses.
pub(crate) type Responses<T> = BoxStream<'static, Result<T, Status>>;

/// What a handler needs of a request: its call and its message.
pub(crate) fn open<Q>(request: Request<Q>) -> Result<(Call, Q), Status> {
    let (_, mut extensions, message) = request.into_parts();
    match extensions.remove::<Call>() {
        Some(call) => Ok((call, message)),
        None => Err(status::of(&Error::internal("NO_CALL", "the call layer is missing"), "")),
    }
}

/// A call with one response.
pub(crate) async fn unary<Q, R, F>(request: Request<Q>, work: impl FnOnce(Call, Q) -> F) -> Result<Response<R>, Status>
where
    F: Future<Output = Result<R>>,
{
    let (call, message) = open(request)?;
    let trace_id = call.context.trace_id.clone();
    work(call, message).await.map(Response::new).map_err(|error| status::of(&error, &trace_id))
}

/// A call with a stream of responses, each of which may be an error that ends it.
pub(crate) async fn streaming<Q, R, S, F>(
    request: Request<Q>,
    work: impl FnOnce(Call, Q) -> F,
) -> Result<Response<Responses<R>>, Status>
where
    F: Future<Output = Result<S>>,
    S: Stream<Item = Result<R>> + Send + 'static,
    R: 'static,
{
    let (call, message) = open(request)?;
    let trace_id = call.context.trace_id.clone();
    match work(call, message).await {
        Ok(stream) => {
            let stream = stream.map(move |item| item.map_err(|error| status::of(&error, &trace_id)));
            Ok(Response::new(stream.boxed()))
        }
        Err(error) => Err(status::of(&error, &trace_id)),
    }
}
