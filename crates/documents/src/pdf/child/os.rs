//! What the operating system offers only unsafely: files that come over a socket, and a handler of signals.

use std::{
    io::{self, IoSliceMut},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
};

use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    sys::{
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
        socket::{
            AddressFamily, ControlMessageOwned, MsgFlags, SockaddrLike as _, SockaddrStorage, getsockname, recvmsg,
        },
    },
};

use crate::pdf::protocol::{EXIT_OUT_OF_MEMORY, MAX_REQUEST};

/// The socket to the parent, which is standard input; none if that is something else.
pub(super) fn channel() -> Option<UnixStream> {
    const STDIN: RawFd = 0;
    let address: SockaddrStorage = getsockname(STDIN).ok()?;
    if address.family() != Some(AddressFamily::Unix) {
        return None;
    }
    // SAFETY: standard input is open, as getsockname has shown, and nothing else in this program uses it.
    Some(UnixStream::from(unsafe { OwnedFd::from_raw_fd(STDIN) }))
}

/// Closes what the parent left open by mistake: this process holds its three standard files and nothing else.
pub(super) fn close_inherited_files() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // The directory's own descriptor is in the list, and closed already.
        let _ = nix::unistd::close(fd);
    }
}

/// The next request with its file; none when the parent has closed the socket.
pub(super) fn receive(stream: &UnixStream) -> io::Result<Option<(Vec<u8>, std::fs::File)>> {
    let mut bytes = vec![0; MAX_REQUEST];
    let mut space = cmsg_space!([RawFd; 4]);
    let (len, files) = {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let message = loop {
            match recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
                Err(Errno::EINTR) => {}
                other => break other?,
            }
        };
        let mut files = Vec::new();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                // SAFETY: the kernel has just made these descriptors for this process.
                files.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        (message.bytes, files)
    };
    if len == 0 {
        return Ok(None);
    }
    bytes.truncate(len);
    let file = files.into_iter().next().ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some((bytes, file.into())))
}

/// From now on, a program that aborts because memory was refused exits with [`EXIT_OUT_OF_MEMORY`], so that the parent can
/// tell it from a crash.
pub(super) fn exit_when_out_of_memory() {
    // pdfium ends itself by abort or by an illegal instruction when an allocation fails, or writes to where it would have
    // been; Rust ends by abort.
    for signal in [Signal::SIGABRT, Signal::SIGILL, Signal::SIGTRAP, Signal::SIGSEGV] {
        let flags = SaFlags::SA_RESETHAND | SaFlags::SA_ONSTACK;
        let action = SigAction::new(SigHandler::Handler(on_abort), flags, SigSet::empty());
        // SAFETY: the handler calls only what is allowed in a handler: it reads errno and leaves.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

/// Makes errno tell of this document's allocations alone.
pub(super) fn forget_failed_allocations() {
    Errno::clear();
}

extern "C" fn on_abort(signal: libc::c_int) {
    if Errno::last_raw() == libc::ENOMEM {
        // SAFETY: _exit may be called in a handler, and does not return.
        unsafe { libc::_exit(EXIT_OUT_OF_MEMORY) }
    }
    // The handler is gone (SA_RESETHAND): the signal now ends the process as it would have.
    // SAFETY: raise may be called in a handler.
    unsafe { libc::raise(signal) };
}
