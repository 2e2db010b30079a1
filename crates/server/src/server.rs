//! Binding, serving, and the way down.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use futures::FutureExt as _;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tonic_health::server::{HealthReporter, HealthService};
use tower::ServiceBuilder;
use vectrion::v1::{
    admin_service_server::AdminServiceServer, ingestion_service_server::IngestionServiceServer,
    query_service_server::QueryServiceServer,
};
use vectrion_core::time::Timestamp;
use vectrion_pipeline::{
    Ports, administration::Administration, identity::Identity, ingestion::Ingestion, query::Queries,
};

use crate::{
    call::{Authenticate, CallLayer, Shared},
    connection::{self, Door},
    cors,
    error::ServeError,
    health::{self, HealthWatch, Probe},
    services::{AdminApi, IngestionApi, Mutations, QueryApi},
    settings::ServerSettings,
};

/// After the drain, connections are cut; this is the time they get to notice.
const CUT_PATIENCE: Duration = Duration::from_secs(2);

/// Answers that outlast the drain get so long to end with an event that says so.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// Mutations that their callers left get so long to end after the last connection is gone.
const LAST_MUTATIONS: Duration = Duration::from_secs(5);

/// The use cases that the server offers.
#[derive(Clone)]
pub struct UseCases {
    /// Documents in.
    pub ingestion: Arc<Ingestion>,
    /// Questions.
    pub queries: Arc<Queries>,
    /// Tenants, collections, keys, jobs.
    pub administration: Arc<Administration>,
    /// Who calls.
    pub identity: Arc<Identity>,
    /// For the replay of mutations, health, and what the server says of itself.
    pub ports: Arc<Ports>,
}

/// What the server says of itself besides what it finds out.
#[derive(Clone, Debug, Default)]
pub struct ServerInfo {
    /// Kind of each backend by name, such as `database: sqlite`; no addresses, no credentials.
    pub backends: BTreeMap<String, String>,
    /// Media types that can be uploaded.
    pub content_types: Vec<String>,
}

/// A server that has its port and serves when it is told to.
pub struct Server {
    settings: ServerSettings,
    routes: Routes,
    authenticate: Authenticate,
    reporter: HealthReporter,
    probe: Probe,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    /// Mutations under way, which their callers may have left.
    answers: Option<Arc<Queries>>,
    tasks: TaskTracker,
}

impl Server {
    /// Binds the port, so that what is wrong with the settings is known before anything else starts.
    ///
    /// # Errors
    /// A setting that cannot work, an address that cannot be bound, TLS files that cannot be used.
    pub async fn bind(settings: ServerSettings, use_cases: UseCases, info: ServerInfo) -> Result<Self, ServeError> {
        let identity = Arc::clone(&use_cases.identity);
        let authenticate: Authenticate = Arc::new(move |secret| {
            let identity = Arc::clone(&identity);
            async move { identity.authenticate(secret.expose_secret()).await }.boxed()
        });
        let probe = health::probe_ports(Arc::clone(&use_cases.ports));
        let tasks = TaskTracker::new();
        let answers = Some(Arc::clone(&use_cases.queries));
        let routes = routes(&settings, use_cases, info, tasks.clone());
        Ok(Self { tasks, answers, ..Self::assemble(settings, routes, authenticate, probe).await? })
    }

    /// Looks at what the server depends on in another way than by asking the ports.
    #[must_use]
    pub fn with_probe(mut self, probe: Probe) -> Self {
        self.probe = probe;
        self
    }

    /// Waits for these at the end, too.
    #[cfg(test)]
    pub(crate) fn with_tasks(mut self, tasks: TaskTracker) -> Self {
        self.tasks = tasks;
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, for people and clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    pub(crate) async fn assemble(
        settings: ServerSettings,
        routes: Routes,
        authenticate: Authenticate,
        probe: Probe,
    ) -> Result<Self, ServeError> {
        if let Some((key, problem)) = settings.problem() {
            return Err(ServeError::Setting { key, problem });
        }
        cors::check(&settings)?;
        let tls = connection::acceptor(&settings).await?;
        let reporter = HealthReporter::new();
        let health = HealthService::from_health_reporter(reporter.clone());
        let routes = routes.add_service(tonic_health::pb::health_server::HealthServer::new(health));
        let routes = if settings.reflection { with_reflection(routes)? } else { routes };

        let address = resolve(&settings.listen).await?;
        if tls.is_none() && !address.ip().is_loopback() && !settings.allow_insecure {
            return Err(ServeError::Insecure { address });
        }
        let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })?;
        let address = listener.local_addr().map_err(|source| ServeError::Bind { address, source })?;
        Ok(Self {
            settings,
            routes,
            authenticate,
            reporter,
            probe,
            listener,
            address,
            tls,
            answers: None,
            tasks: TaskTracker::new(),
        })
    }

    /// Serves until `shutdown` fires and the calls in hand have ended: health says "not serving"; after a pause, in which
    /// load balancers notice, nothing new is accepted and watches end; running calls get their time; answers that are left
    /// end with an error, and what else is left is cut.
    ///
    /// # Errors
    /// Of the transport.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let Self { settings, routes, authenticate, reporter, probe, listener, address, tls, answers, tasks } = self;
        let every = Duration::from_secs(settings.readiness_interval_s);
        let mut watch = HealthWatch::new(reporter.clone(), probe, every).await;
        watch.look().await;

        let (drain, cut) = (CancellationToken::new(), CancellationToken::new());
        let shared = Arc::new(Shared::new(&settings, authenticate, drain.clone()));
        let web = settings.grpc_web;
        let service = ServiceBuilder::new()
            .option_layer(web.then(|| cors::layer(&settings)))
            .option_layer(web.then(tonic_web::GrpcWebLayer::new))
            .layer(CallLayer::new(shared))
            .service(routes.prepare());
        let connections = Door::new(listener, tls, &settings, cut.clone()).connections();
        let stop = drain.clone();
        let serving = transport(&settings).serve_with_incoming_shutdown(service, connections, async move {
            stop.cancelled().await;
        });
        tracing::info!(%address, tls = settings.tls(), grpc_web = web, "listening");

        let going_down = async {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = watch.keep_looking() => {}
            }
            tracing::info!("shutting down");
            health::nothing_serves(&reporter).await;
            tokio::time::sleep(Duration::from_millis(settings.shutdown_pause_ms)).await;
            drain.cancel();
            tokio::time::sleep(Duration::from_secs(settings.shutdown_drain_s)).await;
            if let Some(answers) = &answers {
                answers.shut_down();
                tokio::time::sleep(LAST_ANSWERS).await;
            }
            tracing::warn!(drain_s = settings.shutdown_drain_s, "calls were still running and are cut");
            cut.cancel();
            tokio::time::sleep(CUT_PATIENCE).await;
        };
        let served = first(serving, going_down).await.unwrap_or(Ok(()));
        tasks.close();
        if first(tasks.wait(), tokio::time::sleep(LAST_MUTATIONS)).await.is_none() {
            tracing::warn!(mutations = tasks.len(), "mutations were still under way and are given up");
        }
        served.map_err(|source| ServeError::Transport { source })?;
        tracing::info!("stopped listening");
        Ok(())
    }
}

/// The output of `work`; none if `limit` is over before.
async fn first<T>(work: impl Future<Output = T>, limit: impl Future<Output = ()>) -> Option<T> {
    tokio::select! {
        output = work => Some(output),
        () = limit => None,
    }
}

fn routes(settings: &ServerSettings, use_cases: UseCases, info: ServerInfo, tasks: TaskTracker) -> Routes {
    let UseCases { ingestion, queries, administration, identity: _, ports } = use_cases;
    let start_time: Timestamp = ports.clock.now();
    let max_document_bytes = ingestion.max_document_bytes();
    let response = settings.max_response_bytes;
    let mutations = Mutations::new(Arc::clone(&ports.idempotency), tasks);
    let ingestion =
        IngestionServiceServer::new(IngestionApi::new(ingestion, mutations.clone(), settings.stream_idle()))
            .max_decoding_message_size(settings.max_ingestion_request_bytes)
            .max_encoding_message_size(response);
    let query = QueryServiceServer::new(QueryApi::new(queries, mutations.clone()))
        .max_decoding_message_size(settings.max_query_request_bytes)
        .max_encoding_message_size(response);
    let admin =
        AdminServiceServer::new(AdminApi::new(administration, ports, mutations, info, max_document_bytes, start_time))
            .max_decoding_message_size(settings.max_admin_request_bytes)
            .max_encoding_message_size(response);
    Routes::new(ingestion).add_service(query).add_service(admin)
}

fn with_reflection(routes: Routes) -> Result<Routes, ServeError> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(vectrion::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder().build_v1().map_err(|source| ServeError::Reflection { source })?;
    let v1alpha = builder().build_v1alpha().map_err(|source| ServeError::Reflection { source })?;
    Ok(routes.add_service(v1).add_service(v1alpha))
}

fn transport(settings: &ServerSettings) -> tonic::transport::Server {
    let server = tonic::transport::Server::builder()
        .accept_http1(settings.grpc_web)
        .max_concurrent_streams(settings.max_streams_per_connection)
        .http2_max_header_list_size(settings.max_header_bytes)
        .http2_max_pending_accept_reset_streams(Some(settings.max_pending_resets))
        .http2_max_local_error_reset_streams(Some(settings.max_error_resets))
        .http2_keepalive_interval(Some(Duration::from_secs(settings.keepalive_interval_s)))
        .http2_keepalive_timeout(Some(Duration::from_secs(settings.keepalive_timeout_s)));
    // Without a grace: with one, the connection is cut in the middle of its calls and no GOAWAY is sent.
    match settings.connection_age_s {
        0 => server,
        age => server.max_connection_age(Duration::from_secs(age)),
    }
}

async fn resolve(listen: &str) -> Result<SocketAddr, ServeError> {
    let failed = |source| ServeError::Address { listen: listen.to_owned(), source };
    let mut addresses = tokio::net::lookup_host(listen).await.map_err(failed)?;
    addresses.next().ok_or_else(|| failed(std::io::Error::other("the name has no address")))
}
