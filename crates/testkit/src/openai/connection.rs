//! Accepted connections that can be reset instead of closed.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// Listens; each connection is counted and gets a [`ResetSwitch`].
pub(super) struct ScriptedListener {
    pub(super) listener: TcpListener,
    pub(super) accepted: Arc<AtomicUsize>,
}

/// A connection.
pub(super) struct ScriptedConnection {
    stream: TcpStream,
    switch: ResetSwitch,
}

/// Decides whether the connection ends with RST.
#[derive(Clone, Debug, Default)]
pub(super) struct ResetSwitch(Arc<AtomicBool>);

impl ResetSwitch {
    /// From now on the end of the connection is a RST.
    pub(super) fn reset_at_end(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Listener for ScriptedListener {
    type Io = ScriptedConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    self.accepted.fetch_add(1, Ordering::SeqCst);
                    // Each piece of a script is a segment of its own, as from a model that writes token by token.
                    if stream.set_nodelay(true).is_ok() {
                        return (ScriptedConnection { stream, switch: ResetSwitch::default() }, address);
                    }
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, ScriptedListener>> for ResetSwitch {
    fn connect_info(stream: IncomingStream<'_, ScriptedListener>) -> Self {
        stream.io().switch.clone()
    }
}

impl AsyncRead for ScriptedConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ScriptedConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.switch.is_set() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for ScriptedConnection {
    fn drop(&mut self) {
        if self.switch.is_set() {
            // Closing with a linger time of zero sends RST. A socket that is gone already needs none.
            let _already_gone = self.stream.set_zero_linger();
        }
    }
}
