//! A second handle to a connection's socket.
//!
//! lapin runs a connection on a thread of its own, which ends when the connection does: by an orderly close, or an error.
//! A peer that accepts a connection and then says nothing brings about neither, and the thread would stay. Shutting the
//! socket down ends it in any case.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Default)]
enum State {
    #[default]
    Unconnected,
    Connected(TcpStream),
    Cut,
}

/// Shared by who connects and who decides that it is over.
#[derive(Clone, Default)]
pub(super) struct Socket(Arc<Mutex<State>>);

impl Socket {
    /// Keeps a handle of a socket that was just connected.
    pub(super) fn adopt(&self, socket: impl AsFd) -> io::Result<()> {
        let handle: OwnedFd = socket.as_fd().try_clone_to_owned()?;
        let handle = TcpStream::from(handle);
        handle.set_nodelay(true)?;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Cut => Err(io::ErrorKind::ConnectionAborted.into()),
            _ => {
                *state = State::Connected(handle);
                Ok(())
            }
        }
    }

    /// Ends the connection, now or as soon as there is one.
    pub(super) fn cut(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Connected(socket) = std::mem::replace(&mut *state, State::Cut)
            && let Err(error) = socket.shutdown(Shutdown::Both)
        {
            tracing::trace!(%error, "the socket had ended already");
        }
    }
}

/// Cuts a socket when it is dropped.
pub(super) struct CutOnDrop(pub(super) Socket);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut();
    }
}
