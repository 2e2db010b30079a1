//! A stand-in of a Qdrant server, for tests of programs that use one where none can be had.
//!
//! It serves the part of Qdrant's gRPC API that `vectrion-backends` uses, over the Qdrant engine in this process. What it
//! confirmed is in a journal and survives its being killed. It never builds a graph: every search compares all vectors.
//! It is no Qdrant server, and never shipped.

mod collection;
mod convert;
mod journal;
mod service;
mod state;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use qdrant_client::qdrant::{
    collections_server::CollectionsServer, points_server::PointsServer, qdrant_server::QdrantServer,
};
use tokio::net::TcpListener;
use tonic::{
    Request, Status,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::{service::Service, state::State};

const USAGE: &str = "usage: qdrant-standin DIR [ADDRESS:PORT] [--tls CERTIFICATE KEY] [--until-stdin-ends]\n\
    The API key that is asked for, if any, is that of QDRANT_STANDIN_API_KEY.";

/// Largest request.
const MAX_REQUEST_BYTES: usize = 64 << 20;

#[derive(Debug)]
struct Arguments {
    directory: PathBuf,
    address: SocketAddr,
    tls: Option<(PathBuf, PathBuf)>,
    until_stdin_ends: bool,
}

fn arguments(given: impl Iterator<Item = OsString>) -> anyhow::Result<Arguments> {
    let (mut places, mut tls, mut until_stdin_ends) = (Vec::new(), None, false);
    let mut given = given.into_iter();
    while let Some(argument) = given.next() {
        match argument.to_str() {
            Some("--tls") => {
                let (Some(certificate), Some(key)) = (given.next(), given.next()) else { bail!(USAGE) };
                tls = Some((certificate.into(), key.into()));
            }
            Some("--until-stdin-ends") => until_stdin_ends = true,
            Some(option) if option.starts_with('-') => bail!(USAGE),
            _ => places.push(argument),
        }
    }
    let (directory, address) = match &places[..] {
        [directory] => (directory, "127.0.0.1:0".into()),
        [directory, address] => (directory, address.to_string_lossy()),
        _ => bail!(USAGE),
    };
    let address = address.parse().with_context(|| format!("{address} is not an address with a port\n{USAGE}"))?;
    Ok(Arguments { directory: directory.into(), address, tls, until_stdin_ends })
}

/// Asks for the API key as Qdrant does.
fn authorize(key: Option<&str>, request: Request<()>) -> Result<Request<()>, Status> {
    let Some(key) = key else { return Ok(request) };
    let given = |name| request.metadata().get(name).and_then(|value| value.to_str().ok());
    match given("api-key").or_else(|| given("authorization").and_then(|value| value.strip_prefix("Bearer "))) {
        None => Err(Status::unauthenticated("Must provide an API key or an Authorization bearer token")),
        Some(given) if given == key => Ok(request),
        Some(_) => Err(Status::unauthenticated("Invalid API key or JWT")),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { directory, address, tls, until_stdin_ends } = arguments(std::env::args_os().skip(1))?;
    let state = State::open(&directory).with_context(|| format!("cannot open {}", directory.display()))?;
    let key: Option<Arc<str>> =
        std::env::var("QDRANT_STANDIN_API_KEY").ok().filter(|key| !key.is_empty()).map(Into::into);
    let mut server = Server::builder();
    if let Some((certificate, key)) = tls {
        // Two providers are linked.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let identity = Identity::from_pem(read(&certificate)?, read(&key)?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!(
        "qdrant-standin: a stand-in for tests, not a Qdrant server, listening on {} with its data in {}",
        listener.local_addr()?,
        directory.display()
    );
    if until_stdin_ends {
        std::thread::spawn(|| {
            // Whether it ends or cannot be read: nobody is there any more.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            std::process::exit(0);
        });
    }
    let service = Service::new(state);
    let authorize = move |request| authorize(key.as_deref(), request);
    let points = PointsServer::new(service.clone()).max_decoding_message_size(MAX_REQUEST_BYTES);
    server
        .add_service(QdrantServer::new(service.clone()))
        .add_service(tonic::service::interceptor::InterceptedService::new(points, authorize.clone()))
        .add_service(CollectionsServer::with_interceptor(service, authorize))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}
