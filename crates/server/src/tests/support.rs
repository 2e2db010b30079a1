//! A server whose answers are scripted by the question.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, stream::BoxStream};
use secrecy::ExposeSecret as _;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, async_trait, service::Routes};
use vectrion::{
    client::Client,
    v1::{
        self,
        answer_event::Event,
        query_service_server::{QueryService, QueryServiceServer},
    },
};
use vectrion_core::{
    Error, ErrorKind, Result,
    answer::{AnswerEvent, AnswerEventKind, FinishReason},
    ids::{AnswerId, KeyId, TenantId},
    tenancy::{Principal, Role},
};

use crate::{
    Readiness, ServeError, Server, ServerSettings,
    call::{Authenticate, Call},
    connection::Departure,
    services::{Responses, events, open, unary},
    settings::tests::defaults,
};

/// A running server.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) departures: mpsc::UnboundedReceiver<Departure>,
    pub(super) revoked: Arc<Mutex<HashSet<String>>>,
    pub(super) database_down: Arc<AtomicBool>,
    pub(super) shutdown: CancellationToken,
    pub(super) serving: JoinHandle<Result<(), ServeError>>,
}

/// Settings with short times.
pub(super) fn settings() -> ServerSettings {
    ServerSettings { readiness_interval_s: 1, shutdown_pause_ms: 0, shutdown_drain_s: 1, ..defaults() }
}

pub(super) async fn start() -> Running {
    start_with(settings()).await
}

pub(super) async fn start_with(settings: ServerSettings) -> Running {
    let (departed, departures) = mpsc::unbounded_channel();
    let script = QueryServiceServer::new(Script { departed })
        .max_decoding_message_size(settings.max_query_request_bytes)
        .max_encoding_message_size(settings.max_response_bytes);
    Running { departures, ..start_routes(settings, Routes::new(script), TaskTracker::new()).await }
}

/// A server of other services.
pub(super) async fn start_routes(settings: ServerSettings, routes: Routes, tasks: TaskTracker) -> Running {
    let revoked: Arc<Mutex<HashSet<String>>> = Arc::default();
    let database_down: Arc<AtomicBool> = Arc::default();

    let known = Arc::clone(&revoked);
    let authenticate: Authenticate = Arc::new(move |secret| {
        let principal = principal(secret.expose_secret(), &known);
        async move { principal }.boxed()
    });
    let down = Arc::clone(&database_down);
    let probe = Arc::new(move || {
        let database = match down.load(Ordering::SeqCst) {
            true => Err(Error::unavailable("DATABASE_UNAVAILABLE", "it is down")),
            false => Ok(()),
        };
        async move { Readiness { database, objects: Ok(()), vectors: Ok(()), embedder: Ok(()), queue: Ok(()) } }.boxed()
    });
    let server = Server::assemble(settings, routes, authenticate, probe).await.expect("a free port").with_tasks(tasks);
    let address = server.local_addr();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.serve(shutdown.clone()));
    let (_, departures) = mpsc::unbounded_channel();
    Running { address, departures, revoked, database_down, shutdown, serving }
}

/// Keys are `vk_` and a role.
fn principal(secret: &str, revoked: &Mutex<HashSet<String>>) -> Result<Principal> {
    let refuse = |reason| Error::new(ErrorKind::Unauthenticated, reason, "this API key is not valid");
    if revoked.lock().expect("not poisoned").contains(secret) {
        return Err(refuse("API_KEY_REVOKED"));
    }
    let role = secret.strip_prefix("vk_").and_then(|role| role.parse::<Role>().ok());
    let role = role.ok_or_else(|| refuse("INVALID_API_KEY"))?;
    Ok(Principal { key: KeyId(uuid::Uuid::from_u128(7)), tenant: TenantId(uuid::Uuid::from_u128(8)), role })
}

impl Running {
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client with the key of this role.
    pub(super) async fn client(&self, role: &str) -> Client {
        Client::connect(&self.url(), &format!("vk_{role}")).await.expect("the server is there")
    }

    /// How the caller of the next stream that was dropped left.
    pub(super) async fn departure(&mut self) -> Departure {
        let departed = tokio::time::timeout(Duration::from_secs(10), self.departures.recv());
        departed.await.expect("somebody leaves").expect("the server runs")
    }

    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.expect("no panic").expect("no error");
    }
}

/// A question to the script.
pub(super) fn ask(question: &str) -> v1::AnswerRequest {
    v1::AnswerRequest { question: question.into(), ..Default::default() }
}

/// A search of the script.
pub(super) fn search(query: &str) -> v1::RetrieveRequest {
    v1::RetrieveRequest { query: query.into(), ..Default::default() }
}

pub(super) fn event(message: v1::AnswerResponse) -> Event {
    message.event.expect("an event").event.expect("its kind")
}

/// The reason of an error, which every error has.
pub(super) fn reason(status: &Status) -> String {
    vectrion::error::reason(status).unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"))
}

/// A way to the server that can be cut.
pub(super) struct Wire {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Wire {
    pub(super) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.expect("a client");
            let mut server = TcpStream::connect(server).await.expect("the server");
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
        Self { address, task }
    }

    /// Closes both ends without a word.
    pub(super) fn cut(self) {
        self.task.abort();
    }
}

struct Script {
    departed: mpsc::UnboundedSender<Departure>,
}

/// Answers by their question.
fn script(question: &str, call: &Call) -> BoxStream<'static, AnswerEventKind> {
    let begun = futures::stream::once(async {
        AnswerEventKind::Started { model: "script".into(), prompt_version: String::new() }
    });
    let done = || AnswerEventKind::Done { finish_reason: FinishReason::Stop };
    let failed =
        || AnswerEventKind::Error { code: 4, reason: "MODEL_STALLED".into(), message: "the model hangs".into() };
    let deadline = call.context.deadline.expect("every call has a deadline");
    let silence = futures::stream::pending();
    let rest = match question {
        "done" => futures::stream::iter([done()]).boxed(),
        "slowly done" => futures::stream::once(async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            done()
        })
        .boxed(),
        "failed" => futures::stream::iter([failed()]).boxed(),
        "truncated" => futures::stream::empty().boxed(),
        "silent" => silence.boxed(),
        "more after the end" => futures::stream::iter([done(), failed()]).chain(silence).boxed(),
        "flood" => {
            let text = "x".repeat(64 * 1024);
            futures::stream::repeat_with(move || AnswerEventKind::Delta { text: text.clone() }).boxed()
        }
        "trickle" => futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some((AnswerEventKind::Delta { text: "x".into() }, ()))
        })
        .boxed(),
        "keeps the deadline" => futures::stream::once(async move {
            tokio::time::sleep(deadline.saturating_duration_since(Instant::now()) - Duration::from_millis(100)).await;
            failed()
        })
        .boxed(),
        "panic" => futures::stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            panic!("a scripted panic")
        })
        .boxed(),
        other => panic!("no script for {other}"),
    };
    begun.chain(rest).boxed()
}

#[async_trait]
impl QueryService for Script {
    type AnswerStream = Responses<v1::AnswerResponse>;
    type ResumeAnswerStream = Responses<v1::ResumeAnswerResponse>;

    async fn retrieve(&self, request: Request<v1::RetrieveRequest>) -> Result<Response<v1::RetrieveResponse>, Status> {
        unary(request, |call, message| async move {
            match message.query.as_str() {
                "silent" => futures::future::pending().await,
                "panic" => panic!("a scripted panic"),
                "broken" => {
                    Err(Error::internal("DATABASE", "a query failed").with_source(std::io::Error::other("disk")))
                }
                "deadline" => {
                    let deadline = call.context.deadline.expect("every call has a deadline");
                    let total_ms = deadline.saturating_duration_since(Instant::now()).as_secs_f32() * 1000.0;
                    let latency = Some(v1::Latency { total_ms, ..Default::default() });
                    Ok(v1::RetrieveResponse { latency, ..Default::default() })
                }
                _ => Ok(v1::RetrieveResponse::default()),
            }
        })
        .await
    }

    async fn answer(&self, request: Request<v1::AnswerRequest>) -> Result<Response<Self::AnswerStream>, Status> {
        let (call, message) = open(request)?;
        let kinds = script(&message.question, &call);
        let numbered = kinds.enumerate().map(|(n, kind)| AnswerEvent { sequence: n as u64 + 1, kind }).boxed();
        let departed = self.departed.clone();
        let events = events(call, AnswerId(uuid::Uuid::nil()), numbered, move |departure| {
            let _ = departed.send(departure);
        });
        Ok(Response::new(events.map(|event| event.map(|event| v1::AnswerResponse { event: Some(event) })).boxed()))
    }

    async fn resume_answer(
        &self,
        _: Request<v1::ResumeAnswerRequest>,
    ) -> Result<Response<Self::ResumeAnswerStream>, Status> {
        Ok(Response::new(futures::stream::empty().boxed()))
    }

    async fn cancel_answer(
        &self,
        _: Request<v1::CancelAnswerRequest>,
    ) -> Result<Response<v1::CancelAnswerResponse>, Status> {
        Ok(Response::new(v1::CancelAnswerResponse {}))
    }

    async fn get_answer(&self, _: Request<v1::GetAnswerRequest>) -> Result<Response<v1::GetAnswerResponse>, Status> {
        Ok(Response::new(v1::GetAnswerResponse::default()))
    }
}
