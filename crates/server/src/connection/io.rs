//! An accepted connection.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::{frames::FrameScanner, presence::Presence};

/// Who is at the other end of a connection; in the extensions of each of its requests.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) presence: Arc<Presence>,
}

/// An accepted connection: notes how its client leaves, ends when no byte moves for too long, and when it is told to.
pub(crate) struct Connection {
    io: Transport,
    peer: Peer,
    frames: FrameScanner,
    idle: Duration,
    last_byte: Instant,
    idle_check: Pin<Box<Sleep>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    open: metrics::Gauge,
    _permit: OwnedSemaphorePermit,
}

pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(super) fn new(
        io: Transport,
        address: SocketAddr,
        idle: Duration,
        cut: CancellationToken,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let open = metrics::gauge!("vectrion_connections");
        open.increment(1.0);
        Self {
            io,
            peer: Peer { address, presence: Arc::new(Presence::new()) },
            frames: FrameScanner::new(),
            idle,
            last_byte: Instant::now(),
            idle_check: Box::pin(tokio::time::sleep(idle)),
            cut: Box::pin(cut.cancelled_owned()),
            open,
            _permit: permit,
        }
    }

    /// Whether to end now, although the network is fine.
    fn is_over(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Some(io::Error::new(io::ErrorKind::ConnectionAborted, "the server is shutting down"));
        }
        while self.idle_check.as_mut().poll(cx).is_ready() {
            let until = self.last_byte + self.idle;
            if until <= Instant::now() {
                return Some(io::Error::new(io::ErrorKind::TimedOut, "no byte moved for too long"));
            }
            self.idle_check.as_mut().reset(until);
        }
        None
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(_)) => self.last_byte = Instant::now(),
            Poll::Ready(Err(_)) => self.peer.presence.lost(),
            Poll::Pending => {}
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.peer.presence.lost();
        self.open.decrement(1.0);
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

macro_rules! transport {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match &mut $self.io {
            Transport::Plain(io) => Pin::new(io).$method($($argument),*),
            Transport::Tls(io) => Pin::new(io.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let polled = transport!(this.poll_read(cx, buf));
        match &polled {
            Poll::Ready(Ok(())) if buf.filled().len() > before => {
                this.last_byte = Instant::now();
                if this.frames.says_goodbye(&buf.filled()[before..]) {
                    this.peer.presence.said_goodbye();
                }
            }
            // Nothing read into an empty buffer says nothing; otherwise it is the end of the connection.
            Poll::Ready(Ok(())) if buf.remaining() == 0 => {}
            Poll::Ready(_) => this.peer.presence.lost(),
            Poll::Pending => {
                if let Some(over) = this.is_over(cx) {
                    this.peer.presence.lost();
                    return Poll::Ready(Err(over));
                }
            }
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = transport!(this.poll_write(cx, buf));
        this.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = transport!(this.poll_write_vectored(cx, bufs));
        this.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Transport::Plain(io) => io.is_write_vectored(),
            Transport::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        transport!(this.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        transport!(this.poll_shutdown(cx))
    }
}
