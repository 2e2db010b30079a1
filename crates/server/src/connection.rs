//! Connections: accepting them within limits, TLS, and knowing how their clients leave.

mod frames;
mod io;
mod presence;
mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::Stream;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::io::Transport;
pub(crate) use self::{
    io::{Connection, Peer},
    presence::{Attendance, Departure, Presence},
    tls::acceptor,
};
use crate::settings::ServerSettings;

/// Without a pause, a process out of file descriptors would spin on `accept`.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How connections are accepted.
pub(crate) struct Door {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    handshake: Duration,
    idle: Duration,
    cut: CancellationToken,
}

impl Door {
    /// `cut`: ends every connection at once.
    pub(crate) fn new(
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        settings: &ServerSettings,
        cut: CancellationToken,
    ) -> Self {
        Self {
            listener,
            tls,
            places: Arc::new(Semaphore::new(settings.max_connections)),
            handshake: Duration::from_secs(settings.handshake_timeout_s),
            idle: Duration::from_secs(settings.connection_idle_s),
            cut,
        }
    }

    /// Connections as they come, after their TLS handshake. Dropping the stream closes the port.
    pub(crate) fn connections(self) -> impl Stream<Item = std::io::Result<Connection>> + Send {
        async_stream::stream! {
            let mut handshakes = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = self.listener.accept() => match accepted {
                        Ok((stream, address)) => match Arc::clone(&self.places).try_acquire_owned() {
                            Ok(place) => {
                                handshakes.spawn(enter(stream, address, place, self.tls.clone(), self.handshake));
                            }
                            Err(_) => {
                                metrics::counter!("vectrion_connections_refused_total").increment(1);
                                tracing::warn!(%address, "connection refused, `server.max_connections` are open");
                            }
                        },
                        Err(error) => {
                            tracing::warn!(%error, "cannot accept a connection");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    },
                    Some(entered) = handshakes.join_next() => {
                        if let Ok(Some((io, address, place))) = entered {
                            yield Ok(Connection::new(io, address, self.idle, self.cut.clone(), place));
                        }
                    }
                }
            }
        }
    }
}

async fn enter(
    stream: TcpStream,
    address: SocketAddr,
    place: OwnedSemaphorePermit,
    tls: Option<TlsAcceptor>,
    limit: Duration,
) -> Option<(Transport, SocketAddr, OwnedSemaphorePermit)> {
    // Without it, each small message of a stream waits for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%address, %error, "connection ended before it began");
        return None;
    }
    let Some(tls) = tls else {
        return Some((Transport::Plain(stream), address, place));
    };
    match tokio::time::timeout(limit, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some((Transport::Tls(Box::new(stream)), address, place)),
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "tls handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%address, "tls handshake took too long");
            None
        }
    }
}
