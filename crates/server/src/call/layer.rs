//! The layer around all services.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use http::{Request, Response, header::AUTHORIZATION};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument as _;
use vectrion_core::{
    Error, ErrorKind, Result,
    tenancy::{CallContext, Principal},
};

use super::{
    Call,
    body::{CallBody, End, panicked},
    deadline::{Deadline, Limits},
    logins::FailedLogins,
    record::Record,
    request::Uploaded,
    trace::Trace,
};
use crate::{
    connection::{Attendance, Peer, Presence},
    roles::{self, Access, Pace, Rule},
    settings::ServerSettings,
    status,
};

/// Says who has a secret.
pub(crate) type Authenticate = Arc<dyn Fn(SecretString) -> BoxFuture<'static, Result<Principal>> + Send + Sync>;

/// A stream asks so often whether its key is still good: a revocation is in force within 5 seconds.
const KEY_CHECK: Duration = Duration::from_secs(2);
/// When to try again after a refusal for lack of room.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// What all calls share.
pub(crate) struct Shared {
    authenticate: Authenticate,
    limits: Limits,
    logins: FailedLogins,
    places: Arc<Semaphore>,
    stream_idle: Duration,
    /// Fires when running calls should come to their end.
    drain: CancellationToken,
}

impl Shared {
    pub(crate) fn new(settings: &ServerSettings, authenticate: Authenticate, drain: CancellationToken) -> Self {
        Self {
            authenticate,
            limits: Limits::new(settings),
            logins: FailedLogins::new(settings.failed_logins_per_minute),
            places: Arc::new(Semaphore::new(settings.max_calls)),
            stream_idle: settings.stream_idle(),
            drain,
        }
    }
}

/// Puts [`CallService`] around a service.
#[derive(Clone)]
pub(crate) struct CallLayer {
    shared: Arc<Shared>,
}

impl CallLayer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = CallService<S>;

    fn layer(&self, inner: S) -> CallService<S> {
        CallService { inner, shared: Arc::clone(&self.shared) }
    }
}

/// Every call goes through here.
#[derive(Clone)]
pub(crate) struct CallService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request<Body>> for CallService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let trace = Trace::of(request.headers());
        let rule = roles::find(request.uri().path());
        let method = rule.map_or("unknown", |rule| rule.method);
        let span = tracing::info_span!("call", trace_id = trace.id, method);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { Ok(shared.serve(inner, request, rule, trace).await) }.instrument(span))
    }
}

/// A call that was let in.
struct Admitted {
    principal: Option<Principal>,
    secret: Option<SecretString>,
    permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl Shared {
    async fn serve<S>(
        self: Arc<Self>,
        mut inner: S,
        mut request: Request<Body>,
        rule: Option<&'static Rule>,
        trace: Trace,
    ) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let pace = rule.map_or(Pace::Unary, |rule| rule.pace);
        let deadline = Deadline::of(request.headers(), pace, &self.limits);
        let mut record = Record::begin(rule, &trace.id);
        let peer = request.extensions().get::<Peer>().cloned();
        let presence = peer.as_ref().map_or_else(|| Arc::new(Presence::new()), |peer| Arc::clone(&peer.presence));
        let attendance = Arc::new(Attendance::new(presence));
        let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip());

        let work = async {
            let admitted = self.admit(&mut request, rule, address, &mut record).await?;
            let Some(rule) = rule else { return Ok((None, Admitted { permit: None, ..admitted })) };
            if let Some(principal) = &admitted.principal {
                let context = CallContext {
                    principal: principal.clone(),
                    deadline: Some(deadline.at.into_std()),
                    trace_id: trace.id.clone(),
                };
                request.extensions_mut().insert(Call {
                    context,
                    attendance: Arc::clone(&attendance),
                    _place: admitted.permit.clone(),
                });
            }
            if rule.pace == Pace::Upload {
                request = request.map(|body| Body::new(Uploaded(body)));
            }
            let Ok(response) = inner.call(request).await;
            Ok((Some((rule, response)), admitted))
        };
        let outcome = match timeout_at(deadline.answer_by, AssertUnwindSafe(work).catch_unwind()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(panicked(panic.as_ref())),
            Err(_) => Err(out_of_time()),
        };

        let mut end = None;
        let mut permit = None;
        let mut response = match outcome {
            Ok((Some((rule, response)), admitted)) => {
                permit = admitted.permit;
                if rule.pace.streams_back() {
                    end = Some(Arc::clone(&self).end(rule.pace, deadline, admitted.secret));
                }
                response
            }
            Ok((None, _)) => {
                let mut response = empty();
                status::unknown_method(response.headers_mut(), &trace.id);
                response
            }
            Err(error) => status::of(&error, &trace.id).into_http(),
        };
        status::complete(response.headers_mut(), &trace.id);
        trace.tell(response.headers_mut());
        let (parts, body) = response.into_parts();
        let streams = end.is_some();
        let body = CallBody::new(&parts.headers, body, record, end, permit, attendance, trace.id);
        if streams {
            body.cut_when_unread(self.stream_idle);
        }
        Response::from_parts(parts, Body::new(body))
    }

    /// Lets a call in, or says why not.
    async fn admit(
        &self,
        request: &mut Request<Body>,
        rule: Option<&Rule>,
        address: IpAddr,
        record: &mut Record,
    ) -> Result<Admitted> {
        if rule.is_some_and(|rule| rule.access == Access::Public) {
            return Ok(Admitted { principal: None, secret: None, permit: None });
        }
        let secret = bearer(request).ok_or_else(|| {
            Error::new(
                ErrorKind::Unauthenticated,
                "API_KEY_MISSING",
                "this call takes an API key: send the metadata `authorization: Bearer vk_…`",
            )
        })?;
        if let Some(wait) = self.logins.wait(address, secret.expose_secret()) {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                "TOO_MANY_FAILED_LOGINS",
                "too many calls with wrong keys came from this address; wait and use a valid key",
            )
            .with_retry_after(wait));
        }
        let principal = match (self.authenticate)(secret.clone()).await {
            Ok(principal) => principal,
            Err(error) => {
                if error.kind() == ErrorKind::Unauthenticated {
                    self.logins.failed(address);
                }
                return Err(error);
            }
        };
        self.logins.succeeded(secret.expose_secret());
        record.called_by(&principal);
        if let Some(rule) = rule {
            rule.check(principal.role)?;
        }
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Error::new(
                ErrorKind::ResourceExhausted,
                "TOO_MANY_CALLS",
                "the server has too many calls in hand; try again",
            )
            .with_retry_after(BUSY_RETRY)
        })?;
        Ok(Admitted { principal: Some(principal), secret: Some(secret), permit: Some(Arc::new(permit)) })
    }

    /// When and how a stream must end: at its deadline, when its key is no longer good, and a watch at the shutdown.
    fn end(self: Arc<Self>, pace: Pace, deadline: Deadline, secret: Option<SecretString>) -> End {
        async move {
            tokio::select! {
                () = tokio::time::sleep_until(deadline.answer_by) => out_of_time(),
                () = self.drain.cancelled(), if pace == Pace::Watch => {
                    Error::unavailable("SERVER_SHUTTING_DOWN", "the server is shutting down; connect again and go on")
                }
                error = self.key_ends(secret) => error,
            }
        }
        .boxed()
    }

    async fn key_ends(&self, secret: Option<SecretString>) -> Error {
        let Some(secret) = secret else { return futures::future::pending().await };
        loop {
            tokio::time::sleep(KEY_CHECK).await;
            match (self.authenticate)(secret.clone()).await {
                Err(error) if error.kind() == ErrorKind::Unauthenticated => return error,
                // A directory out of reach takes nobody's rights away.
                Ok(_) | Err(_) => {}
            }
        }
    }
}

fn out_of_time() -> Error {
    Error::new(ErrorKind::DeadlineExceeded, "DEADLINE_EXCEEDED", "the time allowed for this call ran out")
}

fn empty() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(http::header::CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
    response
}

/// The secret in `authorization: Bearer …`, which is taken out of the request.
fn bearer(request: &mut Request<Body>) -> Option<SecretString> {
    let value = request.headers_mut().remove(AUTHORIZATION)?;
    let (scheme, secret) = value.to_str().ok()?.split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then(|| SecretString::from(secret.to_owned()))
}
